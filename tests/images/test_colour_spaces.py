"""Pictures of other colour spaces, which become sRGB by their profile, and formats that are only read."""

from __future__ import annotations

import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from upscale_cli.errors import UsageError
from upscale_cli.images.formats import READ_ONLY, by_name, of_content, of_path, of_target
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import picture_header, read_image
from upscale_cli.upscaling.naming import Naming
from upscale_cli.upscaling.plan import plan

LAB_GREEN, LAB_WHITE, LAB_BLACK = (60, -50, 40), (100, 0, 0), (5, 0, 0)


def cmyk_profile() -> bytes:
    """A printer whose cyan ink is green, all others black."""
    inks = product((0, 1), repeat=4)
    colours = [LAB_BLACK if any(others) else LAB_GREEN if cyan else LAB_WHITE for cyan, *others in inks]
    grid = bytes(value for L, a, b in colours for value in (round(L * 2.55), a + 128, b + 128))
    line = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * (index % 4 == 0) for index in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + 4 * line + grid + 3 * line
    header = struct.pack(">I4sI4s4s4s", 128 + 16 + len(table), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header = (header.ljust(36, b"\0") + b"acsp").ljust(68, b"\0") + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


def inks(*amounts: int) -> Image.Image:
    return Image.frombytes("CMYK", (12, 8), np.full((8, 12, 4), amounts, np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "options"), [("a.jpg", {"quality": 100}), ("a.tif", {}), ("b.tif", {"compression": "tiff_lzw"})]
)
def test_inks_become_the_colours_of_their_profile(name: str, options: dict[str, object], tmp_path: Path) -> None:
    inks(255, 0, 0, 0).save(tmp_path / name, icc_profile=cmyk_profile(), **options)  # type: ignore[arg-type]
    picture = read_image(tmp_path / name)
    assert isinstance(picture, Picture)
    red, green, blue = picture.color[4, 6].tolist()
    assert green > 150
    assert max(red, blue) < 120
    assert picture.metadata.icc is None  # that described the inks
    assert picture.alpha is None


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("profile", [None, b"no profile", SRGB])
def test_without_a_usable_profile_cyan_is_cyan(profile: bytes | None, tmp_path: Path) -> None:
    inks(255, 0, 0, 0).save(tmp_path / "a.jpg", quality=100, icc_profile=profile)
    picture = read_image(tmp_path / "a.jpg")
    assert isinstance(picture, Picture)
    assert np.abs(picture.color.astype(int) - (0, 255, 255)).max() <= 2


def test_lab_becomes_srgb(tmp_path: Path) -> None:
    colours = np.full((8, 12, 3), (200, 90, 40), np.uint8)
    spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(Image.fromarray(colours), *spaces, outputMode="LAB")
    assert lab is not None
    lab.save(tmp_path / "a.tif")
    picture = read_image(tmp_path / "a.tif")
    assert isinstance(picture, Picture)
    assert np.abs(picture.color.astype(int) - colours).max() <= 3


def drawn(mode: str) -> tuple[Image.Image, Pixels]:
    pixels = np.random.default_rng(1).integers(0, 256, (12, 16, 4), np.uint8)
    image = Image.fromarray(pixels)
    image = image.convert("RGB").quantize(40) if mode == "P" else image.convert(mode)
    return image, np.asarray(image.convert("RGB") if mode == "P" else image)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("a.tga", {}), ("a.tga", {"compression": "tga_rle"}), ("a.tga", {"orientation": 1}), ("a.dds", {})],
)
def test_textures_are_read_as_they_are(mode: str, name: str, options: dict[str, object], tmp_path: Path) -> None:
    if name == "a.dds" and mode == "P":
        pytest.skip("DDS holds no palettes")
    image, expected = drawn(mode)
    image.save(tmp_path / name, **options)  # type: ignore[arg-type]
    picture = read_image(tmp_path / name)
    assert isinstance(picture, Picture)
    parts = [picture.color] if picture.alpha is None else [picture.color, picture.alpha[..., None]]
    assert np.array_equal(np.concatenate(parts, 2), expected.reshape(12, 16, -1))
    assert picture_header(tmp_path / name).size == (12, 16)
    known = of_content((tmp_path / name).read_bytes())
    assert known in READ_ONLY


def test_compressed_textures_are_read(tmp_path: Path) -> None:
    image, _ = drawn("RGBA")
    image.save(tmp_path / "a.dds", pixel_format="DXT5")
    assert read_image(tmp_path / "a.dds").frames[0].alpha is not None


def test_formats_that_are_only_read_become_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn("RGB")[0].save("a.tga")
    assert of_path(Path("a.tga")) is None
    assert plan(["a.tga"], Naming("x4")).jobs[0].target == Path("a_x4.png")
    assert plan(["."], Naming("x4")).jobs[0].target.name == "a.png"
    with pytest.raises(UsageError, match="tga files are only read"):
        of_target(Path("b.tga"))
    with pytest.raises(UsageError, match="heic files are only read"):
        by_name("heic")


@pytest.mark.parametrize(
    "data", [b"plain text, and more of it", b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\0\0\x16\0", bytes(40)]
)
def test_what_is_no_texture_is_not_taken_for_one(data: bytes) -> None:
    assert of_content(data) is None

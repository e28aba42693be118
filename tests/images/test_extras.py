"""JPEG XL, HEIC and raw files, which need extras."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rare
from PIL import Image, ImageCms

from upscale_cli.errors import InputError, OutputError, UsageError
from upscale_cli.images import extras, formats
from upscale_cli.images.formats import by_name, of_content
from upscale_cli.images.isolated import Decoders
from upscale_cli.images.picture import Metadata, Picture, Pixels
from upscale_cli.images.read import picture_header, read_picture
from upscale_cli.images.write import WriteOptions, write_image

JXL, PNG = (WriteOptions(by_name(name)) for name in ("jxl", "png"))


def smooth(channels: int = 3, dtype: type = np.uint8, height: int = 30, width: int = 44) -> Pixels:
    y, x = np.mgrid[:height, :width]
    planes = np.stack([(np.sin(x / (9 + 3 * c)) + np.cos(y / (7 + 2 * c)) + 2) / 4 for c in range(channels)], -1)
    levels: Pixels = np.rint(planes * np.iinfo(dtype).max).astype(dtype)
    return levels


def close(a: Pixels, b: Pixels, levels: float) -> bool:
    return bool(a.shape == b.shape and a.dtype == b.dtype and np.abs(a.astype(int) - b).mean() <= levels)


def exif(turned: int) -> bytes:
    made = Image.Exif()
    made[0x112], made[0x10F] = turned, "Maker of cameras"
    return made.tobytes()


@pytest.mark.parametrize("turned", [1, 6])
def test_a_jpeg_inside_a_jxl_comes_out_as_it_was(tmp_path: Path, turned: int) -> None:
    content = BytesIO()
    Image.fromarray(smooth()).save(content, "JPEG", quality=90, exif=exif(turned))
    (tmp_path / "a.jpg").write_bytes(content.getvalue())
    encoder = extras.library("jxl").Encoder(mode="RGB", lossless=True)
    (tmp_path / "a.jxl").write_bytes(encoder(content.getvalue(), 44, 30, jpeg_encode=True))
    jpeg, jxl = read_picture(tmp_path / "a.jpg"), read_picture(tmp_path / "a.jxl")
    assert close(jxl.color, jpeg.color, 1)
    assert jxl.metadata.exif is not None
    assert b"Maker of cameras" in jxl.metadata.exif
    assert picture_header(tmp_path / "a.jxl").size == jxl.color.shape[:2]


def test_what_keeps_the_encoder_of_jxl_for_minutes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="jxl cannot hold 65537x1 pixels"):
        write_image(Picture(np.zeros((1, 2**16 + 1, 3), np.uint8)), tmp_path / "a.jxl", JXL)


def test_jxl_of_another_colour_space_is_converted(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Picture(smooth(dtype=np.uint16), None, Metadata(icc=lab))
    notices = write_image(picture, tmp_path / "a.jxl", JXL)
    assert notices[0].text == "jxl is written in sRGB: the colours were converted, the ICC profile left out."
    copy = read_picture(tmp_path / "a.jxl")
    assert copy.metadata.icc is None
    assert close(copy.color, smooth(), 2)


def test_gray_jxl_of_16_bits_keeps_them(tmp_path: Path) -> None:
    gray = smooth(1, np.uint16)
    encoder = extras.library("jxl").Encoder(mode="I;16", lossless=True)
    made = encoder(gray.tobytes(), 44, 30, jpeg_encode=False)
    (tmp_path / "a.jxl").write_bytes(made)
    assert np.array_equal(read_picture(tmp_path / "a.jxl").color, gray)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_heic_is_read_with_its_depth_and_alpha(tmp_path: Path, dtype: type, channels: int) -> None:
    pixels = smooth(channels, dtype)
    (tmp_path / "a.heic").write_bytes(rare.heic(pixels))
    picture = read_picture(tmp_path / "a.heic")
    assert close(picture.color, pixels[..., :3], 0.008 * np.iinfo(dtype).max)
    assert (picture.alpha is not None) == (channels == 4)
    assert picture.color.max() <= np.iinfo(dtype).max


def test_heic_comes_upright_with_its_metadata(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    about: dict[str, Any] = {"exif": exif(6), "xmp": b"<x:xmpmeta/>", "icc_profile": profile}
    (tmp_path / "a.heic").write_bytes(rare.heic(smooth(), **about))
    picture = read_picture(tmp_path / "a.heic")
    assert close(picture.color, np.ascontiguousarray(np.rot90(smooth(), -1)), 2)
    assert picture_header(tmp_path / "a.heic").size == (44, 30)
    assert picture.metadata.icc == profile
    assert picture.metadata.xmp == b"<x:xmpmeta/>"
    notices = write_image(picture, tmp_path / "b.png", PNG)
    assert notices == []
    assert close(read_picture(tmp_path / "b.png").color, picture.color, 0)  # not turned again


def mosaic() -> Pixels:
    """A gray sensor, brighter to the right, with a red patch."""
    values = np.tile(np.linspace(4000, 40000, 80).astype(np.uint16), (60, 1))
    values[20:40, 20:40][:, 1::2] //= 4
    values[20:40, 20:40][1::2] //= 4
    return values


@pytest.mark.parametrize("turned", [1, 6])
def test_raw_is_developed_upright_with_16_bits(tmp_path: Path, turned: int) -> None:
    (tmp_path / "a.dng").write_bytes(rare.dng(mosaic(), turned))
    picture = read_picture(tmp_path / "a.dng")
    assert picture.color.shape == ((60, 80, 3) if turned == 1 else (80, 60, 3))
    assert picture.color.dtype == np.uint16
    assert picture_header(tmp_path / "a.dng").size == picture.color.shape[:2]
    color = picture.color if turned == 1 else np.rot90(picture.color)
    assert color[50, 70].mean() > 1.5 * color[50, 10].mean()
    red, green, blue = color[30, 30].astype(int)
    assert red > green + 5000
    assert red > blue + 5000
    assert picture.metadata.exif is not None
    assert b"Maker of cameras" in picture.metadata.exif
    assert write_image(picture, tmp_path / "a.png", PNG) == []


def test_raw_is_known_by_its_content() -> None:
    data = rare.dng(mosaic())
    known = of_content(data)
    assert known is not None
    assert known.name == "raw"
    tiff = BytesIO()
    Image.fromarray(smooth()).save(tiff, "TIFF")
    other = of_content(tiff.getvalue())
    assert other is not None
    assert other.name == "tiff"


@pytest.mark.parametrize("extra", ["jxl", "heif", "raw", "exr"])
def test_without_its_extra_a_format_is_refused_in_a_sentence(
    tmp_path: Path, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"heif": lambda: rare.heic(smooth()), "raw": lambda: rare.dng(mosaic())}
    path = tmp_path / "a"
    if extra in made:
        path.write_bytes(made[extra]())
    else:
        write_image(Picture(smooth()), path, WriteOptions(by_name(extra)))
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    with pytest.raises(InputError) as refusal:
        read_picture(path)
    install = f"Run: pip install 'upscale-cli[{extra}]'"
    assert str(refusal.value) == f"{path} is of the format {extra}, which needs an extra. {install}"
    if extra not in made:
        with pytest.raises(UsageError) as refused:
            WriteOptions(by_name(extra))
        assert str(refused.value) == f"Writing {extra} files needs an extra. {install}"


@pytest.mark.parametrize("name", ["a.heic", "a.dng"])
def test_damaged_files_cost_themselves_alone(tmp_path: Path, name: str) -> None:
    data = rare.heic(smooth()) if name == "a.heic" else rare.dng(mosaic())
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with Decoders() as decoders, pytest.raises(InputError, match="damaged"):
        decoders.read_image(tmp_path / name)


def test_every_extra_is_in_the_page_on_formats() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    for known in (*formats.FORMATS, *formats.READ_ONLY):
        assert known.extra is None or f"`{known.extra}`" in page

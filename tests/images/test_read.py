"""Reading: upright pictures from good files, one sentence from bad ones."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFile

from upscale_cli.errors import InputError, UsageError
from upscale_cli.images import read_header as header
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.chunks import jpeg_segment, png_chunk
from upscale_cli.images.formats import FORMATS, Format, by_name
from upscale_cli.images.metadata import orientation
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Animation, Metadata, Picture
from upscale_cli.images.read import picture_header, read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image

CORNERS = np.array([[[10, 10, 10], [90, 90, 90]], [[170, 170, 170], [250, 250, 250]]], np.uint8)
# What EXIF 2.3 says of stored rows and columns, applied to four corners a b / c d.
UPRIGHT = {1: "abcd", 2: "badc", 3: "dcba", 4: "cdab", 5: "acbd", 6: "cadb", 7: "dbca", 8: "bdac"}


def big_endian_exif(turned: int) -> bytes:
    return b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, tags.ORIENTATION, tags.SHORT, 1, turned, 0, 0)


def little_endian_exif(turned: int) -> bytes:
    return b"II*\0\x08\0\0\0" + tags.write_directory([tags.numbers(tags.ORIENTATION, tags.SHORT, turned)], 8)


def stored(name: str, exif: bytes, path: Path) -> None:
    """Pixels as they are with an orientation beside them, which our own writer never does."""
    pixels = np.kron(CORNERS, np.ones((16, 24, 1), np.uint8))
    if name == "tiff":
        ok, data = cv2.imencode(".tiff", pixels)
        main, _ = tags.read_directory(data.tobytes())
        added = tags.numbers(tags.ORIENTATION, tags.SHORT, orientation(exif))
        raw = data.tobytes() + b"\0" * (len(data) % 2)
        path.write_bytes(
            raw[:4] + struct.pack("<I", len(raw)) + raw[8:] + tags.write_directory([*main.values(), added], len(raw))
        )
        return
    block = np.frombuffer(exif, np.uint8).reshape(1, -1)
    ok, data = cv2.imencodeWithMetadata(by_name(name).extensions[0], pixels, [cv2.IMAGE_METADATA_EXIF], [block])
    assert ok
    path.write_bytes(data.tobytes())


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("block", [little_endian_exif, big_endian_exif])
def test_every_orientation_is_applied_and_reset(tmp_path: Path, name: str, turned: int, block: object) -> None:
    path = tmp_path / "a"
    exif = block(turned)  # type: ignore[operator]
    stored(name, exif, path)
    picture = read_picture(path)
    height, width = picture.color.shape[:2]
    assert (height, width) == ((48, 32)[::-1] if turned <= 4 else (48, 32))
    corners = [picture.color[y, x, 0] for y in (4, height - 5) for x in (4, width - 5)]
    letters = "".join("abcd"[int(np.argmin(np.abs(CORNERS[..., 0].ravel() - int(level))))] for level in corners)
    assert letters == UPRIGHT[turned]
    assert orientation(picture.metadata.exif) == 1


def test_pixel_sizes_in_the_exif_are_corrected_for_the_result(tmp_path: Path) -> None:
    sub = [tags.numbers(tags.PIXEL_WIDTH, tags.LONG, 48), tags.numbers(tags.PIXEL_HEIGHT, tags.LONG, 32)]
    exif = tags.block([], {tags.EXIF_DIRECTORY: sub})
    larger = Picture(np.zeros((128, 192, 3), np.uint8), None, Metadata(exif=exif))
    write_image(larger, tmp_path / "a.jpg", WriteOptions(by_name("jpeg")))
    found = read_picture(tmp_path / "a.jpg").metadata.exif
    assert found is not None
    assert (192).to_bytes(4, "little") in found
    assert (48).to_bytes(4, "little") not in found


def written(known: Format, path: Path) -> bytes:
    y, x = np.mgrid[0:60, 0:80]
    noise = np.random.default_rng(0).integers(0, 60, (60, 80, 3))
    write_image(Picture((noise + (x + y)[..., None]).astype(np.uint8)), path, WriteOptions(known))
    return path.read_bytes()


@pytest.mark.parametrize("known", FORMATS, ids=lambda f: f.name)
def test_the_header_tells_the_size(tmp_path: Path, known: Format) -> None:
    found = header.read_header(written(known, tmp_path / "a"), known)
    assert found is not None
    assert (found.height, found.width) == (60, 80)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("known", FORMATS, ids=lambda f: f.name)
def test_a_truncated_file_is_refused(tmp_path: Path, known: Format, share: float) -> None:
    path = tmp_path / "cut"
    data = written(known, path)
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"is damaged|is cut off"):
        read_image(path)


@pytest.mark.parametrize("known", FORMATS, ids=lambda f: f.name)
def test_a_bomb_is_refused_by_its_header_and_the_limit_can_be_raised(tmp_path: Path, known: Format) -> None:
    path = tmp_path / "bomb"
    written(known, path)
    with pytest.raises(InputError, match=r"claims 80x60 pixels, more than 0\.004 megapixels") as caught:
        read_image(path, max_megapixels=0.004)
    assert "--max-megapixels" in caught.value.hint
    assert read_picture(path, max_megapixels=0.005).width == 80


def test_a_png_that_claims_gigapixels_is_refused_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    data = bytearray(written(by_name("png"), path))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="60000x60000"):
        read_image(path)


def test_an_animation_with_too_many_frames_is_refused(tmp_path: Path) -> None:
    frames = tuple(Picture(np.full((100, 100, 3), level, np.uint8)) for level in range(0, 250, 10))
    write_image(Animation(frames, (50,) * len(frames)), tmp_path / "a.gif", WriteOptions(by_name("gif")))
    with pytest.raises(InputError, match=r"claims 25 frames of 100x100 pixels, more than 0\.1 megapixels"):
        read_image(tmp_path / "a.gif", max_megapixels=0.1)


def test_missing_empty_and_foreign_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    complaints = {"nothing.png": "no file", "empty.png": "is empty", "text.png": "no picture", "folder.png": "a folder"}
    for name, complaint in complaints.items():
        with pytest.raises(InputError, match=complaint):
            read_image(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may read everything")
def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch(mode=0)
    with pytest.raises(InputError, match="Permission denied"):
        read_image(path)


@given(st.sampled_from(FORMATS), st.data())
def test_damaged_files_raise_nothing_but_our_error(
    tmp_path_factory: pytest.TempPathFactory, known: Format, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a"
    content = bytearray(written(known, path))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    with contextlib.suppress(InputError):
        read_image(path)


def test_palette_pictures_become_rgb(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + bytes([0, 1, 2, 1]) for _ in range(3))
    palette = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255])
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 3, 0, 0, 0)),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(rows)),
    ]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*p) for p in [*parts, (b"IEND", b"")]))
    assert read_picture(tmp_path / "a.png").color[0, :3].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_libraries_stay_silent_about_damaged_files(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from upscale_cli.errors import InputError
        from upscale_cli.images.read import read_image
        for name in sys.argv[1:]:
            try:
                read_image(Path(name))
            except InputError:
                print("refused", Path(name).name)
    """
    for known in FORMATS:
        data = written(known, tmp_path / known.name)
        (tmp_path / known.name).write_bytes(data[: len(data) // 2])
    paths = [str(tmp_path / known.name) for known in FORMATS]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == [word for known in FORMATS for word in ("refused", known.name)]


@pytest.mark.shared
def test_awkward_real_pictures_are_read(shared: Path) -> None:
    facts = {p.name: read_picture(p) for p in sorted((shared / "data" / "photos").iterdir())}
    assert len(facts) == 9
    assert facts["00017_gray.png"].color.shape == (351, 500, 1)
    assert facts["wolf_gray.jpg"].color.shape == (236, 236, 1)
    tree = facts["tree_alpha_16bit.png"]
    assert (tree.depth, tree.alpha is not None, len(tree.metadata.icc or b"")) == (16, True, 560)
    assert facts["children-alpha.png"].alpha is not None


def test_a_file_the_system_refuses_is_told_with_the_systems_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"Cannot read .*a\.png: Permission denied"):
        read_image(tmp_path / "a.png")


def test_sizes_are_read_from_headers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand pictures of every format, some of them turned by their orientation."""
    expected = {}
    for index in range(1000):
        known = FORMATS[index % len(FORMATS)]
        path = tmp_path / f"{index}{known.extensions[0]}"
        if index < 2 * len(FORMATS):
            height, width = 20 + index, 50 - index
            write_image(Picture(np.full((height, width, 3), 9, np.uint8)), path, WriteOptions(known))
            expected[path] = (height, width)
        else:
            former = tmp_path / f"{index % len(FORMATS)}{known.extensions[0]}"
            path.write_bytes(former.read_bytes())
            expected[path] = expected[former]
    for turned, name in ((6, "jpeg"), (8, "png"), (5, "webp"), (7, "tiff"), (3, "avif")):
        path = tmp_path / f"turned_{name}"
        stored(name, little_endian_exif(turned), path)
        expected[path] = (32, 48) if turned == 3 else (48, 32)
    for decoder in ("imdecode", "imdecodeanimation", "imread"):
        monkeypatch.setattr(cv2, decoder, lambda *arguments: pytest.fail("decoded"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    start = time.process_time()
    assert {path: picture_header(path).size for path in expected} == expected
    assert time.process_time() - start < 2


def test_sizes_are_refused_as_pictures_are(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(InputError, match="no picture of a known format"):
        picture_header(tmp_path / "text.png")
    written(by_name("png"), tmp_path / "a.png")
    with pytest.raises(InputError, match=r"claims 80x60 pixels, more than 0\.004"):
        picture_header(tmp_path / "a.png", max_megapixels=0.004)


def test_an_end_mark_inside_a_thumbnail_does_not_make_a_cut_file_whole(tmp_path: Path) -> None:
    data = written(by_name("jpeg"), tmp_path / "a.jpg")
    thumbnail = jpeg_segment(0xE1, b"Exif\0\0thumbnail\xff\xd8\xff\xd9")
    (tmp_path / "a.jpg").write_bytes((data[:2] + thumbnail + data[2:])[:-200])
    with pytest.raises(InputError, match="is cut off"):
        read_image(tmp_path / "a.jpg")


def test_a_jpeg_of_too_many_scans_is_refused_and_a_progressive_one_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    data = encoded.tobytes()
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_picture(tmp_path / "a.jpg").color.shape == (40, 60, 3)
    last = data[data.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(data[:-2] + last * 2000 + data[-2:])
    with pytest.raises(InputError, match="needs over 64 passes"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "pixels", [[[1, 2]], np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_told(pixels: object) -> None:
    with pytest.raises(UsageError, match="Not a picture: "):
        Picture(pixels)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Not an alpha channel: "):
        Picture(np.zeros((4, 5, 3), np.uint8), pixels)  # type: ignore[arg-type]

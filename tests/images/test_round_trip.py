"""Every format, depth, channel count and metadata block: written and read back."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from upscale_cli.errors import OutputError, UsageError
from upscale_cli.images import encode
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.convert import with_depth
from upscale_cli.images.formats import EXTENSIONS, FORMATS, READ_ONLY, Format, by_name, of_content, of_path
from upscale_cli.images.metadata import orientation
from upscale_cli.images.picture import Animation, Metadata, Picture, Pixels
from upscale_cli.images.read import read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import note

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6" exif:PixelXDimension="4000"/></x:xmpmeta>'


def exif_block(turned: int = 6) -> bytes:
    main = [tags.numbers(tags.ORIENTATION, tags.SHORT, turned), tags.Entry(0x010F, 2, b"Maker of cameras\0")]
    sub = [
        tags.numbers(tags.PIXEL_WIDTH, tags.LONG, 4000),
        tags.numbers(tags.PIXEL_HEIGHT, tags.SHORT, 3000),
        tags.Entry(0x9003, 2, b"2020:01:01 00:00:00\0"),
    ]
    return tags.block(main, {tags.EXIF_DIRECTORY: sub})


def icc_profile(space: bytes) -> bytes:
    """The smallest profile that decoders accept: a header and an empty table of tags."""
    header = bytearray(128)
    header[8:12], header[12:16], header[16:20], header[20:24] = b"\x02\x10\0\0", b"mntr", space, b"XYZ "
    header[24:36] = bytes([7, 0xD0, 0, 8, 0, 11, 0, 19, 0, 51, 0, 59])
    header[36:40] = b"acsp"
    header[68:80] = bytes.fromhex("0000f6d6000100000000d32d")
    text = b"desc\0\0\0\0\0\0\0\x05test\0" + bytes(79)
    body = (1).to_bytes(4, "big") + b"desc" + (144).to_bytes(4, "big") + len(text).to_bytes(4, "big")
    header[0:4] = (144 + len(text)).to_bytes(4, "big")
    return bytes(header) + body + text


def picture(channels: int, alpha: bool, depth: int = 8, height: int = 30, width: int = 44) -> Picture:
    """Smooth, so that lossy formats stay close, and different in every channel."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(np.sin(x / (9 + 3 * c)) + np.cos(y / (7 + 2 * c)) + 2) / 4 for c in range(4)]
    top, dtype = (255, np.uint8) if depth == 8 else (65535, np.uint16)
    levels = np.rint(np.dstack(planes) * top).astype(dtype)
    levels[: height // 4, : width // 4, 3] = 0
    space = b"RGB " if channels == 3 else b"GRAY"
    metadata = Metadata(icc_profile(space), exif_block(), XMP)
    return Picture(np.ascontiguousarray(levels[..., :channels]), levels[..., 3].copy() if alpha else None, metadata)


def distance(a: Pixels, b: Pixels) -> float:
    """Mean difference in levels of 255."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    return float(np.abs(a.astype(float) - b.astype(float)).mean()) * 255 / np.iinfo(a.dtype).max


by_format = pytest.mark.parametrize("known", FORMATS, ids=lambda f: f.name)
by_depth = pytest.mark.parametrize("depth", [8, 16])
by_channels = pytest.mark.parametrize("channels", [1, 3])
by_alpha = pytest.mark.parametrize("alpha", [False, True])


@by_alpha
@by_channels
@by_depth
@by_format
def test_pixels_and_depth_survive_or_a_notice_says_why_not(
    tmp_path: Path, known: Format, depth: int, channels: int, alpha: bool
) -> None:
    original, path = picture(channels, alpha, depth), tmp_path / f"a{known.extensions[0]}"
    notices = " ".join(notice.text for notice in write_image(original, path, WriteOptions(known)))
    copy = read_picture(path)
    stored = 16 if known.name == "exr" else depth  # in levels of light
    assert (copy.depth == stored) == ("8 bits per channel" not in notices)
    assert (copy.alpha is not None) == (alpha and known.alpha)
    assert ("transparency: laid over white" in notices) == (alpha and not known.alpha)
    if copy.depth == stored and (copy.alpha is not None) == alpha:
        expected = with_depth(np.broadcast_to(original.color, copy.color.shape), stored)
        hides = known.name in ("gif", "jxl", "exr")  # colours that nobody sees
        seen = slice(None) if copy.alpha is None or not hides else copy.alpha > 0
        lossless = not known.lossy and known.name != "gif"
        exact = 0.05 if known.name == "exr" else 0
        assert distance(copy.color[seen], expected[seen]) <= (exact if lossless else 8)
    if alpha and copy.alpha is not None and original.alpha is not None and copy.depth == stored and known.name != "gif":
        assert distance(copy.alpha, with_depth(original.alpha, stored)) < 2


@by_alpha
@by_channels
@by_format
def test_metadata_survive_or_a_notice_says_why_not(tmp_path: Path, known: Format, channels: int, alpha: bool) -> None:
    original, path = picture(channels, alpha), tmp_path / f"a{known.extensions[0]}"
    notices = " ".join(notice.text for notice in write_image(original, path, WriteOptions(known)))
    copy = read_picture(path).metadata
    assert (copy.icc == original.metadata.icc) == ("ICC profile" not in notices)
    assert (
        (copy.exif is not None and b"Maker of cameras" in copy.exif)
        == ("exif" in known.metadata)
        == ("EXIF" not in notices)
    )
    assert (copy.xmp is not None) == ("xmp" in known.metadata) == ("XMP" not in notices)
    if copy.exif and copy.xmp:
        assert orientation(copy.exif) == 1
        assert b"2020:01:01" in copy.exif
        assert pixel_sizes(copy.exif) == (44, 30)
        assert b'tiff:Orientation="1" exif:PixelXDimension="44"' in copy.xmp


def pixel_sizes(exif: bytes) -> tuple[int, int]:
    main, _ = tags.read_directory(exif)
    sub, _ = tags.read_directory(exif, main[tags.EXIF_DIRECTORY].number)
    return sub[tags.PIXEL_WIDTH].number, sub[tags.PIXEL_HEIGHT].number


@by_alpha
@by_depth
def test_gray_stays_gray_in_png_with_and_without_alpha(tmp_path: Path, depth: int, alpha: bool) -> None:
    path = tmp_path / "a.png"
    write_image(picture(1, alpha, depth), path, WriteOptions(by_name("png")))
    assert read_picture(path).color.shape[2] == 1


def test_the_profile_of_another_colour_space_is_not_written(tmp_path: Path) -> None:
    original = picture(3, False)
    cmyk = Picture(original.color, None, Metadata(icc=icc_profile(b"CMYK")))
    notices = write_image(cmyk, tmp_path / "a.jpg", WriteOptions(by_name("jpeg")))
    assert notices == [note("jpeg does not hold this picture's ICC profile: dropped.")]
    assert read_picture(tmp_path / "a.jpg").metadata.icc is None


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(FORMATS), st.booleans(), st.sampled_from([1, 3]))
def test_every_size_survives(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, known: Format, alpha: bool, channels: int
) -> None:
    path = tmp_path_factory.mktemp("sizes") / f"a{known.extensions[0]}"
    write_image(picture(channels, alpha, 8, height, width), path, WriteOptions(known))
    copy = read_picture(path)
    assert (copy.height, copy.width) == (height, width)


@pytest.mark.parametrize(("name", "loops"), [("gif", 3), ("webp", 3), ("png", 3), ("avif", 0)])
def test_animations_keep_frames_timing_and_loops(tmp_path: Path, name: str, loops: int) -> None:
    frames = tuple(Picture(np.full((20, 24, 3), level, np.uint8)) for level in (0, 128, 255))
    known = by_name(name)
    path = tmp_path / f"a{known.extensions[0]}"
    assert write_image(Animation(frames, (40, 250, 1000), loops), path, WriteOptions(known)) == []
    copy = read_image(path)
    assert isinstance(copy, Animation)
    assert (copy.durations_ms, copy.loop_count) == ((40, 250, 1000), loops)
    for frame, original in zip(copy.frames, frames, strict=True):
        assert distance(frame.color, original.color) < 4


@pytest.mark.parametrize("name", ["webp", "png", "avif"])
def test_animations_keep_their_transparency(tmp_path: Path, name: str) -> None:
    alpha = np.zeros((20, 24), np.uint8)
    alpha[:10], alpha[10:15] = 255, 100
    frames = tuple(Picture(np.full((20, 24, 3), level, np.uint8), np.roll(alpha, level, 0)) for level in (0, 8))
    write_image(Animation(frames, (40, 60)), tmp_path / "a", WriteOptions(by_name(name)))
    for frame, original in zip(read_image(tmp_path / "a").frames, frames, strict=True):
        assert frame.alpha is not None
        assert original.alpha is not None
        assert distance(frame.alpha, original.alpha) < 2


def test_avif_says_that_it_is_shown_for_ever(tmp_path: Path) -> None:
    frames = tuple(Picture(np.full((8, 8, 3), level, np.uint8)) for level in (9, 200))
    notices = write_image(Animation(frames, (50, 50), 3), tmp_path / "a.avif", WriteOptions(by_name("avif")))
    assert notices == [note("avif is shown for ever, not 3 times (png, webp and gif hold it).")]


def test_an_animation_in_a_still_format_is_its_first_frame(tmp_path: Path) -> None:
    frames = tuple(Picture(np.full((8, 8, 3), level, np.uint8)) for level in (9, 200))
    notices = write_image(Animation(frames, (50, 50)), tmp_path / "a.jpg", WriteOptions(by_name("jpeg")))
    assert notices == [note("jpeg holds no animation: only the first frame was written.")]
    assert distance(read_picture(tmp_path / "a.jpg").color, frames[0].color) < 2


def test_one_frame_is_a_picture(tmp_path: Path) -> None:
    write_image(picture(3, False), tmp_path / "a.gif", WriteOptions(by_name("gif")))
    assert isinstance(read_image(tmp_path / "a.gif"), Picture)


@by_format
def test_formats_are_known_by_content_and_by_name(tmp_path: Path, known: Format) -> None:
    path = tmp_path / f"a{known.extensions[0]}"
    write_image(picture(3, False), path, WriteOptions(known))
    assert of_content(path.read_bytes()) == known == of_path(path) == by_name(known.name)
    renamed = path.rename(tmp_path / "a.misnamed")
    assert read_picture(renamed).width == 44


def test_extensions_name_one_format_each() -> None:
    assert len(EXTENSIONS) == sum(len(known.extensions) for known in (*FORMATS, *READ_ONLY))


def test_names_outside_ascii_work(tmp_path: Path) -> None:
    path = tmp_path / "größe 写真 📷.png"
    write_image(picture(3, True), path, WriteOptions(by_name("png")))
    assert read_picture(path).alpha is not None


def test_quality_decides_the_size_of_the_file(tmp_path: Path) -> None:
    sizes = []
    for quality in (30, 95):
        write_image(picture(3, False), tmp_path / "a.jpg", WriteOptions(by_name("jpeg"), quality))
        sizes.append((tmp_path / "a.jpg").stat().st_size)
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(("depth", "expected"), [(8, np.uint8), (16, np.uint16)])
def test_the_depth_can_be_chosen(tmp_path: Path, depth: int, expected: type) -> None:
    for source in (8, 16):
        write_image(picture(3, True, source), tmp_path / "a.png", WriteOptions(by_name("png"), depth=depth))
        copy = read_picture(tmp_path / "a.png")
        assert copy.color.dtype == expected
        assert distance(copy.color, picture(3, True, depth).color) <= 1


@pytest.mark.parametrize(
    ("name", "quality", "depth", "complaint"),
    [("png", 90, None, "lossless"), ("jpeg", 0, None, "out of range"), ("jpeg", None, 16, "does not hold 16 bits")],
)
def test_impossible_options_are_refused(name: str, quality: int | None, depth: int | None, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        WriteOptions(by_name(name), quality, depth)


def test_an_unknown_format_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no picture format 'psd'"):
        by_name("psd")


def test_what_cannot_be_encoded_leaves_no_file(tmp_path: Path) -> None:
    wide = Picture(np.zeros((1, 70_000, 3), np.uint8))
    with pytest.raises(OutputError, match="jpeg cannot hold 70000x1 pixels"):
        write_image(wide, tmp_path / "a.jpg", WriteOptions(by_name("jpeg")))
    for name in ("webp", "gif"):  # at once, not after minutes
        with pytest.raises(OutputError, match=f"{name} cannot hold 70000x1 pixels"):
            write_image(wide, tmp_path / "a", WriteOptions(by_name(name)))
    with pytest.raises(OutputError, match="Cannot write"):
        write_image(picture(3, False), tmp_path / "nowhere" / "a.png", WriteOptions(by_name("png")))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"the old file")

    def full(pixels: object, metadata: object, file: BinaryIO, known: object, quality: object, threads: object) -> None:
        file.write(b"the first bytes")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("upscale_cli.images.write.encode", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_image(picture(3, False), path, WriteOptions(by_name("png")))
    monkeypatch.undo()
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_png_with_gray_and_alpha_has_valid_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(picture(1, True, 16), path, WriteOptions(by_name("png")))
    data, position = path.read_bytes(), 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        body = data[position + 4 : position + 8 + length]
        assert zlib.crc32(body) == int.from_bytes(data[position + 8 + length : position + 12 + length], "big")
        position += 12 + length


@pytest.mark.parametrize(("height", "width"), [(8, 8), (100, 50), (97, 1023), (1000, 9), (9, 4100)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_jpeg_in_strips_is_the_picture_that_a_small_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: int, width: int, channels: int
) -> None:
    original = picture(channels, False, 8, height, width)
    write_image(original, tmp_path / "a.jpg", WriteOptions(by_name("jpeg")))
    monkeypatch.setattr(encode, "WHOLE_JPEG", 0)
    monkeypatch.setattr(encode, "STRIP", 5000)
    write_image(original, tmp_path / "b.jpg", WriteOptions(by_name("jpeg")))
    whole, strips = read_picture(tmp_path / "a.jpg"), read_picture(tmp_path / "b.jpg")
    assert np.array_equal(whole.color, strips.color)
    assert whole.metadata == strips.metadata
    with Image.open(tmp_path / "b.jpg") as image:  # another program's decoder agrees
        assert np.array_equal(np.asarray(image).reshape(strips.color.shape), strips.color)


@by_format
def test_arrays_may_be_mapped_read_only_and_in_any_order(tmp_path: Path, known: Format) -> None:
    """None of them may warn, or be changed."""
    original = picture(3, known.alpha, max(8, *known.depths) if known.name != "avif" else 16)
    assert original.alpha is not None or not known.alpha
    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", original.color.dtype, original.color.shape)
    mapped[:] = original.color
    mapped.flush()
    fixed = original.color.copy()
    fixed.flags.writeable = False
    options = WriteOptions(known)
    write_image(original, tmp_path / "a", options)
    for color in (
        np.load(tmp_path / "a.npy", mmap_mode="r"),
        fixed,
        np.asfortranarray(fixed),
        fixed[::-1, ::-1][::-1, ::-1],
    ):
        write_image(Picture(color, original.alpha, original.metadata), tmp_path / "b", options)
        assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
        assert np.array_equal(color, original.color)


def test_a_transparent_avif_with_xmp_alone_is_read(tmp_path: Path) -> None:
    """OpenCV refuses it."""
    original = picture(3, True)
    without_exif = Picture(original.color, original.alpha, Metadata(xmp=XMP))
    write_image(without_exif, tmp_path / "a.avif", WriteOptions(by_name("avif")))
    copy = read_picture(tmp_path / "a.avif")
    assert copy.metadata.xmp is not None
    assert distance(copy.color, original.color) < 8


@pytest.mark.parametrize("turned", [1, 3, 6])
def test_gray_tiff_keeps_its_transparency(tmp_path: Path, turned: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (6, 8, 2)).astype(np.uint8)
    exif = Image.Exif()
    exif[tags.ORIENTATION] = turned
    Image.fromarray(levels).save(tmp_path / "a.tif", exif=exif)
    upright = np.rot90(levels, {1: 0, 3: 2, 6: 3}[turned])
    copy = read_picture(tmp_path / "a.tif")
    assert copy.alpha is not None
    assert np.array_equal(np.dstack([copy.color, copy.alpha]), upright)

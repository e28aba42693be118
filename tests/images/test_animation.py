"""Animations: transparency, rhythm and canvas, and what files claim of them before anything is allocated."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from upscale_cli.errors import InputError, OutputError
from upscale_cli.images import chunks
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.formats import by_name
from upscale_cli.images.metadata import orientation
from upscale_cli.images.picture import Animation, Metadata, Picture
from upscale_cli.images.read import picture_header, read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import note

by_kind = pytest.mark.parametrize("name", ["gif", "webp", "png"])


def animation(alpha: bool = True, loop_count: int = 3) -> Animation:
    frames = []
    for level in (30, 128, 220):
        opacity = np.full((20, 24), 255, np.uint8)
        opacity[:10] = level // 2
        frames.append(Picture(np.full((20, 24, 3), level, np.uint8), opacity if alpha else None))
    return Animation(tuple(frames), (40, 250, 1000), loop_count)


def png(*parts: tuple[bytes, bytes], size: tuple[int, int] = (24, 20)) -> bytes:
    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    return chunks.PNG_SIGNATURE + b"".join(
        chunks.png_chunk(*part) for part in [(b"IHDR", header), *parts, (b"IEND", b"")]
    )


def gif(*frames: tuple[int, int, int, int], screen: tuple[int, int] = (4, 4)) -> bytes:
    """Frames of (left, top, width, height) whose pixels are all of the first colour, or missing."""
    data = struct.pack("<6sHHBBB6x", b"GIF89a", *screen, 0x80, 0, 0)
    for frame in frames:
        data += struct.pack("<BHHHHBB", 0x2C, *frame, 0, 2) + b"\x02\x44\x01\x00"
    return data + b";"


@by_kind
@pytest.mark.parametrize("loop_count", [0, 1, 3])
def test_frames_rhythm_and_repetitions_survive(tmp_path: Path, name: str, loop_count: int) -> None:
    original = animation(alpha=False, loop_count=loop_count)
    assert write_image(original, tmp_path / "a", WriteOptions(by_name(name))) == []
    copy = read_image(tmp_path / "a")
    assert isinstance(copy, Animation)
    assert (copy.durations_ms, copy.loop_count) == (original.durations_ms, loop_count)
    for frame, before in zip(copy.frames, original.frames, strict=True):
        assert frame.alpha is None
        assert np.abs(frame.color.astype(int) - before.color).max() <= 4


@pytest.mark.parametrize("name", ["webp", "png"])
def test_partial_transparency_survives(tmp_path: Path, name: str) -> None:
    original = animation()
    assert write_image(original, tmp_path / "a", WriteOptions(by_name(name))) == []
    copy = read_image(tmp_path / "a")
    assert isinstance(copy, Animation)
    for frame, before in zip(copy.frames, original.frames, strict=True):
        assert frame.alpha is not None
        assert before.alpha is not None
        assert np.abs(frame.alpha.astype(int) - before.alpha).max() <= 1


@pytest.mark.parametrize("alpha", [0, 1, 127, 128, 254, 255])
@pytest.mark.parametrize("frames", [1, 2])
def test_transparency_of_gif_is_cut_in_the_middle(tmp_path: Path, alpha: int, frames: int) -> None:
    opacity = np.full((8, 8), 255, np.uint8)
    opacity[:4] = alpha
    one, other = (Picture(np.full((8, 8, 3), level, np.uint8), opacity) for level in (200, 100))
    image = one if frames == 1 else Animation((one, other), (50, 50))
    notices = write_image(image, tmp_path / "a.gif", WriteOptions(by_name("gif")))
    assert (note("gif holds no partial transparency (png and webp hold it).") in notices) == (alpha not in (0, 255))
    copy = read_picture(tmp_path / "a.gif")
    visible = np.full((8, 8), 255) if copy.alpha is None else copy.alpha
    assert visible[:4].tolist() == np.full((4, 8), 255 if alpha >= 128 else 0).tolist()
    assert (visible[4:] == 255).all()


def test_metadata_of_an_animation_survive(tmp_path: Path) -> None:
    first, *others = animation().frames
    text = ((b"tEXt", b"parameters\0a cat"),)
    found = Metadata(xmp=b"<x:xmpmeta/>", text=text, resolution=(300.0, 300.0))
    moving = Animation((Picture(first.color, first.alpha, found), *others), (40, 40, 40))
    write_image(moving, tmp_path / "a.png", WriteOptions(by_name("png")))
    copy = read_picture(tmp_path / "a.png").metadata
    assert (copy.xmp, copy.text) == (found.xmp, text)
    assert copy.resolution == pytest.approx((300, 300), abs=0.02)
    notices = write_image(moving, tmp_path / "a.webp", WriteOptions(by_name("webp")))
    assert notices == [note("webp does not hold this picture's text, resolution: dropped.")]
    assert read_picture(tmp_path / "a.webp").metadata.xmp == found.xmp


def test_the_picture_for_viewers_without_animation_is_no_frame(tmp_path: Path) -> None:
    still, *moving = (Image.new("RGB", (9, 7), color) for color in ("red", "green", "blue"))
    still.save(tmp_path / "a.png", save_all=True, append_images=moving, default_image=True, duration=[30, 60])
    image = read_image(tmp_path / "a.png")
    assert isinstance(image, Animation)
    assert [tuple(frame.color[0, 0].tolist()) for frame in image.frames] == [(0, 128, 0), (0, 0, 255)]
    assert image.durations_ms == (30, 60)


def test_the_canvas_of_gif_has_room_for_every_frame(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif((0, 0, 1, 1), (5, 2, 1, 1)))
    image = read_image(tmp_path / "a.gif")
    assert isinstance(image, Animation)
    assert [frame.color.shape for frame in image.frames] == [(4, 6, 3)] * 2


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (gif(*[(0, 0, 1, 1)] * 20, screen=(4000, 9000)), "claims 20 frames of 4000x9000 pixels, more than 500 megapix"),
        (gif((0, 0, 1, 1), (65535, 65535, 65535, 65535)), "claims 2 frames of 131070x131070 pixels, more than 500"),
        (gif(*[(0, 0, 1, 1)] * 10_001), "claims 10001 frames of 4x4 pixels, more than 10000 frames"),
        (gif((0, 0, 1, 1), screen=(0, 0))[:-8], "its header does not tell its size"),
        (gif(screen=(0, 0)), "its header does not tell its size"),
        (png((b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", bytes(26)), size=(0, 0)), "does not tell its size"),
        (png(*[(b"acTL", struct.pack(">II", 2, 0))] * 2), "does not tell its size"),
        (png((b"acTL", struct.pack(">II", 2, 0)), *[(b"fcTL", bytes(26))] * 20_000), "more than 10000 frames"),
        (b"RIFF\x10\0\0\0WEBPVP8X", "its header does not tell its size"),
        (b"RIFF\x10\0\0\0WEBP", "its header does not tell its size"),
        (struct.pack("<4sI4s4sIB3x6s", b"RIFF", 22, b"WEBP", b"VP8X", 10, 2, b"\xff" * 6), "does not tell its size"),
    ],
    ids=range(11),
)
def test_claims_are_refused_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, complaint: str
) -> None:
    monkeypatch.setattr("upscale_cli.images.read.decode_animation", lambda data, known, header: pytest.fail("decoded"))
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        read_image(tmp_path / "a")


def test_an_animation_without_frames_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif())
    with pytest.raises(InputError, match="is damaged"):
        read_image(tmp_path / "a.gif")


def test_a_damaged_animated_png_does_not_end_the_process(tmp_path: Path) -> None:
    """Its decoder in OpenCV writes where it must not when a row has an unknown filter."""
    rows = b"".join(b"\x09" + bytes(24) for _ in range(20))
    control = struct.pack(">IIIIIHHBB", 0, 24, 20, 0, 0, 1, 10, 0, 0)
    content = png(
        (b"acTL", struct.pack(">II", 2, 0)),
        (b"fcTL", control),
        (b"IDAT", zlib.compress(rows)),
        (b"fcTL", bytes([0, 0, 0, 1]) + control[4:]),
        (b"fdAT", bytes([0, 0, 0, 2]) + zlib.compress(rows)),
    )
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match="is damaged and cannot be decoded"):
        read_image(tmp_path / "a.png")


def test_pillows_own_limits_neither_hold_nor_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for name in ("gif", "webp", "png"):
        write_image(animation(), tmp_path / "a", WriteOptions(by_name(name)))
        assert isinstance(read_image(tmp_path / "a"), Animation)
        data = (tmp_path / "a").read_bytes()
        (tmp_path / "b").write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError):
            read_image(tmp_path / "b")
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (10, True)


def test_palettes_of_frames_do_not_mix(tmp_path: Path) -> None:
    """Each frame has a palette of its own, the second drawn into a part of the first."""
    first, second = Image.new("P", (6, 6), 0), Image.new("P", (3, 3), 0)
    first.putpalette([255, 0, 0])
    second.putpalette([0, 0, 255])
    content = BytesIO()
    first.save(content, "GIF", save_all=True, append_images=[second.resize((6, 6))], duration=50, loop=0)
    (tmp_path / "a.gif").write_bytes(content.getvalue())
    image = read_image(tmp_path / "a.gif")
    assert isinstance(image, Animation)
    assert [frame.color[5, 5].tolist() for frame in image.frames] == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("name", ["webp", "png"])
def test_an_animation_is_turned_upright_as_its_exif_says(tmp_path: Path, name: str) -> None:
    frames = [np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8) for seed in range(2)]
    exif = Image.Exif()
    exif[tags.ORIENTATION] = 6
    first, second = map(Image.fromarray, frames)
    path = tmp_path / f"a.{name}"
    first.save(path, save_all=True, append_images=[second], exif=exif, duration=50, lossless=True)
    moving = read_image(path)
    assert isinstance(moving, Animation)
    assert [np.array_equal(frame.color, np.rot90(was, 3)) for frame, was in zip(moving.frames, frames, strict=True)]
    assert picture_header(path).size == moving.frames[0].color.shape[:2]
    assert orientation(moving.frames[0].metadata.exif) == 1


@pytest.mark.parametrize("name", ["webp", "gif"])
def test_more_loops_than_a_format_holds_become_as_many_as_it_does(tmp_path: Path, name: str) -> None:
    frames = tuple(Picture(np.full((4, 4, 3), level, np.uint8)) for level in (0, 255))
    write_image(Animation(frames, (20, 20), 2**31), tmp_path / "a", WriteOptions(by_name(name)))
    copy = read_image(tmp_path / "a")
    assert isinstance(copy, Animation)
    assert copy.loop_count >= 2**16 - 1


def test_an_animation_too_long_for_webp_is_refused_in_a_sentence(tmp_path: Path) -> None:
    frames = tuple(Picture(np.full((4, 4, 3), level, np.uint8)) for level in range(40))
    with pytest.raises(OutputError, match="webp cannot hold these 40 frames of 4x4 pixels"):
        write_image(Animation(frames, (65_535_000,) * 40, 0), tmp_path / "a", WriteOptions(by_name("webp")))


def test_what_stands_between_the_blocks_of_a_gif_hides_no_frame(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((19, 26), np.uint8)).save(tmp_path / "a.gif")
    data = bytearray((tmp_path / "a.gif").read_bytes())
    at = data.index(b",\0\0\0\0")
    data[8:10], data[at:at] = b"\1\0", b"\0\0"  # a canvas of one row, and what is no block before the frame
    (tmp_path / "a.gif").write_bytes(data)
    assert picture_header(tmp_path / "a.gif").size == (19, 26)
    assert read_picture(tmp_path / "a.gif").color.shape[:2] == (19, 26)


def test_a_canvas_that_no_webp_has_is_not_decoded(tmp_path: Path) -> None:
    """It would take a quarter of a minute."""
    content = BytesIO()
    Image.new("RGB", (8, 8)).save(content, "WEBP", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])
    data = bytearray(content.getvalue())
    at = data.index(b"VP8X") + 12
    data[at : at + 3] = (6_000_000).to_bytes(3, "little")
    (tmp_path / "a.webp").write_bytes(data)
    with pytest.raises(InputError, match="claims 2 frames of 6000001x8 pixels, and webp cannot hold"):
        read_image(tmp_path / "a.webp")

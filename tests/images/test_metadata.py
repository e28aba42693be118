"""Metadata on their way from one format to another: kept to the byte, or missed in one sentence."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscale_cli.images import chunks
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.formats import by_name
from upscale_cli.images.metadata import for_size, orientation
from upscale_cli.images.picture import Metadata, Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.read_header import read_header
from upscale_cli.images.write import WriteOptions, write_image

MAKER_NOTE = 0x927C
PIXELS = np.full((6, 8, 3), 90, np.uint8)


def written(found: Metadata, name: str, folder: Path) -> tuple[list[str], Metadata]:
    """Notices and what is read back."""
    notices = write_image(Picture(PIXELS, None, found), folder / f"a.{name}", WriteOptions(by_name(name)))
    return [notice.text for notice in notices], read_picture(folder / f"a.{name}").metadata


def exif_with_maker_note(order: str) -> tuple[bytes, bytes]:
    """An EXIF block, and its maker's note, which names its own position and that of its secret behind it."""
    position = 200
    secret = b"secret of the maker"
    note_ = struct.pack(order + "II", position, position + 8) + secret
    sub = [
        tags.Entry(MAKER_NOTE, tags.UNDEFINED, note_),
        tags.numbers(tags.PIXEL_WIDTH, tags.LONG, 4000),
        tags.Entry(0x9286, tags.UNDEFINED, "Ä comment".encode()),
    ]
    main = [tags.Entry(0x13B, 2, "Müller\0".encode()), tags.numbers(tags.EXIF_DIRECTORY, tags.LONG, 100)]
    block = bytearray(400)
    block[:8] = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    for start, entries in ((8, main), (100, sub)):
        directory = tags.write_directory(entries, start, order)
        block[start : start + len(directory)] = directory
    # The note where it says that it stands, and its entry pointing there.
    at = block.index(note_)
    block[at : at + len(note_)] = bytes(len(note_))
    block[position : position + len(note_)] = note_
    pointer = block.index(struct.pack(order + "HHI", MAKER_NOTE, tags.UNDEFINED, len(note_))) + 8
    block[pointer : pointer + 4] = struct.pack(order + "I", position)
    return bytes(block), note_


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif"])
def test_a_makers_note_with_absolute_positions_survives(tmp_path: Path, name: str, order: str) -> None:
    exif, makers = exif_with_maker_note(order)
    notices, found = written(Metadata(exif=exif), name, tmp_path)
    assert notices == []
    assert found.exif is not None
    assert found.exif.index(makers) == exif.index(makers) == struct.unpack_from(order + "I", makers)[0]
    main, _ = tags.read_directory(found.exif)
    sub, _ = tags.read_directory(found.exif, main[tags.EXIF_DIRECTORY].number)
    assert sub[MAKER_NOTE].value == makers
    assert sub[tags.PIXEL_WIDTH].number == 8
    assert main[0x13B].value == "Müller\0".encode()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_makers_note_keeps_its_position_in_tiff(tmp_path: Path, order: str, depth: int) -> None:
    exif, makers = exif_with_maker_note(order)
    options = WriteOptions(by_name("tiff"), depth=depth)
    write_image(Picture(PIXELS, None, Metadata(exif=exif)), tmp_path / "a.tif", options)
    data = (tmp_path / "a.tif").read_bytes()
    main, _ = tags.read_directory(data)
    sub, _ = tags.read_directory(data, main[tags.EXIF_DIRECTORY].number)
    assert sub[MAKER_NOTE].position == struct.unpack_from(order + "I", makers)[0]
    assert (sub[MAKER_NOTE].value, main[0x13B].value) == (makers, "Müller\0".encode())
    with Image.open(tmp_path / "a.tif") as image:  # another reader agrees
        assert image.getexif().get_ifd(tags.EXIF_DIRECTORY)[MAKER_NOTE] == makers
        assert image.getpixel((3, 3)) == (90, 90, 90)
    copy = read_picture(tmp_path / "a.tif")
    assert copy.depth == depth
    assert copy.metadata.exif is not None
    assert makers in copy.metadata.exif


def test_the_thumbnail_of_the_former_size_is_dropped() -> None:
    block = bytearray(tags.block([tags.numbers(tags.ORIENTATION, tags.SHORT, 6)], {}))
    _, after = tags.read_directory(block)
    block[after : after + 4] = struct.pack("<I", 8)
    exif = for_size(Metadata(exif=bytes(block)), 10, 20).exif
    assert exif is not None
    assert tags.next_directory(exif, after) == 0
    assert orientation(exif) == 1


@pytest.mark.parametrize(
    "before", [b'tiff:ImageWidth="12"', b"tiff:ImageWidth = '12'", b"<tiff:ImageWidth>12</tiff:ImageWidth>"]
)
def test_sizes_in_xmp_are_corrected(before: bytes) -> None:
    assert for_size(Metadata(xmp=before), 640, 480).xmp == before.replace(b"12", b"640")


TEXT = (
    (b"tEXt", b"parameters\0a cat, 8k\nSteps: 20"),
    (b"zTXt", b"workflow\0\0" + zlib.compress(b'{"nodes": []}' * 50)),
    (b"iTXt", b"Title\0\0\0de\0Titel\0" + "Kätzchen".encode()),
)


def test_text_of_png_survives_to_the_byte_before_and_behind_the_pixels(tmp_path: Path) -> None:
    notices, found = written(Metadata(text=TEXT), "png", tmp_path)
    assert (notices, found.text) == ([], TEXT)
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.info["parameters"] == "a cat, 8k\nSteps: 20"
        assert image.info["Title"] == "Kätzchen"
    data = (tmp_path / "a.png").read_bytes()
    text = data[data.index(b"tEXt") - 4 : data.index(b"IDAT") - 4]
    moved = data.replace(text, b"")[:-12] + text + data[-12:]
    (tmp_path / "b.png").write_bytes(moved)
    assert read_picture(tmp_path / "b.png").metadata.text == TEXT


def test_a_compressed_xmp_packet_and_a_bomb_of_one_are_told_apart(tmp_path: Path) -> None:
    for content, expected in ((b"<x:xmpmeta/>", b"<x:xmpmeta/>"), (bytes(1 << 25), None)):
        packet = (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(content))
        write_image(Picture(PIXELS, None, Metadata(text=(packet,))), tmp_path / "a.png", WriteOptions(by_name("png")))
        assert read_picture(tmp_path / "a.png").metadata.xmp == expected


@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_a_comment_survives(tmp_path: Path, name: str) -> None:
    notices, found = written(Metadata(comment=b"on the beach"), name, tmp_path)
    assert notices == []
    with Image.open(tmp_path / f"a.{name}") as image:
        assert image.info.get("comment", image.info.get("Comment")) in (b"on the beach", "on the beach")
    assert found.comment == b"on the beach" or found.text == ((b"tEXt", b"Comment\0on the beach"),)


@pytest.mark.parametrize("target", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("source", ["jpeg", "png", "tiff", "bmp"])
def test_the_resolution_is_kept_as_it_is(tmp_path: Path, source: str, target: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"a.{source}", dpi=(300, 150))
    metadata = read_picture(tmp_path / f"a.{source}").metadata
    assert metadata.resolution == pytest.approx((300, 150), abs=0.02)
    _, found = written(metadata, target, tmp_path)
    assert found.resolution == pytest.approx((300, 150), abs=0.02)
    with Image.open(tmp_path / f"a.{target}") as image:
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("png", chunks.png_chunk(b"pHYs", bytes(8))),
        ("jpeg", chunks.jpeg_segment(chunks.APP0, b"JFIF\0\1")),
        ("jpeg", chunks.jpeg_segment(chunks.APP2, chunks.ICC_HEADER)),
    ],
    ids=["pHYs", "JFIF", "ICC"],
)
def test_pixels_survive_beside_cut_off_metadata(tmp_path: Path, name: str, segment: bytes) -> None:
    written(Metadata(), name, tmp_path)
    path = tmp_path / f"a.{name}"
    start = {"png": 33, "jpeg": 2}[name]
    path.write_bytes(path.read_bytes()[:start] + segment + path.read_bytes()[start:])
    picture = read_picture(path)
    assert np.array_equal(picture.color, PIXELS)
    assert picture.metadata == Metadata()


@pytest.mark.parametrize("name", ["png", "jpeg"])
def test_a_resolution_beyond_reason_is_left_out(tmp_path: Path, name: str) -> None:
    finest = (2**32 - 1, 1)
    entries = [tags.numbers(tag, tags.RATIONAL, *finest) for tag in (tags.X_RESOLUTION, tags.Y_RESOLUTION)]
    written(Metadata(), "tiff", tmp_path)
    data = (tmp_path / "a.tiff").read_bytes()
    directory = tags.write_directory([*tags.read_directory(data)[0].values(), *entries], len(data))
    path = tmp_path / "b.tiff"
    path.write_bytes(data[:4] + struct.pack("<I", len(data)) + data[8:] + directory)
    picture = read_picture(path)
    assert picture.metadata.resolution is None
    assert written(picture.metadata, name, tmp_path)[0] == []


def test_a_resolution_that_nobody_chose_is_not_missed(tmp_path: Path) -> None:
    assert written(Metadata(resolution=(72, 72)), "webp", tmp_path)[0] == []
    assert written(Metadata(resolution=(300, 300)), "webp", tmp_path)[0] == [
        "webp does not hold this picture's resolution: dropped."
    ]


def test_what_is_too_long_for_jpeg_is_missed_in_one_sentence(tmp_path: Path) -> None:
    block = tags.block([tags.Entry(0x10E, 2, b"a" * 70_000 + b"\0")], {})
    found = Metadata(exif=block, xmp=b"<x:xmpmeta/>" + bytes(70_000), comment=b"c" * 70_000, text=TEXT)
    assert written(found, "jpeg", tmp_path) == (
        ["jpeg does not hold this picture's EXIF, XMP, text, comment: dropped."],
        Metadata(),
    )
    assert written(found, "png", tmp_path)[0] == []


def test_a_profile_larger_than_a_segment_survives(tmp_path: Path) -> None:
    profile = bytes(16) + b"RGB " + np.random.default_rng(0).bytes(150_000)
    for name in ("jpeg", "png", "tiff"):
        assert written(Metadata(icc=profile), name, tmp_path)[1].icc == profile


def test_smaller_versions_and_masks_are_no_pages(tmp_path: Path) -> None:
    write_image(Picture(PIXELS), tmp_path / "a.tif", WriteOptions(by_name("tiff")))
    data = (tmp_path / "a.tif").read_bytes()
    for subfile, pages in ((0, 2), (1, 1), (2, 2), (4, 1)):
        _, after = tags.read_directory(data)
        more = tags.write_directory([tags.numbers(tags.SUBFILE_TYPE, tags.LONG, subfile)], len(data))
        (tmp_path / "b.tif").write_bytes(data[:after] + struct.pack("<I", len(data)) + data[after + 4 :] + more)
        header = read_header((tmp_path / "b.tif").read_bytes(), by_name("tiff"))
        assert header is not None
        assert header.metadata.pages == pages


def test_directories_that_follow_each_other_for_ever_end(tmp_path: Path) -> None:
    write_image(Picture(PIXELS), tmp_path / "a.tif", WriteOptions(by_name("tiff")))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    _, after = tags.read_directory(data)
    struct.pack_into("<I", data, after, start)
    (tmp_path / "a.tif").write_bytes(data)
    assert read_picture(tmp_path / "a.tif").metadata.pages == 1


def test_pixels_survive_beside_damaged_exif(tmp_path: Path) -> None:
    for exif in (b"II*\0\xff\xff\xff\xff", b"no exif at all", b"II*\0\x08\0\0\0\xff\xff"):
        stored = Picture(PIXELS, None, Metadata(exif=tags.block([tags.numbers(tags.ORIENTATION, tags.SHORT, 1)], {})))
        write_image(stored, tmp_path / "a.jpg", WriteOptions(by_name("jpeg")))
        data = (tmp_path / "a.jpg").read_bytes()
        at = data.index(b"Exif\0\0") + 6
        (tmp_path / "a.jpg").write_bytes(data[:at] + exif + data[at + len(exif) :])
        copy = read_picture(tmp_path / "a.jpg")
        assert copy.metadata.exif is None
        assert copy.color.shape == PIXELS.shape
        assert replace(copy.metadata, resolution=None) == Metadata()

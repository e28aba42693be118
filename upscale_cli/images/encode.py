"""Pixels and metadata into a file: strip by strip where the format allows it, so that no second copy is held.

PNG, TIFF and PPM are written here: OpenCV writes neither gray with alpha nor text, in TIFF no metadata at all, and PNG
more slowly. Large JPEG files are strips by OpenCV, joined by restart markers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from upscale_cli.images import chunks, deflate, exr, jxl
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.convert import NotEncodable, StoredPixels
from upscale_cli.images.formats import Format
from upscale_cli.images.opencv import cv2, to_opencv
from upscale_cli.images.picture import Metadata, Pixels
from upscale_cli.images.tiff_tags import ByteOrder, Entry, Layout

STRIP = 1 << 20  # samples that are converted at a time
# The palette made for the picture; OpenCV's other ways use a fixed one of 3-3-2 bits.
GIF_PARAMETERS = (cv2.IMWRITE_GIF_QUALITY, 7, cv2.IMWRITE_GIF_DITHER, 3)
WHOLE_JPEG = 24_000_000  # pixels up to which Huffman tables are optimised, which takes 6 bytes of memory for each
LARGEST_TIFF = 2**32 - 2**26  # bytes of pixels: above, BigTIFF's positions of 64 bits are needed
_MOST_BLOCKS = 65_535  # of 8 x 8 pixels between two restart markers
_PROFILE_PART = 65_519  # bytes of an ICC profile that one segment takes


def encode(
    pixels: StoredPixels,
    metadata: Metadata,
    file: BinaryIO,
    known: Format,
    quality: int,
    threads: int | None = None,
) -> None:
    """Write a file of that format, which must hold the pixels' depth and channels and all of the metadata.

    ``threads`` compress PNG and TIFF; None: one for each core. Raises NotEncodable, cv2.error or struct.error where it
    cannot hold so many pixels.
    """
    writer = {"ppm": _ppm, "exr": exr.encode}.get(known.name)
    if writer:
        writer(pixels, metadata, file)
    elif known.name == "png":
        _png(pixels, metadata, file, threads)
    elif known.name == "tiff":
        encode_tiff([(pixels, metadata)], file, threads)
    elif known.name == "jpeg":
        _jpeg(pixels, metadata, file, quality)
    elif known.name == "jxl":
        jxl.encode(pixels, metadata, file, quality)
    else:
        _by_opencv(pixels, metadata, file, known, quality)


def _rows_per_strip(pixels: StoredPixels) -> int:
    return max(1, STRIP // (pixels.picture.width * pixels.channels))


def _png(pixels: StoredPixels, metadata: Metadata, file: BinaryIO, threads: int | None) -> None:
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[pixels.channels]
    header = struct.pack(">IIBBBBB", pixels.picture.width, pixels.picture.height, pixels.depth, kind, 0, 0, 0)
    file.write(chunks.PNG_SIGNATURE + chunks.png_chunk(b"IHDR", header))
    for name, content in png_metadata(metadata):
        file.write(chunks.png_chunk(name, content))
    for part in deflate.stream(_filtered(pixels), threads):
        file.write(chunks.png_chunk(b"IDAT", part))
    file.write(chunks.png_chunk(b"IEND", b""))


def _filtered(pixels: StoredPixels) -> Iterator[memoryview]:
    """Yield strips of rows as PNG compresses them: each as the difference to the row above (filter 2)."""
    above: Pixels = np.zeros(1, np.uint8)
    for strip in pixels.strips(_rows_per_strip(pixels)):
        rows = strip.astype(strip.dtype.newbyteorder(">")).view(np.uint8).reshape(len(strip), -1)
        filtered = np.full((len(rows), rows.shape[1] + 1), 2, np.uint8)
        np.subtract(rows[0], above, filtered[0, 1:])
        np.subtract(rows[1:], rows[:-1], filtered[1:, 1:])
        above = rows[-1]
        yield filtered.data.cast("B", [filtered.size])


def png_metadata(found: Metadata) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, content) of the chunks that hold the metadata."""
    if found.icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(found.icc)
    if found.exif:
        yield b"eXIf", found.exif
    if found.xmp:
        yield b"iTXt", chunks.PNG_XMP + bytes(4) + found.xmp
    if found.resolution:
        yield b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in found.resolution), 1)
    if found.comment:
        yield b"tEXt", b"Comment\0" + found.comment.replace(b"\0", b"")
    yield from found.text


def encode_tiff(pages: Sequence[tuple[StoredPixels, Metadata]], file: BinaryIO, threads: int | None = None) -> None:
    """Write a TIFF file: the first page's EXIF block, left as and where it is for makers' notes, and behind it pages.

    Each is its pixels and a directory, which for the first takes the place of the block's. What takes more than 4 GiB
    before it is compressed becomes BigTIFF, where the block's other directories are written anew.
    """
    block = pages[0][1].exif or b"II*\0" + bytes(4)
    layout = tags.CLASSIC if sum(pixels.size for pixels, _ in pages) <= LARGEST_TIFF else tags.BIG
    order: ByteOrder = tags.byte_order(block) if layout is tags.CLASSIC else "<"  # Pillow misreads the others
    pointers = _tiff_beginning(block, file, order, layout)
    link = layout.link
    for pixels, metadata in pages:
        entries = [*_tiff_page(pixels, metadata, file, order, layout, threads), *pointers]
        pointers = []
        file.write(bytes(file.tell() % 2))
        position = file.tell()
        file.write(tags.write_directory(entries, position, order, layout))
        end = file.tell()
        file.seek(link)
        file.write(struct.pack(order + layout.position, position))
        file.seek(end)
        link = position + layout.size_of({entry.tag for entry in entries})


def _tiff_beginning(block: bytes, file: BinaryIO, order: ByteOrder, layout: Layout) -> list[Entry]:
    """Write the file's head with the directories of the EXIF ``block``, and return the entries that point to them."""
    main = tags.read_directory(block, wanted=(tags.EXIF_DIRECTORY, tags.GPS_DIRECTORY))[0] if any(block[4:]) else {}
    if layout is tags.CLASSIC:
        file.write(block + bytes(len(block) % 2))
        return list(main.values())
    pointers = []
    file.write(b"II" + struct.pack("<HHHQ", 43, 8, 0, 0))
    for tag, entry in main.items():
        with suppress(tags.TiffError):
            child, _ = tags.read_directory(block, entry.number)
            child.pop(tags.INTEROPERABILITY_DIRECTORY, None)
            pointers.append(tags.numbers(tag, tags.LONG8, file.tell()))
            file.write(tags.write_directory(child.values(), file.tell(), order, layout))
    return pointers


def _tiff_page(
    pixels: StoredPixels, metadata: Metadata, file: BinaryIO, order: ByteOrder, layout: Layout, threads: int | None
) -> list[Entry]:
    """Write the strips of a page, and return the entries of its directory but those that point to others."""
    offsets, sizes, height = [], [], _rows_per_strip(pixels)

    def compressed(strip: Pixels) -> bytes:
        steps = strip.copy()
        if not pixels.floating:  # predictor 2: differences to the pixel on the left
            np.subtract(strip[:, 1:], strip[:, :-1], steps[:, 1:])
        return deflate.strip(steps.astype(strip.dtype.newbyteorder(order)).data)

    for part in deflate.in_order(compressed, pixels.strips(height), threads):
        offsets.append(file.tell())
        sizes.append(file.write(part))
    entries = [
        *_described(metadata),
        tags.numbers(tags.IMAGE_WIDTH, tags.LONG, pixels.picture.width),
        tags.numbers(tags.IMAGE_LENGTH, tags.LONG, pixels.picture.height),
        tags.numbers(tags.BITS_PER_SAMPLE, tags.SHORT, *[pixels.depth] * pixels.channels),
        tags.numbers(tags.COMPRESSION, tags.SHORT, 8),
        tags.numbers(tags.PHOTOMETRIC, tags.SHORT, 2 if pixels.channels >= 3 else 1),
        tags.numbers(tags.STRIP_OFFSETS, tags.LONG if layout is tags.CLASSIC else tags.LONG8, *offsets),
        tags.numbers(tags.SAMPLES_PER_PIXEL, tags.SHORT, pixels.channels),
        tags.numbers(tags.ROWS_PER_STRIP, tags.LONG, height),
        tags.numbers(tags.STRIP_SIZES, tags.LONG, *sizes),
        tags.numbers(tags.PREDICTOR, tags.SHORT, 1 if pixels.floating else 2),
        tags.numbers(tags.SAMPLE_FORMAT, tags.SHORT, *[3 if pixels.floating else 1] * pixels.channels),
    ]
    if pixels.channels in (2, 4):
        entries.append(tags.numbers(tags.EXTRA_SAMPLES, tags.SHORT, 2))
    return entries


def _described(found: Metadata) -> Iterator[Entry]:
    """Yield the tags of a TIFF file's directory that describe the picture."""
    if found.resolution:
        x, y = (round(value * 1000) for value in found.resolution)
        yield tags.numbers(tags.X_RESOLUTION, tags.RATIONAL, x, 1000)
        yield tags.numbers(tags.Y_RESOLUTION, tags.RATIONAL, y, 1000)
        yield tags.numbers(tags.RESOLUTION_UNIT, tags.SHORT, 2)
    if found.exif:
        yield from tags.read_directory(found.exif, wanted=tags.DESCRIBING)[0].values()
    if found.icc:
        yield Entry(tags.ICC, tags.UNDEFINED, found.icc)
    if found.xmp:
        yield Entry(tags.XMP, tags.BYTE, found.xmp)


def _jpeg(pixels: StoredPixels, metadata: Metadata, file: BinaryIO, quality: int) -> None:
    """One scan by OpenCV, or, of a large picture, those of its strips with restart markers between them."""
    height, width = pixels.picture.height, pixels.picture.width
    whole, blocks = height * width <= WHOLE_JPEG, -(-width // 8)
    block_rows = max(1, min(_MOST_BLOCKS // blocks, _rows_per_strip(pixels) // 8))
    parameters = [
        *(cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, int(whole)),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    for number, strip in enumerate(pixels.strips(height if whole else 8 * block_rows)):
        data = memoryview(_opencv(".jpg", strip, parameters))
        found = {segment.marker: segment for segment in chunks.jpeg_segments(data)}
        scan = found[chunks.START_OF_SCAN]
        if number == 0:
            tables = found[chunks.APP0].end
            head = bytearray(data[tables : scan.position])
            struct.pack_into(">H", head, found[chunks.BASELINE_FRAME].position - tables + 5, height)
            file.write(b"\xff\xd8" + _jpeg_metadata(metadata) + head)
            if not whole:
                file.write(chunks.jpeg_segment(chunks.RESTART_INTERVAL, struct.pack(">H", blocks * block_rows)))
            file.write(data[scan.position : scan.end])
        else:
            file.write(bytes([0xFF, chunks.RESTART + (number - 1) % 8]))
        file.write(data[scan.end : -2])
    file.write(bytes([0xFF, chunks.END]))


def _jpeg_metadata(found: Metadata) -> bytes:
    x, y = (min(round(value), 65535) for value in found.resolution or (1, 1))
    jfif = struct.pack(">5sHBHHxx", b"JFIF", 0x101, bool(found.resolution), x, y)
    profile = found.icc or b""
    parts = [profile[start : start + _PROFILE_PART] for start in range(0, len(profile), _PROFILE_PART)]
    written = chunks.jpeg_segment(chunks.APP0, jfif)
    if found.exif:
        written += chunks.jpeg_segment(chunks.APP1, chunks.EXIF_HEADER + found.exif)
    if found.xmp:
        written += chunks.jpeg_segment(chunks.APP1, chunks.XMP_HEADER + found.xmp)
    for number, part in enumerate(parts, 1):
        written += chunks.jpeg_segment(chunks.APP2, chunks.ICC_HEADER + bytes([number, len(parts)]) + part)
    return written + (chunks.jpeg_segment(chunks.COMMENT, found.comment) if found.comment else b"")


def _ppm(pixels: StoredPixels, metadata: Metadata, file: BinaryIO) -> None:
    kind, most = 5 if pixels.channels == 1 else 6, 2**pixels.depth - 1
    file.write(b"P%d\n%d %d\n%d\n" % (kind, pixels.picture.width, pixels.picture.height, most))
    for strip in pixels.strips(_rows_per_strip(pixels)):
        file.write(strip.astype(strip.dtype.newbyteorder(">")).tobytes())


def _by_opencv(pixels: StoredPixels, metadata: Metadata, file: BinaryIO, known: Format, quality: int) -> None:
    rows = pixels.rows(0, pixels.picture.height)
    if known.name == "avif" and pixels.depth == 16:
        rows = np.rint(rows * (4095 / 65535)).astype(np.uint16)
    parameters: dict[str, list[int]] = {
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        "gif": [*GIF_PARAMETERS],
        "avif": [cv2.IMWRITE_AVIF_QUALITY, quality, cv2.IMWRITE_AVIF_DEPTH, 12 if pixels.depth == 16 else 8],
    }
    file.write(_opencv(known.extensions[0], rows, parameters.get(known.name, []), metadata))


def _opencv(extension: str, rows: Pixels, parameters: list[int], metadata: Metadata | None = None) -> Any:
    """Return the encoded bytes, as an array."""
    found = metadata or Metadata()
    blocks = {
        cv2.IMAGE_METADATA_EXIF: found.exif,
        cv2.IMAGE_METADATA_XMP: found.xmp,
        cv2.IMAGE_METADATA_ICCP: found.icc,
    }
    held = {kind: np.frombuffer(block, np.uint8).reshape(1, -1) for kind, block in blocks.items() if block}
    return encoded(*cv2.imencodeWithMetadata(extension, to_opencv(rows), [*held], [*held.values()], parameters))


def encoded(ok: bool, data: Any) -> Any:
    """Return the bytes that OpenCV encoded, as an array. Raises NotEncodable where it did not."""
    if not ok:
        raise NotEncodable
    return data

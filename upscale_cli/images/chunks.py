"""The parts that PNG, JPEG and GIF files consist of: found without decoding anything, and written."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from upscale_cli.images.tiff_tags import Buffer

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Text and colour profiles can be bombs, and the chunks of animations crash OpenCV: decoders get none of them.
PNG_STILL = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
PNG_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})
PNG_ANIMATION = PNG_STILL | {b"acTL", b"fcTL", b"fdAT"}

EXIF_HEADER, ICC_HEADER, XMP_HEADER = b"Exif\0\0", b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/1.0/\0"
PNG_XMP = b"XML:com.adobe.xmp\0"

STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE_FRAMES = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
APP0, APP1, APP2, COMMENT = 0xE0, 0xE1, 0xE2, 0xFE
BASELINE_FRAME, RESTART, END, START_OF_SCAN, RESTART_INTERVAL = 0xC0, 0xD0, 0xD9, 0xDA, 0xDD
LARGEST_SEGMENT = 65533
_GIF_FRAME, _GIF_END = 0x2C, 0x3B
_GIF_BLOCK = re.compile(rb"[,!;]")  # a frame, an extension or the end
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_MARKER_AFTER_SCAN = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")


def png_chunks(data: Buffer) -> Iterator[tuple[bytes, Buffer]]:
    """Yield (kind, content) of a PNG file's chunks, as far as they are whole."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + length > len(data):
            return
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def png_chunk(kind: bytes, content: Buffer) -> bytes:
    """Return the chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def only(data: Buffer, kinds: frozenset[bytes]) -> bytes:
    """Return the PNG file with chunks of these kinds only, their checksums as they are."""
    kept, position = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    for kind, content in png_chunks(data):
        length = 12 + len(content)
        if kind in kinds:
            kept.append(bytes(data[position : position + length]))
        position += length
    return b"".join(kept)


@dataclass(frozen=True)
class Segment:
    """Part of a JPEG file; ``position``: where its marker stands."""

    marker: int
    content: Buffer
    position: int

    @property
    def end(self) -> int:
        """Where the next segment, or the compressed pixels, begin."""
        return self.position + 4 + len(self.content)


def jpeg_segments(data: Buffer) -> Iterator[Segment]:
    """Yield the segments of a JPEG file up to its end mark, or as far as they go; compressed pixels are passed over.

    Segments that stand before the pixels are found without reading these.
    """
    position = 2
    while position + 2 <= len(data):
        if data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        length = 0 if marker == END or marker in _WITHOUT_LENGTH else int.from_bytes(data[position + 2 : position + 4])
        yield Segment(marker, data[position + 4 : position + 2 + length], position)
        if marker == END:
            return
        position += 2 + length
        if marker == START_OF_SCAN:
            found = _MARKER_AFTER_SCAN.search(data, position)
            position = found.start() if found else len(data)


def jpeg_segment(marker: int, content: bytes) -> bytes:
    """Return a segment of at most LARGEST_SEGMENT bytes."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def gif_frames(data: Buffer) -> Iterator[tuple[int, int]]:
    """Yield (bottom, right), where each frame of a GIF file ends. Raises IndexError where the file is cut off.

    What stands between blocks is passed over, as decoders do.
    """
    position = 13 + _palette_size(data[10])
    while (block := _GIF_BLOCK.search(data, position)) and data[block.start()] != _GIF_END:
        position = block.start()
        if data[position] == _GIF_FRAME:
            left, top, width, height = struct.unpack_from("<4H", data, position + 1)
            yield top + height, left + width
            position += 11 + _palette_size(data[position + 9])
        else:
            position += 2
        while data[position]:
            position += 1 + data[position]
        position += 1


def _palette_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0

"""What a file's first bytes say of its picture, before anything is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.formats import Format

Size = tuple[int, int]
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def size(data: bytes, known: Format) -> Size | None:
    """(height, width) of the first picture in a file of that format; None where the header does not tell."""
    try:
        return _READERS[known.name](data)
    except (struct.error, IndexError, ValueError):
        return None


def _jpeg(data: bytes) -> Size | None:
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return height, width
        position += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return height, width


def _bmp(data: bytes) -> Size:
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(height), abs(width)


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


def _tiff(data: bytes) -> Size | None:
    entries, _ = tags.read_directory(data, tags.first_directory(data))
    height, width = tags.find(entries, tags.IMAGE_LENGTH), tags.find(entries, tags.IMAGE_WIDTH)
    return (height.number, width.number) if height and width else None


def _avif(data: bytes) -> Size | None:
    sizes = [struct.unpack_from(">II", data, match.end() + 4) for match in re.finditer(b"ispe", data)]
    return (max(height for _, height in sizes), max(width for width, _ in sizes)) if sizes else None


def _ppm(data: bytes) -> Size:
    width, height = re.sub(rb"#[^\n]*\n", b" ", data[:4096])[2:].split(maxsplit=2)[:2]
    return int(height), int(width)


_READERS: dict[str, Callable[[bytes], Size | None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "bmp": _bmp,
    "webp": _webp,
    "tiff": _tiff,
    "avif": _avif,
    "ppm": _ppm,
}


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of a PNG file's chunks, as far as they are whole."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + length > len(data):
            return
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def is_complete(data: bytes, known: Format) -> bool:
    """Whether the file goes on to its end mark, for the formats whose decoder is lenient or loud about it."""
    if known.name == "png":
        return any(kind == b"IEND" for kind, _ in png_chunks(data))
    if known.name == "jpeg":
        return data.rfind(b"\xff\xd9") > 0
    return True


def is_animated(data: bytes, known: Format) -> bool:
    """Whether the file may hold more than one picture to be shown in turn."""
    if known.name == "png":
        return any(kind == b"acTL" for kind, _ in png_chunks(data))
    if known.name == "webp":
        return data[12:16] == b"VP8X" and bool(data[20] & 2)
    return known.name == "gif"


def is_gray_with_alpha(data: bytes, known: Format) -> bool:
    """Whether the stored pixels are gray and alpha, which the decoder gives as RGBA."""
    return known.name == "png" and data[25] == 4


def avif_depth(data: bytes) -> int:
    """Bits per channel of an AVIF picture (box ``pixi``)."""
    position = data.find(b"pixi")
    return data[position + 9] if position >= 0 and position + 9 < len(data) else 8

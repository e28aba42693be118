"""TIFF directories, the structure that TIFF files and EXIF blocks share (TIFF 6.0, section 2), those of BigTIFF too.

Pillow reads and writes them too, but moves the values that it writes, and camera makers' notes point at positions. So
tags are read here with their position, to be changed in place. Values are kept as bytes in little-endian order.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Literal

SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE = 0xFE, 0x100, 0x101, 0x102
COMPRESSION, PHOTOMETRIC = 0x103, 0x106
STRIP_OFFSETS, ORIENTATION, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_SIZES = 0x111, 0x112, 0x115, 0x116, 0x117
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x11A, 0x11B, 0x128
PLANES, PREDICTOR, COLOR_MAP, TILE_WIDTH, TILE_LENGTH = 0x11C, 0x13D, 0x140, 0x142, 0x143
TILE_OFFSETS, TILE_SIZES, SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT = 0x144, 0x145, 0x14A, 0x152, 0x153
XMP, EXIF_DIRECTORY, ICC, GPS_DIRECTORY = 0x2BC, 0x8769, 0x8773, 0x8825
PIXEL_WIDTH, PIXEL_HEIGHT, INTEROPERABILITY_DIRECTORY = 0xA002, 0xA003, 0xA005
# Of a TIFF file's own directory: what describes the picture, not how the file stores it.
DESCRIBING = frozenset({0x10E, 0x10F, 0x110, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, 0x131, 0x132, 0x13B, 0x8298})
OF_SENSORS = frozenset({32803, 34892})  # photometric interpretations: colour filter array, and linear raw
BYTE, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 3, 4, 5, 7, 16

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
# Bytes that are swapped together.
_WORDS = {3: 2, 8: 2, 4: 4, 9: 4, 5: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

ByteOrder = Literal["<", ">"]
Buffer = bytes | bytearray | memoryview  # of a whole file, or of a part of it
LARGEST_DIRECTORY = 1000


class TiffError(ValueError):
    """The bytes are no TIFF structure."""


@dataclass(frozen=True)
class Layout:
    """How wide the numbers of a directory are, as ``struct`` names them: of tags, of a tag's values, of positions."""

    tags: Literal["H", "Q"]
    position: Literal["I", "Q"]
    link: int  # where the position of the first directory is stored

    @property
    def width(self) -> int:
        """Bytes of a position; values that take no more stand in its place."""
        return struct.calcsize(self.position)

    @property
    def row(self) -> str:
        """A tag: its number, type, count of values, and value or position."""
        return f"HH{self.position}{self.width}s"

    def size_of(self, tags: Sized) -> int:
        """Return the bytes of a directory up to where the next one's position is stored."""
        return struct.calcsize(self.tags) + struct.calcsize("<" + self.row) * len(tags)


CLASSIC, BIG = Layout("H", "I", 4), Layout("Q", "Q", 8)


@dataclass(frozen=True)
class Entry:
    """One tag: its number, type, and value in little-endian bytes. ``position``: of its value in the source."""

    tag: int
    kind: int
    value: bytes
    position: int = 0

    @property
    def number(self) -> int:
        """The value, or its first number; of a fraction the numerator."""
        return int.from_bytes(self.value[: _WORDS.get(self.kind, 1)], "little")

    @property
    def numbers(self) -> list[int]:
        """The value's whole numbers."""
        step = _WORDS.get(self.kind, 1)
        return [int.from_bytes(self.value[at : at + step], "little") for at in range(0, len(self.value), step)]

    @property
    def fraction(self) -> float:
        """The value of a RATIONAL tag, 0 where it is none."""
        below = int.from_bytes(self.value[4:8], "little") if self.kind == RATIONAL else 0
        return self.number / below if below else 0.0


Directory = dict[int, Entry]


def byte_order(data: Buffer) -> ByteOrder:
    """Return ``<`` or ``>``, as ``struct`` writes it. Raises TiffError."""
    layout_of(data)
    return "<" if data[0] == ord("I") else ">"


def layout_of(data: Buffer) -> Layout:
    """Return whether the directories are those of TIFF or of BigTIFF. Raises TiffError."""
    head = bytes(data[:8])
    if head[:4] in (b"II*\0", b"MM\0*"):
        return CLASSIC
    if head in (b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"):
        return BIG
    raise TiffError("no TIFF header")


def read_directory(
    data: Buffer, position: int | None = None, wanted: Container[int] | None = None
) -> tuple[Directory, int]:
    """Return the tags of the directory at ``position`` (None: the first) and where the next one's position is stored.

    Tags of unknown type or outside the file are left out, and so is what makes all values larger than the file.
    Raises TiffError, also for more than LARGEST_DIRECTORY tags.
    """
    order, layout = byte_order(data), layout_of(data)
    row, width = struct.Struct(order + layout.row), layout.width
    try:
        position = first_directory(data) if position is None else position
        (count,) = struct.unpack_from(order + layout.tags, data, position)
        first = position + struct.calcsize(layout.tags)
        if count > LARGEST_DIRECTORY:
            raise TiffError("a directory is too long")
        rows = list(row.iter_unpack(data[first : first + row.size * count]))
    except (struct.error, OverflowError) as error:
        raise TiffError("a directory points outside the file") from error
    entries: Directory = {}
    budget = len(data)
    for index, (tag, kind, number, inline) in enumerate(rows):
        if wanted is not None and tag not in wanted:
            continue
        size, here = _SIZES.get(kind, 0) * number, first + row.size * (index + 1) - width
        at = here if size <= width else struct.unpack(order + layout.position, inline)[0]
        if 0 < size <= budget and at + size <= len(data) and tag not in entries:
            entries[tag] = Entry(tag, kind, _little_endian(bytes(data[at : at + size]), kind, order), at)
            budget -= size
    return entries, first + row.size * count


def first_directory(data: Buffer) -> int:
    """Return the position of the first directory. Raises TiffError."""
    return next_directory(data, layout_of(data).link)


def beginning_at(data: bytes, position: int) -> bytes:
    """Return the file ``data`` with the directory at ``position`` as its first. Raises TiffError."""
    layout = layout_of(data)
    stored = struct.pack(byte_order(data) + layout.position, position)
    return data[: layout.link] + stored + data[layout.link + layout.width :]


def next_directory(data: Buffer, position: int) -> int:
    """Return the position that is stored at ``position``, 0 where no directory follows."""
    layout = layout_of(data)
    stored = bytes(data[position : position + layout.width])
    return int(struct.unpack(byte_order(data) + layout.position, stored)[0]) if len(stored) == layout.width else 0


def _little_endian(value: bytes, kind: int, order: str) -> bytes:
    """Swap the words of a value in ``order``; its own inverse."""
    word = _WORDS.get(kind, 1)
    if order == "<" or word == 1:
        return value
    return b"".join(value[i : i + word][::-1] for i in range(0, len(value), word))


def numbers(tag: int, kind: int, *values: int) -> Entry:
    """Return a tag of whole numbers; of RATIONAL ones, numerators and denominators in turn."""
    return Entry(tag, kind, struct.pack(f"<{len(values)}{ {SHORT: 'H', LONG8: 'Q'}.get(kind, 'I') }", *values))


def write_directory(entries: Iterable[Entry], position: int, order: str = "<", layout: Layout = CLASSIC) -> bytes:
    """Return a directory with its values behind it, for a file where it will stand at ``position``."""
    ordered = sorted({entry.tag: entry for entry in entries}.values(), key=lambda entry: entry.tag)
    fields, values = struct.pack(order + layout.tags, len(ordered)), b""
    behind = position + len(fields) + struct.calcsize(order + layout.row) * len(ordered) + layout.width
    for entry in ordered:
        value = _little_endian(entry.value, entry.kind, order)
        inline = value.ljust(layout.width, b"\0")
        if len(value) > layout.width:
            inline = struct.pack(order + layout.position, behind + len(values))
            values += value + b"\0" * (len(value) % 2)
        fields += struct.pack(order + layout.row, entry.tag, entry.kind, len(value) // _SIZES[entry.kind], inline)
    return fields + struct.pack(order + layout.position, 0) + values


def block(main: Iterable[Entry], children: Mapping[int, Iterable[Entry]]) -> bytes:
    """Return an EXIF block: ``children`` are the directories that the tags they are keyed by point to."""
    pointers, written = [], b""
    for tag, child in children.items():
        pointers.append(numbers(tag, LONG, 8 + len(written)))
        written += write_directory(child, 8 + len(written))
    at = 8 + len(written)
    return b"II*\0" + struct.pack("<I", at) + written + write_directory([*main, *pointers], at)

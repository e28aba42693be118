"""TIFF directories, the structure that TIFF files and EXIF blocks share (TIFF 6.0, section 2).

Values are kept as bytes in little-endian order, so that directories can be moved between files of either order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

ORIENTATION, IMAGE_WIDTH, IMAGE_LENGTH = 0x0112, 0x0100, 0x0101
EXTRA_SAMPLES, XMP, ICC = 0x0152, 0x02BC, 0x8773
EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
BYTE, SHORT, LONG, UNDEFINED = 1, 3, 4, 7

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_WORDS = {3: 2, 8: 2, 4: 4, 9: 4, 5: 4, 10: 4, 11: 4, 12: 8}  # what is swapped as one
LARGEST_DIRECTORY = 1000


class TiffError(ValueError):
    """The bytes are no TIFF structure."""


@dataclass(frozen=True)
class Entry:
    """One tag: its number, type, and value in little-endian bytes. ``position``: of its value in the source."""

    tag: int
    kind: int
    value: bytes
    position: int = 0

    @property
    def number(self) -> int:
        """The value of a tag that is a whole number."""
        return int.from_bytes(self.value[: _SIZES[self.kind]], "little")


def byte_order(data: bytes) -> str:
    """``<`` or ``>``, as ``struct`` writes it. Raises TiffError."""
    if data[:4] == b"II*\x00":
        return "<"
    if data[:4] == b"MM\x00*":
        return ">"
    raise TiffError("no TIFF header")


def first_directory(data: bytes) -> int:
    """Where the first directory stands."""
    return _number(data, 4, "I")


def _number(data: bytes, position: int, code: str) -> int:
    size = struct.calcsize(code)
    if position < 0 or position + size > len(data):
        raise TiffError("a directory points outside the file")
    return int(struct.unpack_from(byte_order(data) + code, data, position)[0])


def read_directory(data: bytes, position: int) -> tuple[list[Entry], int]:
    """The entries of the directory at ``position``, and where the place of the next directory's position is."""
    count = _number(data, position, "H")
    if count > LARGEST_DIRECTORY:
        raise TiffError("a directory is too long")
    entries = [_read_entry(data, position + 2 + 12 * index) for index in range(count)]
    return [entry for entry in entries if entry is not None], position + 2 + 12 * count


def _read_entry(data: bytes, position: int) -> Entry | None:
    tag, kind, count = (
        _number(data, position, "H"),
        _number(data, position + 2, "H"),
        _number(data, position + 4, "I"),
    )
    if kind not in _SIZES:
        return None
    size = _SIZES[kind] * count
    at = position + 8 if size <= 4 else _number(data, position + 8, "I")
    if at + size > len(data):
        return None
    return Entry(tag, kind, _swapped(data[at : at + size], kind, byte_order(data)), at)


def _swapped(value: bytes, kind: int, order: str) -> bytes:
    word = _WORDS.get(kind, 1)
    if order == "<" or word == 1:
        return value
    return b"".join(value[i : i + word][::-1] for i in range(0, len(value), word))


def find(entries: Iterable[Entry], tag: int) -> Entry | None:
    """The entry with that tag."""
    return next((entry for entry in entries if entry.tag == tag), None)


def number_entry(tag: int, value: int, kind: int = LONG) -> Entry:
    """A tag whose value is one whole number."""
    return Entry(tag, kind, value.to_bytes(_SIZES[kind], "little"))


def write_directory(entries: Iterable[Entry], position: int) -> bytes:
    """A directory, little-endian, with its values behind it, for a file where it will stand at ``position``."""
    ordered = sorted({entry.tag: entry for entry in entries}.values(), key=lambda entry: entry.tag)
    values_at = position + 2 + 12 * len(ordered) + 4
    fields, values = struct.pack("<H", len(ordered)), b""
    for entry in ordered:
        fields += struct.pack("<HHI", entry.tag, entry.kind, len(entry.value) // _SIZES[entry.kind])
        if len(entry.value) <= 4:
            fields += entry.value.ljust(4, b"\0")
        else:
            fields += struct.pack("<I", values_at + len(values))
            values += entry.value + b"\0" * (len(entry.value) % 2)
    return fields + struct.pack("<I", 0) + values


def write_tree(entries: Iterable[Entry], children: dict[int, list[Entry]], position: int) -> bytes:
    """A directory at ``position`` and, behind it, the directories that the tags of ``children`` point to."""
    plain = [entry for entry in entries if entry.tag not in children]
    placeholder = [number_entry(tag, 0) for tag in children]
    offset = position + len(write_directory([*plain, *placeholder], position))
    pointers, tails = [], b""
    for tag, child in children.items():
        pointers.append(number_entry(tag, offset + len(tails)))
        tails += write_directory(child, offset + len(tails))
    return write_directory([*plain, *pointers], position) + tails

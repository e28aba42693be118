"""MATLAB's MAT-files of version 5, as far as one real matrix goes (MathWorks, "MAT-File Format", chapter 1).

A file is a header of 128 bytes and elements: a tag of type and length, then the data, padded to eight bytes. An
element may be packed with zlib, and short data may lie inside the tag.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = 128
INT8, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED = 1, 5, 6, 9, 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
DOUBLE_CLASS, FIRST_NUMERIC_CLASS, LAST_NUMERIC_CLASS = 6, 6, 15
COMPLEX = 0x0800
LARGEST = 64 * 2**20  # unpacked bytes: no kernel comes near it, and a small file must not fill the memory


def read_matrices(data: bytes) -> dict[str, NDArray[np.float64]]:
    """All real numeric matrices of the file by name; others are passed over.

    Raises ValueError, saying what the data is instead of, or where it breaks.
    """
    if data[:19] == b"MATLAB 7.3 MAT-file":
        raise ValueError("it is of version 7.3; save it with -v7")
    if len(data) < HEADER or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("it is no MAT-file of version 5 to 7")
    order = "<" if data[126:128] == b"IM" else ">"
    try:
        return dict(_matrices(data[HEADER:], order))
    except (struct.error, zlib.error, KeyError, IndexError, UnicodeDecodeError) as error:
        raise ValueError("it is damaged") from error


def write_matrices(matrices: dict[str, NDArray[Any]]) -> bytes:
    """A file of two-dimensional real matrices, as MATLAB's ``save -v6`` writes it."""
    text = b"MATLAB 5.0 MAT-file".ljust(124)
    return text + struct.pack("<H", 0x0100) + b"IM" + b"".join(_matrix(name, m) for name, m in matrices.items())


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, data) of each."""
    position = 0
    while position + 8 <= len(data):
        kind, length = struct.unpack_from(order + "II", data, position)
        if kind >> 16:
            yield kind & 0xFFFF, data[position + 4 : position + 4 + (kind >> 16)]
            position += 8
            continue
        start, end = position + 8, position + 8 + length
        if end > len(data):
            raise struct.error("cut off")
        yield kind, data[start:end]
        position = end if kind == COMPRESSED else start + -(-length // 8) * 8


def _matrices(data: bytes, order: str) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for kind, content in _elements(data, order):
        if kind == COMPRESSED:
            yield from _matrices(zlib.decompressobj().decompress(content, LARGEST), order)
        elif kind == MATRIX:
            yield from _numbers(content, order)


def _numbers(content: bytes, order: str) -> Iterator[tuple[str, NDArray[np.float64]]]:
    parts = list(_elements(content, order))
    (flags,) = struct.unpack_from(order + "I", parts[0][1])
    if not FIRST_NUMERIC_CLASS <= flags & 0xFF <= LAST_NUMERIC_CLASS or flags & COMPLEX:
        return
    shape = np.frombuffer(parts[1][1], order + "i4")
    kind, values = parts[3]
    numbers = np.frombuffer(values, order + NUMBERS[kind]).astype(np.float64)
    if numbers.size != np.prod(shape, dtype=np.int64):
        raise struct.error("cut off")
    yield parts[2][1].decode("ascii"), numbers.reshape(tuple(shape), order="F")


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def _matrix(name: str, values: NDArray[Any]) -> bytes:
    numbers = np.asarray(values, np.float64)
    return _element(
        MATRIX,
        _element(UINT32, struct.pack("<II", DOUBLE_CLASS, 0))
        + _element(INT32, struct.pack("<ii", *numbers.shape))
        + _element(INT8, name.encode("ascii"))
        + _element(DOUBLE, numbers.astype("<f8").tobytes(order="F")),
    )

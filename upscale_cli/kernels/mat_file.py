"""Matrices in MATLAB's MAT-files of version 5 to 7 (MathWorks, "MAT-File Format", chapter 1).

SciPy writes them. It does not read them here: SciPy 1.17 crashes the process on some damaged files, and unpacks
whatever it is told to.

A file is a header of 128 bytes and elements: a tag of type and length, then the data, padded to eight bytes. An
element may be packed with zlib, and short data may lie inside the tag.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.kernels.values import NotAKernelError

HEADER = 128
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMERIC_CLASSES = range(6, 16)
COMPLEX = 0x0800
LARGEST = 64 * 2**20  # bytes of the file, and of all its unpacked elements
MOST_VARIABLES = 10_000
TEXT = b"MATLAB 5.0 MAT-file".ljust(116)  # SciPy's own has the time in it, and equal kernels should be equal files


def read_matrices(data: bytes, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return the real numeric matrices of the file that have one of ``names``.

    Raises NotAKernelError for files of other versions and for too large ones, and for damaged ones struct.error,
    zlib.error, LookupError or ValueError.
    """
    if data[:19] == b"MATLAB 7.3 MAT-file":
        raise NotAKernelError("it is of version 7.3; save it with -v7")
    if len(data) < HEADER or data[126:128] not in (b"IM", b"MI"):
        raise NotAKernelError("it is not a MAT-file of version 5 to 7")
    order = "<" if data[126:128] == b"IM" else ">"
    matrices = (_numbers(content, order) for kind, content in _unpacked(data, order) if kind == MATRIX)
    return {name: values for name, values in matrices if name in names}


def write_matrices(matrices: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a file of ``matrices``, as MATLAB's ``save -v6`` writes it."""
    import scipy.io  # a third of a second that reading need not wait for

    file = io.BytesIO()
    scipy.io.savemat(file, matrices)
    return TEXT + file.getvalue()[len(TEXT) :]


def _unpacked(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield the outermost elements; packed ones hold one element each, which is not unpacked again."""
    room = LARGEST
    for index, (kind, content) in enumerate(_elements(data[HEADER:], order)):
        if index == MOST_VARIABLES:
            raise NotAKernelError(f"it holds more than {MOST_VARIABLES} variables")
        if kind != COMPRESSED:
            yield kind, content
            continue
        unpacked = zlib.decompressobj().decompress(content, room + 1)
        room -= len(unpacked)
        if room < 0:
            raise NotAKernelError(f"it unpacks to more than {LARGEST >> 20} MiB")
        yield from islice(_elements(unpacked, order), 1)


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield (type, data) of each element."""
    position = 0
    while position + 8 <= len(data):
        kind, length = struct.unpack_from(order + "II", data, position)
        position += 8
        if kind >> 16:
            yield kind & 0xFFFF, data[position - 4 : position - 4 + (kind >> 16)]
            continue
        if position + length > len(data):
            raise struct.error("cut off")
        yield kind, data[position : position + length]
        position += length if kind == COMPRESSED else -(-length // 8) * 8


def _numbers(content: bytes, order: str) -> tuple[str, NDArray[Any]]:
    """Return the name and the values of a matrix, with an empty name where it is not one of real numbers."""
    parts = list(islice(_elements(content, order), 4))
    (flags,) = struct.unpack_from(order + "I", parts[0][1])
    if flags & 0xFF not in NUMERIC_CLASSES or flags & COMPLEX:
        return "", np.empty(0)
    (_, shape), (_, name), (kind, values) = parts[1:]
    numbers = np.frombuffer(values, order + NUMBERS[kind])
    return name.decode("latin-1"), numbers.reshape(np.frombuffer(shape, order + "i4"), order="F")

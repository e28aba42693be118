"""Files of blur kernels: read, written, and refused in time."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale_cli.errors import InputError, UsageError
from upscale_cli.kernels import blur_kernel, mat_file
from upscale_cli.kernels.blur_kernel import centred
from upscale_cli.kernels.files import read_kernel, read_kernels, write_kernel
from upscale_cli.kernels.values import Values, covariance


def gaussian(size: int, center: float, variance: float = 1.0) -> Values:
    row = np.exp(-((np.arange(size) - center) ** 2) / (2 * variance))
    return np.outer(row, row)


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".json"])
def test_files_give_back_what_was_written(suffix: str, tmp_path: Path) -> None:
    kernel = centred(gaussian(13, 7.5, 3), 4)
    write_kernel(tmp_path / f"k{suffix}", kernel)
    again = read_kernel(tmp_path / f"k{suffix}")
    assert again.scale == 4
    np.testing.assert_allclose(again.values, kernel.values, atol=1e-15)


def test_other_names_are_refused(tmp_path: Path) -> None:
    kernel = blur_kernel.bicubic(2)
    with pytest.raises(UsageError, match="does not name a kernel file"):
        write_kernel(tmp_path / "k.txt", kernel)
    (tmp_path / "k.txt").write_text("[]")
    with pytest.raises(InputError, match=r"does not end in \.npy"):
        read_kernel(tmp_path / "k.txt")


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    for index, suffix in enumerate((".json", ".npy", ".mat")):
        write_kernel(tmp_path / f"{index}{suffix}", centred(gaussian(11, 5.5, 1 + index), 2))
    variances = [covariance(kernel.values)[0, 0] for kernel in read_kernels(tmp_path)]
    assert variances == sorted(variances)
    assert len(variances) == 3
    assert len(read_kernels(tmp_path / "1.npy")) == 1


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kernels in"):
        read_kernels(tmp_path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones((3, 4)), "3 x 4, not square"),
        (np.ones(9), "not square"),
        (np.ones((2, 2)), "size is 2"),
        (np.ones((128, 128)), "size is 128"),
        (-np.ones((5, 5)), "sum is -25"),
        (np.zeros((5, 5)), "sum is 0"),
        (np.full((5, 5), np.nan), "not finite"),
        (np.diag([1, np.inf, 1]), "not finite"),
        (np.ones((5, 5), complex), "not real numbers"),
        (np.array([["a"] * 3] * 3), "not real numbers"),
    ],
)
def test_what_is_no_kernel_is_refused(values: Values, reason: str, tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", values)
    with pytest.raises(InputError, match=reason):
        read_kernel(tmp_path / "k.npy")


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".json"])
@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"MATLAB 7.3 MAT-file", b"\x93NUMPY\x01\x00", b"[[1, 2], [3]]", b"{}"]
)
def test_damaged_files_are_refused(suffix: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / f"k{suffix}").write_bytes(data)
    with pytest.raises(InputError, match="is not a kernel"):
        read_kernel(tmp_path / f"k{suffix}")


def test_objects_in_a_file_are_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="is not a kernel"):
        read_kernel(tmp_path / "k.npy")


def test_a_cut_off_matlab_file_is_refused(tmp_path: Path) -> None:
    write_kernel(tmp_path / "k.mat", centred(gaussian(11, 5), 2))
    whole = (tmp_path / "k.mat").read_bytes()
    for length in range(128, 900, 37):  # the kernel; after it comes the scale
        (tmp_path / "k.mat").write_bytes(whole[:length])
        with pytest.raises(InputError, match="is not a kernel"):
            read_kernel(tmp_path / "k.mat")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read"):
        read_kernel(tmp_path / "k.npy")


@pytest.mark.parametrize("stated", ['"2"', "2.5", "0", "99"])
def test_a_scale_that_is_none_is_refused(stated: str, tmp_path: Path) -> None:
    rows = json.dumps(gaussian(5, 2).tolist())
    (tmp_path / "k.json").write_text(f'{{"scale": {stated}, "kernel": {rows}}}')
    with pytest.raises(InputError, match="its scale is"):
        read_kernel(tmp_path / "k.json")


@pytest.mark.parametrize("stated", [2.5, np.nan, np.inf])
def test_a_scale_of_matlab_that_is_no_whole_number_is_refused(stated: float, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "k.mat", {"Kernel": gaussian(5, 2), "Scale": stated})
    with pytest.raises(InputError, match="its scale is not a whole number"):
        read_kernel(tmp_path / "k.mat")


def element(kind: int, content: bytes, order: str) -> bytes:
    return struct.pack(order + "II", kind, len(content)) + content + bytes(-len(content) % 8)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_packed_short_and_foreign_elements_are_read(order: str, packed: bool) -> None:
    """Built by hand as MATLAB writes small whole numbers: bytes, packed, with a name inside its tag."""
    short_name = struct.pack(order + "I", (1 << 16) + 1) + b"k\x00\x00\x00"
    parts = element(6, struct.pack(order + "II", 6, 0), order) + element(5, struct.pack(order + "ii", 2, 3), order)
    matrix = element(14, parts + short_name + element(2, bytes([1, 2, 3, 4, 5, 6]), order), order)
    body = struct.pack(order + "II", 15, len(zlib.compress(matrix))) + zlib.compress(matrix) if packed else matrix
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x100) + (b"IM" if order == "<" else b"MI")
    np.testing.assert_array_equal(mat_file.read_matrices(header + body, {"k"})["k"], [[1, 3, 5], [2, 4, 6]])


def test_a_kernel_lies_among_other_variables(tmp_path: Path) -> None:
    """As MATLAB saves a whole workspace, compressed."""
    others = {"a": np.zeros((400, 400)), "cell": np.array([["x", 1.0]], dtype=object), "struct": {"Kernel": 3}}
    scipy.io.savemat(tmp_path / "k.mat", {**others, "Kernel": gaussian(9, 5.5), "s": "text"}, do_compression=True)
    assert read_kernel(tmp_path / "k.mat").scale == 4


def matlab(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM" + b"".join(elements)


def compressed(content: bytes) -> bytes:
    packed = zlib.compress(content)
    return struct.pack("<II", 15, len(packed)) + packed


def nested_cells(depth: int) -> bytes:
    """A variable ``Kernel`` that is a cell in a cell in a cell."""
    name, content = b"", b""
    for level in range(depth):
        name = b"Kernel" if level == depth - 1 else b""
        flags, shape = element(6, struct.pack("<II", 1, 0), "<"), element(5, struct.pack("<ii", 1, int(level > 0)), "<")
        content = element(14, flags + shape + element(1, name, "<") + content, "<")
    return content


def zeros(mebibytes: int) -> bytes:
    """A matrix ``Kernel`` of that size."""
    flags, shape = element(6, struct.pack("<II", 9, 0), "<"), element(5, struct.pack("<ii", 1, mebibytes << 20), "<")
    return element(14, flags + shape + element(1, b"Kernel", "<") + element(2, bytes(mebibytes << 20), "<"), "<")


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


def shaped(shape: str) -> bytes:
    return npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}")


HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "cells in cells": (".mat", lambda: matlab(nested_cells(3_000))),
    "cells in cells, packed": (".mat", lambda: matlab(compressed(nested_cells(3_000)))),
    "30 blocks of zeros": (".mat", lambda: matlab(*[compressed(zeros(60))] * 30)),
    "a block in a block": (".mat", lambda: matlab(compressed(compressed(zeros(60))))),
    "a matrix that claims 4 GB": (".mat", lambda: matlab(zeros(1)[:4] + b"\xf0\xff\xff\xff" + zeros(1)[8:])),
    "eight million empty variables": (".mat", lambda: matlab(bytes(63 << 20))),
    "80 MiB": (".mat", lambda: matlab(zeros(80))),
    "a header that does not end": (".npy", lambda: npy("{'descr': '<f8', 'shape': (3, 3")),
    "nested brackets in the header": (".npy", lambda: npy("(" * 9_000)),
    "an array of 10 GB": (".npy", lambda: shaped("(40000, 40000)")),
    "a shape of 40 digits": (".npy", lambda: shaped(f"({10**40}, 0)")),
    "a negative shape of 40 digits": (".npy", lambda: shaped(f"(-{10**40},)")),
    "nested lists": (".json", lambda: b"[" * 2_000_000),
    "a number of many digits": (".json", lambda: b"[[" + b"9" * 4_000_000 + b"]]"),
    "10 MB of numbers": (".json", lambda: b"[" + b"1.5," * 2_500_000 + b"1]"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_in_time_and_memory(kind: str, tmp_path: Path) -> None:
    suffix, data = HOSTILE[kind]
    path = tmp_path / f"k{suffix}"
    path.write_bytes(data())
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(InputError, match=r"k\.(mat|npy|json) is not a kernel: [^.]*\."):
            read_kernel(path)
        seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 5
    assert peak < 200 * 2**20


@settings(max_examples=max(100, settings().max_examples))
@given(data=st.data())
@pytest.mark.parametrize("suffix", [".npy", ".mat", ".json"])
def test_changed_bytes_give_a_kernel_or_one_sentence(
    suffix: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("changed") / f"k{suffix}"
    write_kernel(path, centred(gaussian(5, 2.5), 2))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(InputError):
        read_kernel(path)

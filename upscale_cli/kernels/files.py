"""Files of blur kernels: .npy, .mat (variable ``Kernel``) and .json.

Anyone may have made them, so sizes are checked before anything is unpacked.
"""

from __future__ import annotations

import io
import json
import math
import struct
import tokenize
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from upscale_cli import atomic
from upscale_cli.errors import InputError, UsageError
from upscale_cli.kernels import mat_file
from upscale_cli.kernels.blur_kernel import BlurKernel, centred
from upscale_cli.kernels.values import LARGEST, SMALLEST, NotAKernelError

MATLAB_NAME, MATLAB_SCALE = "Kernel", "Scale"
LARGEST_FILE = 4 * 2**20  # bytes; .mat may hold other things beside the kernel
# What json, NumPy and SciPy raise for damaged files, beside ValueError.
DAMAGED = (
    *(ValueError, TypeError, LookupError, ArithmeticError, EOFError, SyntaxError, RecursionError, MemoryError),
    *(struct.error, zlib.error, tokenize.TokenError),
)

Content = tuple[NDArray[Any], int | None]  # values, and the scale if it is stated


def read_kernel(path: Path) -> BlurKernel:
    """Return the kernel in a .npy, .mat or .json file; ``centred`` says what scale it has where none is stated.

    Raises InputError.
    """
    suffix = path.suffix.lower()
    try:
        if suffix not in _READERS:
            raise NotAKernelError("its name does not end in .npy, .mat or .json")
        data = _read(path, mat_file.LARGEST if suffix == ".mat" else LARGEST_FILE)
        with warnings.catch_warnings(action="ignore"):  # of NumPy and SciPy about odd files
            return centred(*_READERS[suffix](data))
    except NotAKernelError as error:
        raise _not_a_kernel(path, str(error)) from error
    except DAMAGED as error:
        raise _not_a_kernel(path, f"it is damaged, or not a {suffix} file") from error


def read_kernels(path: Path) -> tuple[BlurKernel, ...]:
    """Return the kernel in a file, or all of a folder in the order of their names. Raises InputError."""
    if not path.is_dir():
        return (read_kernel(path),)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _READERS and file.name[0] != ".")
    if not files:
        raise InputError(f"There are no kernels in {path}.", "Their names end in .npy, .mat or .json.")
    return tuple(read_kernel(file) for file in files)


def write_kernel(path: Path, kernel: BlurKernel) -> None:
    """Write ``kernel``, whole or not at all, as the extension of ``path`` says. Raises UsageError, OutputError."""
    suffix = path.suffix.lower()
    data = io.BytesIO()
    if suffix == ".npy":
        np.save(data, kernel.values)
    elif suffix == ".mat":
        scale = np.array([[float(kernel.scale)]])
        data.write(mat_file.write_matrices({MATLAB_NAME: kernel.values, MATLAB_SCALE: scale}))
    elif suffix == ".json":
        text = json.dumps({"scale": kernel.scale, "kernel": kernel.values.tolist()}, indent=1)
        data.write(text.encode() + b"\n")
    else:
        raise UsageError(f"{path} does not name a kernel file.", "Let it end in .npy, .mat or .json.")
    atomic.write_bytes(path, data.getvalue())


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.", "Check the path.") from error
    if len(data) > most:
        raise NotAKernelError(f"it is larger than {most >> 20} MiB")
    return data


def _not_a_kernel(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path} is not a kernel: {reason}.",
        f"A kernel is a square of {SMALLEST} to {LARGEST} finite numbers a side, with a positive sum.",
    )


def _from_npy(data: bytes) -> Content:
    file = io.BytesIO(data)
    read_header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if math.prod(shape) * dtype.itemsize > len(data) - file.tell():
        raise NotAKernelError("it is cut off")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False), None


def _from_mat(data: bytes) -> Content:
    matrices = mat_file.read_matrices(data, (MATLAB_NAME, MATLAB_SCALE))
    if MATLAB_NAME not in matrices:
        raise NotAKernelError(f"it has no matrix {MATLAB_NAME}")
    stated = matrices.get(MATLAB_SCALE)
    if stated is None or stated.size != 1:
        return matrices[MATLAB_NAME], None
    if stated.item() % 1 != 0:  # also of NaN and infinity
        raise NotAKernelError("its scale is not a whole number")
    return matrices[MATLAB_NAME], int(stated.item())


def _from_json(data: bytes) -> Content:
    content = json.loads(data)
    stated = content if isinstance(content, dict) else {"kernel": content}
    if "kernel" not in stated:
        raise NotAKernelError('it has no "kernel"')
    scale = stated.get("scale")
    if scale is not None and type(scale) is not int:
        raise NotAKernelError("its scale is not a whole number")
    return np.array(stated["kernel"]), scale


_READERS: dict[str, Callable[[bytes], Content]] = {".npy": _from_npy, ".mat": _from_mat, ".json": _from_json}

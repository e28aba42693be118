"""Files of kernels: .npy, .mat and .json."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from upscale_cli import atomic
from upscale_cli.errors import InputError, UsageError
from upscale_cli.kernels import mat_file
from upscale_cli.kernels.blur_kernel import SCALES, BlurKernel, centred
from upscale_cli.kernels.values import Values, center_of_mass, normalised

SUFFIXES = (".npy", ".mat", ".json")
MATLAB_NAME = "Kernel"


def read_kernel(path: Path) -> BlurKernel:
    """The kernel in a .npy, a .mat (variable ``Kernel``) or a .json file.

    Where the file states no scale, it is the one its centre of mass tells, and 2 for kernels centred in their array,
    which are moved. Raises InputError in one sentence.
    """
    try:
        values, scale = _READERS[path.suffix.lower()](_bytes_of(path))
        return centred(values, _told_scale(normalised(values)) if scale is None else scale)
    except KeyError as error:
        raise _no_kernel(path, "its name does not end in .npy, .mat or .json") from error
    except (ValueError, TypeError, EOFError, RecursionError, MemoryError) as error:
        raise _no_kernel(path, str(error) or "it is damaged") from error


def read_kernels(path: Path) -> tuple[BlurKernel, ...]:
    """The kernel in a file, or all of a folder in the order of their names. Raises InputError."""
    if not path.is_dir():
        return (read_kernel(path),)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    if not files:
        raise InputError(f"There are no kernels in {path}.", "They are called .npy, .mat or .json.")
    return tuple(read_kernel(file) for file in files)


def write_kernel(path: Path, kernel: BlurKernel) -> None:
    """Write ``kernel``, whole or not at all, as the extension of ``path`` says. Raises UsageError, OutputError."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} is no name of a kernel file.", "Call it .npy, .mat or .json.")
    atomic.write_bytes(path, _encoded(path.suffix.lower(), kernel))


def _encoded(suffix: str, kernel: BlurKernel) -> bytes:
    if suffix == ".mat":
        return mat_file.write_matrices({MATLAB_NAME: kernel.values, "Scale": np.array([[kernel.scale]])})
    if suffix == ".json":
        return json.dumps({"scale": kernel.scale, "kernel": kernel.values.tolist()}, indent=1).encode() + b"\n"
    data = io.BytesIO()
    np.save(data, kernel.values)
    return data.getvalue()


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.", "Check the path.") from error


def _no_kernel(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path} is no kernel: {reason}.", "A kernel is a square of finite numbers with a positive sum, of 3 to 127."
    )


def _told_scale(values: Values) -> int:
    """The scale that the place of the centre of mass speaks for."""
    row, column = center_of_mass(values)
    told = 1 + (row + column - 2 * (len(values) // 2))
    return round(told) if abs(told - round(told)) < 0.2 and 2 <= round(told) <= SCALES[-1] else 2


def _from_npy(data: bytes) -> tuple[Values, None]:
    values = np.load(io.BytesIO(data), allow_pickle=False)
    if not isinstance(values, np.ndarray):
        raise ValueError("it holds several arrays")
    return values, None


def _from_mat(data: bytes) -> tuple[Values, int | None]:
    matrices = mat_file.read_matrices(data)
    if MATLAB_NAME not in matrices:
        raise ValueError(f"it has no variable {MATLAB_NAME}")
    scale = matrices.get("Scale")
    return matrices[MATLAB_NAME], int(scale.flat[0]) if scale is not None and scale.size == 1 else None


def _from_json(data: bytes) -> tuple[Values, int | None]:
    content = json.loads(data)
    stated = content if isinstance(content, dict) else {"kernel": content}
    if "kernel" not in stated:
        raise ValueError('it has no "kernel"')
    scale = stated.get("scale")
    if scale is not None and not isinstance(scale, int):
        raise ValueError(f"its scale is {scale!r}, not a whole number")
    return np.array(stated["kernel"]), scale


_READERS: dict[str, Callable[[bytes], tuple[Values, int | None]]] = {
    ".npy": _from_npy,
    ".mat": _from_mat,
    ".json": _from_json,
}

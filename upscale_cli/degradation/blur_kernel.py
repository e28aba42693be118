"""The kernel a picture was shrunk with: what it is, its files, and shrinking with it.

Convention, that of KernelGAN and DIV2KRK: kernels are correlated, not convolved, with the HR picture, LR pixel i lying
under HR pixel ``scale · i`` at index ``size // 2``. The centre of mass is at ``size // 2 + (scale - 1) / 2``, so that
LR pixels have their centres where MATLAB's bicubic ``imresize`` has them. Sizes are odd.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli import atomic
from upscale_cli.degradation import mat_file
from upscale_cli.errors import InputError, UsageError

Values = NDArray[np.float64]

SMALLEST, LARGEST = 3, 127
SCALES = range(1, 9)
CENTRED_WITHIN = 0.02  # HR pixels: DIV2KRK's own kernels are up to that far off
SUFFIXES = (".npy", ".mat", ".json")
MATLAB_NAME = "Kernel"


@dataclass(frozen=True)
class BlurKernel:
    """``values`` (k, k), k odd, in HR pixels, rows first: finite, of sum 1, centred for ``scale`` as stated above."""

    values: Values
    scale: int

    def __post_init__(self) -> None:
        assert self.values.ndim == 2, self.values.shape
        assert self.values.shape[0] == self.values.shape[1], self.values.shape
        assert self.size % 2 == 1, self.size
        assert np.isfinite(self.values).all()
        assert abs(self.values.sum() - 1) < 1e-6, self.values.sum()

    @property
    def size(self) -> int:
        return int(self.values.shape[0])


def centred(values: NDArray[Any], scale: int) -> BlurKernel:
    """The kernel of ``values`` (k, k): normalised, moved to where ``scale`` needs its centre, cropped or padded to odd.

    Raises ValueError, saying why the values are no kernel.
    """
    if scale not in SCALES:
        raise ValueError(f"its scale is {scale}, not {SCALES[0]} to {SCALES[-1]}")
    weights = _normalised(values)
    return BlurKernel(_moved_to_center(weights, scale), scale)


def _normalised(values: NDArray[Any]) -> Values:
    if values.dtype.kind not in "biuf":
        raise ValueError("its values are no real numbers")
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"its shape is {' x '.join(map(str, values.shape)) or 'a single number'}, not square")
    if not SMALLEST <= values.shape[0] <= LARGEST:
        raise ValueError(f"its size is {values.shape[0]}, not {SMALLEST} to {LARGEST}")
    weights: Values = values.astype(np.float64)
    if not np.isfinite(weights).all():
        raise ValueError("some of its values are not finite")
    total = weights.sum()
    if not total > 1e-3 * np.abs(weights).sum():
        raise ValueError(f"its sum is {total:g}, not positive")
    weights /= total
    return weights


def center_of_mass(values: Values) -> tuple[float, float]:
    """(row, column), in indices from 0."""
    indices = np.arange(values.shape[0])
    total = values.sum()
    return float(values.sum(1) @ indices / total), float(values.sum(0) @ indices / total)


def covariance(values: Values) -> Values:
    """[[σ_yy, σ_yx], [σ_xy, σ_xx]] about the centre of mass, in squared HR pixels."""
    row, column = center_of_mass(values)
    y, x = np.arange(values.shape[0]) - row, np.arange(values.shape[1]) - column
    weights = values / values.sum()
    yx = float(y @ weights @ x)
    return np.array([[weights.sum(1) @ y**2, yx], [yx, weights.sum(0) @ x**2]])


def _moved_to_center(values: Values, scale: int) -> Values:
    odd = values if len(values) % 2 else np.pad(values, (0, 1))
    target = len(odd) // 2 + (scale - 1) / 2
    row, column = center_of_mass(odd)
    shift = target - row, target - column
    if max(map(abs, shift)) > len(odd):
        raise ValueError("its centre of mass lies outside of it")
    if max(map(abs, shift)) <= CENTRED_WITHIN:
        return odd
    margin = int(np.ceil(max(map(abs, shift)))) + 1
    wide = moved(np.pad(odd, margin), shift)
    return _without_empty_margin(wide, margin)


def _without_empty_margin(values: Values, margin: int) -> Values:
    """Without as many rings, up to ``margin``, as hold next to nothing; of sum 1."""
    negligible = 1e-4 * np.abs(values).max()
    for _ in range(margin):
        inner = values[1:-1, 1:-1]
        if np.abs(values).sum() - np.abs(inner).sum() > negligible:
            break
        values = inner
    return np.ascontiguousarray(values / values.sum())


def moved(values: Values, shift: tuple[float, float]) -> Values:
    """Shifted by (rows, columns) by cubic convolution, which keeps sum, centre and covariance; zeros come in."""
    rows, columns = (_shifting(len(values), offset) for offset in shift)
    return np.asarray(rows @ values @ columns.T)


def _shifting(size: int, offset: float) -> Values:
    """(size, size) matrix that moves a signal by ``offset`` (Keys 1981, a = -0.5)."""
    x = np.abs(np.arange(size)[:, None] - np.arange(size)[None, :] - offset)
    inner, outer = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.asarray(np.where(x <= 1, inner, np.where(x < 2, outer, 0.0)))


def for_scale(kernel: BlurKernel, scale: int) -> BlurKernel:
    """The same blur in HR pixels, centred for another ``scale``."""
    return kernel if scale == kernel.scale else centred(kernel.values, scale)


def applied_twice(kernel: BlurKernel) -> BlurKernel:
    """The kernel of shrinking twice with ``kernel``: of ×4 from ×2 (KernelGAN, appendix).

    k₄ = k ∗ (k dilated by the scale). Cropped to 2k - 1, which drops next to nothing.
    """
    n, s = kernel.size, kernel.scale
    whole = np.zeros((s * (n - 1) + n,) * 2)
    for row, column in np.ndindex(n, n):
        whole[s * row : s * row + n, s * column : s * column + n] += kernel.values[row, column] * kernel.values
    crop = ((s - 1) * (n - 1)) // 2
    return centred(whole[crop : len(whole) - crop, crop : len(whole) - crop], s * s)


def bicubic(scale: int) -> BlurKernel:
    """The kernel of MATLAB's antialiased ``imresize(·, 1 / scale)``: Keys' cubic, ``scale`` times as wide."""
    half = int(np.ceil(2 * scale + (scale - 1) / 2)) - 1
    x = np.abs(np.arange(-half, half + 1) - (scale - 1) / 2) / scale
    row = np.where(x <= 1, (1.5 * x - 2.5) * x**2 + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0.0))
    return centred(np.outer(row, row), scale)


def shrink(image: Tensor, kernel: BlurKernel, scale: int) -> Tensor:
    """LR of ``image`` (N, C, H, W), floating point: filtered, borders mirrored (edge repeated), every scale-th pixel.

    The result is (N, C, ceil(H / scale), ceil(W / scale)), of the same range but for rounding and, with negative
    values in the kernel, overshoot. A ``scale`` other than the kernel's own uses the same blur.
    """
    values = for_scale(kernel, scale).values
    n, c, height, width = image.shape
    planes = _mirrored(image.reshape(n * c, 1, height, width), len(values) // 2)
    weight = torch.from_numpy(values).to(image)[None, None]
    lr = F.conv2d(planes, weight, stride=scale)
    return lr.reshape(n, c, *lr.shape[-2:])


def _mirrored(planes: Tensor, margin: int) -> Tensor:
    """(N, 1, H, W) with ``margin`` more pixels on every side, the edge pixel repeated, at any size."""
    for dim in (2, 3):
        length = planes.shape[dim]
        folded = torch.arange(-margin, length + margin, device=planes.device) % (2 * length)
        planes = planes.index_select(dim, torch.where(folded < length, folded, 2 * length - 1 - folded))
    return planes


def read_kernel(path: Path) -> BlurKernel:
    """The kernel in a .npy, a .mat (variable ``Kernel``) or a .json file.

    Where the file states no scale, it is the one its centre of mass tells, and 2 for kernels centred in their array,
    which are moved. Raises InputError in one sentence.
    """
    try:
        values, scale = _READERS[path.suffix.lower()](_bytes_of(path))
        return centred(values, _told_scale(_normalised(values)) if scale is None else scale)
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

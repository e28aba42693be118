"""Square arrays of a kernel's values: checked and normalised, measured, moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upscale_cli.resize import cubic

Values = NDArray[np.float64]

SMALLEST, LARGEST = 3, 127
CENTRED_WITHIN = 0.02  # HR pixels: DIV2KRK's own kernels are up to that far off


class NotAKernelError(ValueError):
    """Why something is not a kernel: the end of a sentence that begins with "FILE is not a kernel:"."""


def normalised(values: NDArray[Any]) -> Values:
    """Return ``values`` (k, k) divided by their sum. Raises NotAKernelError for what cannot be a kernel."""
    if values.dtype.kind not in "biuf":
        raise NotAKernelError("its values are not real numbers")
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise NotAKernelError(f"its shape is {' x '.join(map(str, values.shape)) or 'a single number'}, not square")
    if not SMALLEST <= values.shape[0] <= LARGEST:
        raise NotAKernelError(f"its size is {values.shape[0]}, not {SMALLEST} to {LARGEST}")
    with np.errstate(over="ignore"):
        weights: Values = values.astype(np.float64)
        total, mass = float(weights.sum()), float(np.abs(weights).sum())
    if not np.isfinite(mass):
        raise NotAKernelError("some of its values are not finite")
    if not total > 1e-3 * mass:
        raise NotAKernelError(f"its sum is {total:g}, not positive")
    return weights / total


def center_of_mass(values: Values) -> tuple[float, float]:
    """Return the centre of mass (row, column), in indices from 0."""
    indices = np.arange(values.shape[0])
    total = values.sum()
    return float(values.sum(1) @ indices / total), float(values.sum(0) @ indices / total)


def covariance(values: Values) -> Values:
    """Return [[σ_yy, σ_yx], [σ_xy, σ_xx]] about the centre of mass, in squared HR pixels."""
    row, column = center_of_mass(values)
    y, x = np.arange(values.shape[0]) - row, np.arange(values.shape[1]) - column
    weights = values / values.sum()
    yx = float(y @ weights @ x)
    return np.array([[weights.sum(1) @ y**2, yx], [yx, weights.sum(0) @ x**2]])


def moved(values: Values, shift: tuple[float, float]) -> Values:
    """Return ``values`` shifted by (rows, columns), zeros coming in.

    Keys' cubic convolution keeps the sum, moves the centre of mass exactly and keeps the covariance.
    """
    place = torch.arange(len(values), dtype=torch.float64)
    rows, columns = (cubic(place[:, None] - place - offset).numpy() for offset in shift)
    return np.asarray(rows @ values @ columns.T)


def moved_to_center(values: Values, scale: int) -> Values:
    """Return ``values`` with their centre of mass where ``scale`` needs it, cropped or padded to an odd size."""
    odd = values if len(values) % 2 else np.pad(values, (0, 1))
    target = len(odd) // 2 + (scale - 1) / 2
    row, column = center_of_mass(odd)
    shift = target - row, target - column
    furthest = max(map(abs, shift))
    if furthest > len(odd):
        raise NotAKernelError("its centre of mass lies outside of it")
    if furthest <= CENTRED_WITHIN:
        return odd
    margin = int(np.ceil(furthest)) + 1
    return _without_empty_rings(moved(np.pad(odd, margin), shift), margin)


def _without_empty_rings(values: Values, most: int) -> Values:
    """Return ``values`` without as many outer rings, at most ``most``, as hold next to nothing; they sum to 1."""
    negligible = 1e-4 * np.abs(values).max()
    for _ in range(most):
        inner = values[1:-1, 1:-1]
        if np.abs(values).sum() - np.abs(inner).sum() > negligible:
            break
        values = inner
    return np.ascontiguousarray(values / values.sum())

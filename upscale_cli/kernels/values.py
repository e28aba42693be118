"""Square arrays of a kernel's values: normalised, measured, moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upscale_cli.resize import cubic

Values = NDArray[np.float64]

SMALLEST, LARGEST = 3, 127
CENTRED_WITHIN = 0.02  # HR pixels: DIV2KRK's own kernels are up to that far off


def normalised(values: NDArray[Any]) -> Values:
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


def moved_to_center(values: Values, scale: int) -> Values:
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
    place = torch.arange(size, dtype=torch.float64)
    shifting: Values = cubic(place[:, None] - place - offset).numpy()
    return shifting

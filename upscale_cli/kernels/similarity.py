"""How similar two kernels are, wherever their centres lie."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from upscale_cli.kernels.blur_kernel import BlurKernel, bicubic
from upscale_cli.kernels.values import Values, center_of_mass, moved


def correlation(first: Values, second: Values) -> float:
    """Return the normalised cross-correlation of kernels (k, k), the first moved onto the second's centre of mass.

    It is 1 for kernels that are multiples of each other.
    """
    a, b = _laid_onto(first, second)
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def to_bicubic(kernel: BlurKernel) -> float:
    """Return the correlation with the bicubic kernel of its scale."""
    return correlation(kernel.values, bicubic(kernel.scale).values)


def psnr(estimate: Values, truth: Values) -> float:
    """Return the PSNR in dB of kernels that sum to 1, the first moved onto the second, whose maximum is the peak."""
    a, b = _laid_onto(estimate, truth)
    return 10 * math.log10(float(truth.max()) ** 2 / float(((a - b) ** 2).mean()))


def averaged(kernels: Sequence[Values], offset: float) -> Values:
    """Return the mean (k, k), k odd, of ``kernels``, each with its centre of mass moved to k // 2 + ``offset``."""
    size = _common_size(kernels)
    target = size // 2 + offset
    return np.asarray(np.mean([placed(kernel, size, (target, target)) for kernel in kernels], axis=0))


def agreement(kernels: Sequence[Values]) -> float | None:
    """Return the mean correlation of all pairs; None for a single kernel."""
    pairs = list(itertools.combinations(kernels, 2))
    return sum(correlation(a, b) for a, b in pairs) / len(pairs) if pairs else None


def placed(values: Values, size: int, center: tuple[float, float]) -> Values:
    """Return ``values`` padded to (size, size), with their centre of mass moved to ``center``."""
    padded = _padded(values, size)
    row, column = center_of_mass(padded)
    return moved(padded, (center[0] - row, center[1] - column))


def _laid_onto(first: Values, second: Values) -> tuple[Values, Values]:
    size = _common_size((first, second))
    fixed = _padded(second, size)
    return placed(first, size, center_of_mass(fixed)), fixed


def _padded(values: Values, size: int) -> Values:
    margin = size - len(values)
    return np.pad(values, (margin // 2, margin - margin // 2))


def _common_size(kernels: Sequence[Values]) -> int:
    """Return an odd size with room to move each of ``kernels``."""
    return max(2 * math.ceil(max(abs(c - len(k) / 2) for c in center_of_mass(k))) + len(k) + 4 for k in kernels) | 1

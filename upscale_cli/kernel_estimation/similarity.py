"""How alike two kernels are, wherever their centres lie."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from upscale_cli.degradation.blur_kernel import Values, center_of_mass, moved


def correlation(first: Values, second: Values) -> float:
    """Normalised cross-correlation of kernels (k, k) after their centres of mass were laid onto each other: 1 for
    equal ones, whatever their sum."""
    size = _common_size((first, second))
    a, b = in_middle(first, size), in_middle(second, size)
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def psnr(estimate: Values, truth: Values) -> float:
    """Of kernels of sum 1, aligned, with the largest value of ``truth`` as peak: dB."""
    size = _common_size((estimate, truth))
    difference = in_middle(estimate, size) - in_middle(truth, size)
    return 10 * math.log10(float(truth.max()) ** 2 / float((difference**2).mean()))


def averaged(kernels: Sequence[Values]) -> Values:
    """The mean of kernels of sum 1, each with its centre of mass in the middle: (k, k), k odd."""
    size = _common_size(kernels)
    return np.asarray(np.mean([in_middle(kernel, size) for kernel in kernels], axis=0))


def agreement(kernels: Sequence[Values]) -> float | None:
    """Mean correlation of all pairs; None for a single kernel."""
    pairs = list(itertools.combinations(kernels, 2))
    return sum(correlation(a, b) for a, b in pairs) / len(pairs) if pairs else None


def in_middle(values: Values, size: int) -> Values:
    """``values`` in (size, size), size odd, with the centre of mass in the middle, of unchanged sum."""
    margin = size - len(values)
    placed = np.pad(values, (margin // 2, margin - margin // 2))
    row, column = center_of_mass(placed)
    return moved(placed, (size // 2 - row, size // 2 - column))


def _common_size(kernels: Sequence[Values]) -> int:
    """Odd, with room to move each."""
    return max(2 * math.ceil(max(abs(c - len(k) / 2) for c in center_of_mass(k))) + len(k) + 4 for k in kernels) | 1

"""How similar kernels are, whatever their place."""

from __future__ import annotations

import numpy as np
import pytest

from upscale_cli.kernels.similarity import agreement, averaged, correlation, placed, psnr
from upscale_cli.kernels.values import center_of_mass


def gaussian(row: float, column: float, variance: float = 2.0, size: int = 21) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    values = np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / variance)
    return np.asarray(values / values.sum())


def test_shifted_kernels_are_similar() -> None:
    assert correlation(gaussian(10, 10), 3 * gaussian(8.5, 11.25)) == pytest.approx(1, abs=2e-3)
    assert psnr(gaussian(10, 10), gaussian(9.5, 10.5)) > 45


def test_kernels_of_other_widths_correlate_as_gaussians_do() -> None:
    # The correlation of isotropic Gaussians of variances a and b is 2 √(ab) / (a + b).
    assert correlation(gaussian(10, 10, 1.5), gaussian(10, 10, 3.0)) == pytest.approx(2 * 4.5**0.5 / 4.5, abs=2e-3)


def test_sizes_may_differ() -> None:
    assert correlation(gaussian(6, 6, 1.0, 13), gaussian(11, 10, 1.0, 22)) == pytest.approx(1, abs=1e-6)


def test_the_mean_of_shifted_kernels_is_the_kernel() -> None:
    mean = averaged([gaussian(10, 10), gaussian(9, 12), gaussian(11, 10)], 1.0)
    middle = len(mean) // 2 + 1
    assert mean.sum() == pytest.approx(1)
    assert np.abs(mean - gaussian(middle, middle, size=len(mean))).max() < 1e-6


def test_kernels_are_moved_to_the_centre_asked_for() -> None:
    moved = placed(gaussian(10, 10), 27, (12.5, 14.25))
    assert np.abs(moved - gaussian(12.5, 14.25, size=27)).max() < 2e-3
    assert np.allclose(center_of_mass(moved), (12.5, 14.25))


def test_agreement_is_the_mean_over_pairs() -> None:
    kernels = [gaussian(10, 10, variance) for variance in (1.0, 2.0, 4.0)]
    pairs = [correlation(kernels[a], kernels[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert agreement(kernels) == pytest.approx(sum(pairs) / 3)
    assert agreement(kernels[:1]) is None

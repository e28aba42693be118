"""Gaussian kernels."""

from __future__ import annotations

import numpy as np
import pytest

from upscale_cli.kernels.blur_kernel import applied_twice, centred
from upscale_cli.kernels.gaussian import gaussian, gaussian_reach
from upscale_cli.kernels.values import center_of_mass, covariance


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_gaussian_has_its_covariance_and_its_place(scale: int) -> None:
    wanted = np.array([[1.5, 0.4], [0.4, 0.9]])
    values = gaussian(wanted, scale)
    assert values.sum() == pytest.approx(1)
    assert len(values) % 2
    assert np.allclose(covariance(values), wanted, atol=0.01)
    assert center_of_mass(values) == pytest.approx([len(values) // 2 + (scale - 1) / 2] * 2)


def test_a_wide_gaussian_is_cut_off() -> None:
    values = gaussian(np.diag([9.0, 9.0]), 2)
    assert np.count_nonzero(values.sum(0)) == 2 * gaussian_reach(2) + 2  # its middle lies between two pixels
    assert covariance(values)[0, 0] < 8


def test_a_gaussian_may_be_far_narrower_than_a_pixel() -> None:
    values = gaussian(np.diag([1e-6, 1e-6]), 2)
    assert sorted(values[values > 0]) == pytest.approx([0.25] * 4)


def test_for_scale_4_it_reaches_as_far_as_one_for_scale_2_applied_twice() -> None:
    twice = applied_twice(centred(gaussian(np.diag([2.0, 2.0]), 2), 2))
    direct = gaussian(np.diag([10.0, 10.0]), 4)  # 2 + 2² · 2
    assert np.allclose(covariance(twice.values), covariance(direct), rtol=0.1)
    assert np.count_nonzero(direct.sum(0)) == 2 * 3 * gaussian_reach(2) + 2

"""Blur kernels: their convention and their constructions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.kernels.blur_kernel import centred
from upscale_cli.kernels.values import Values, covariance


def gaussian(size: int, center: float, variance: float = 1.0) -> Values:
    row = np.exp(-((np.arange(size) - center) ** 2) / (2 * variance))
    return np.outer(row, row)


@given(
    values=st.lists(st.floats(0.01, 1), min_size=25, max_size=25),
    scale=st.integers(1, 8),
)
def test_kernels_sum_to_one_and_are_centred_for_their_scale(values: list[float], scale: int) -> None:
    kernel = centred(np.array(values).reshape(5, 5), scale)
    rows, columns = np.indices(kernel.values.shape)
    target = kernel.size // 2 + (scale - 1) / 2
    assert kernel.size % 2 == 1
    assert kernel.values.sum() == pytest.approx(1)
    assert (kernel.values * rows).sum() == pytest.approx(target, abs=0.05)
    assert (kernel.values * columns).sum() == pytest.approx(target, abs=0.05)


@pytest.mark.parametrize("size", [8, 9])
def test_moving_keeps_the_covariance(size: int) -> None:
    stretched = np.outer(np.exp(-((np.arange(size) - 4) ** 2) / 4), np.exp(-((np.arange(size) - 3.2) ** 2)))
    before, after = covariance(stretched), covariance(centred(stretched, 4).values)
    np.testing.assert_allclose(after, before, atol=0.01)


def test_a_centred_kernel_stays_as_it_is() -> None:
    values = gaussian(11, 5.5)
    np.testing.assert_allclose(centred(values, 2).values, values / values.sum(), rtol=1e-12)

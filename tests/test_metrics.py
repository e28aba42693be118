"""PSNR and SSIM against definitions written out slowly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.metrics import luma, psnr, score, ssim

RNG = np.random.default_rng(5)


def noisy(height: int, width: int, channels: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    a = RNG.integers(0, 256, (height, width, channels))
    b = np.clip(a + RNG.normal(0, strength, a.shape), 0, 255).round()
    return a.astype(np.uint8), b.astype(np.uint8)


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, window by window."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = 6.5025, 58.5225
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11].astype(float), b[y : y + 11, x : x + 11].astype(float)
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


@given(st.integers(1, 254), st.integers(1, 100))
def test_a_constant_error_has_the_psnr_of_the_formula(level: int, error: int) -> None:
    a = np.full((8, 8), level, float)
    assert psnr(a, a + error) == pytest.approx(20 * math.log10(255 / error))


def test_equal_pictures_are_infinitely_close() -> None:
    a, _ = noisy(20, 20, 3, 0)
    scores = score(a, a, 4)
    assert scores.psnr_y == scores.psnr_rgb == math.inf
    assert scores.ssim_y == scores.ssim_rgb == pytest.approx(1)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_whole_levels_do_not_wrap_around(measure: Callable[[np.ndarray, np.ndarray], float]) -> None:
    a, b = noisy(16, 16, 3, 30)
    assert measure(a, b) == pytest.approx(measure(a.astype(float), b.astype(float)))


@pytest.mark.parametrize("strength", [2, 30])
def test_ssim_is_the_mean_over_all_windows_inside(strength: float) -> None:
    a, b = noisy(17, 23, 1, strength)
    assert ssim(a[..., 0].astype(float), b[..., 0].astype(float)) == pytest.approx(slow_ssim(a[..., 0], b[..., 0]))


def test_the_luminance_constant_decides_where_all_is_dark() -> None:
    assert ssim(np.zeros((11, 11)), np.full((11, 11), 2.0)) == pytest.approx(6.5025 / (4 + 6.5025))


def test_colours_count_equally_in_rgb() -> None:
    a, b = noisy(15, 15, 3, 20)
    expected = np.mean([slow_ssim(a[..., c], b[..., c]) for c in range(3)])
    assert score(a, b, 0).ssim_rgb == pytest.approx(float(expected))


def test_gray_is_compared_with_colour_as_three_equal_channels() -> None:
    gray, _ = noisy(20, 20, 1, 0)
    colour, _ = noisy(20, 20, 3, 0)
    assert score(gray, colour, 2) == score(np.repeat(gray, 3, axis=2), colour, 2)
    assert score(colour, gray, 2) == score(colour, np.repeat(gray, 3, axis=2), 2)


def test_luma_of_known_colours() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], float)
    assert luma(colours)[0] == pytest.approx([16, 235, 81.481, 144.553, 40.966])
    assert luma(np.full((1, 1, 1), 255.0))[0, 0] == pytest.approx(235)


def test_the_border_does_not_count() -> None:
    a, _ = noisy(30, 30, 3, 0)
    b = a.copy()
    b[:4] = 255 - b[:4]
    assert score(a, b, 4).psnr_y == math.inf
    assert score(a, b, 3).psnr_y < 40


def test_pictures_smaller_than_the_window_have_no_ssim() -> None:
    assert math.isnan(ssim(np.zeros((10, 30)), np.zeros((10, 30))))

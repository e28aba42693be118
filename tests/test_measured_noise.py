"""Noise, measured on the picture itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upscale_cli.images.read import read_picture
from upscale_cli.noise import CLEAN_BELOW, measured_noise, removable_noise


@pytest.mark.parametrize("sigma", [2, 5, 10, 20])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_on_a_smooth_picture_is_found(sigma: float, channels: int) -> None:
    rows, columns = np.mgrid[:96, :120]
    clean = 100 + 40 * np.sin(rows / 30) + columns / 4
    noisy = clean[..., None] + np.random.default_rng(1).normal(0, sigma, (96, 120, channels))
    assert measured_noise(noisy.clip(0, 255).round().astype(np.uint8)) == pytest.approx(sigma, rel=0.2)


def test_16_bits_are_measured_in_the_same_levels() -> None:
    noisy = (128 + np.random.default_rng(1).normal(0, 9, (64, 64, 3))).round().astype(np.uint8)
    assert measured_noise(noisy.astype(np.uint16) * 257) == pytest.approx(measured_noise(noisy), rel=1e-3)


def test_edges_and_stripes_are_no_noise() -> None:
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    checks = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((8, 8)))[..., None].astype(np.uint8) * 255
    assert measured_noise(stripes) < CLEAN_BELOW
    assert measured_noise(checks) < CLEAN_BELOW


def test_texture_that_is_equal_in_all_channels_is_no_noise() -> None:
    gray = (128 + np.random.default_rng(1).normal(0, 20, (64, 64, 1))).clip(0, 255).round().astype(np.uint8)
    assert measured_noise(gray.repeat(3, 2)) == 0
    assert measured_noise(gray) > CLEAN_BELOW


def test_too_small_a_picture_has_none() -> None:
    assert measured_noise(np.random.default_rng(1).integers(0, 256, (31, 80, 3), np.uint8)) == 0


@pytest.mark.parametrize("side", [48, 64, 100])
def test_noise_of_small_pictures_is_not_underestimated(side: int) -> None:
    noisy = (128 + np.random.default_rng(2).normal(0, 12, (side, side, 3))).round().astype(np.uint8)
    assert measured_noise(noisy) == pytest.approx(12, rel=0.15)


def test_weak_noise_is_removed_from_colour_pictures_alone() -> None:
    clean = np.full((96, 96, 3), 128.0)
    noisy = (clean + np.random.default_rng(3).normal(0, 5, clean.shape)).round().astype(np.uint8)
    assert removable_noise(noisy) == pytest.approx(5, rel=0.15)
    assert removable_noise(noisy[..., :1]) == 0  # it may be texture


@pytest.mark.shared
@pytest.mark.parametrize("name", ["Set5/x4/LR", "Set14/x4/LR", "Set14/x2/LR"])
def test_no_clean_picture_counts_as_noisy(shared: Path, name: str) -> None:
    pictures = sorted((shared / "data" / name).iterdir())
    assert pictures
    assert [path.name for path in pictures if removable_noise(read_picture(path).color)] == []

"""Resampling against NumPy written out by hand, and against MATLAB's results."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.levels import to_pixels, to_planes
from upscale_cli.resize import BICUBIC_REACH, Filter, matlab_bicubic, matlab_bicubic_inside, resize, resize_pixels

filters = st.sampled_from(["bicubic", "lanczos", "area"])
sides = st.integers(1, 40)


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(cv2.imread(str(path), cv2.IMREAD_COLOR)).permute(2, 0, 1).float()


@given(sides, sides, sides, sides, filters)
def test_a_constant_stays_constant(h: int, w: int, to_h: int, to_w: int, kind: Filter) -> None:
    result = resize(torch.full((1, 2, h, w), 0.7), (to_h, to_w), kind)
    assert result.shape == (1, 2, to_h, to_w)
    assert torch.allclose(result, torch.full_like(result, 0.7), atol=1e-5)


@given(sides, sides, filters)
def test_the_same_size_is_the_same_picture(h: int, w: int, kind: Filter) -> None:
    image = torch.rand(1, 1, h, w)
    assert torch.equal(resize(image, (h, w), kind), image)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(2, 5))
def test_area_by_a_whole_factor_is_the_mean_of_blocks(h: int, w: int, factor: int) -> None:
    image = torch.rand(1, 1, h * factor, w * factor)
    expected = torch.nn.functional.avg_pool2d(image, factor)
    assert torch.allclose(resize(image, (h, w), "area"), expected, atol=1e-6)


def test_area_by_a_broken_factor_keeps_the_mean() -> None:
    image = torch.rand(1, 1, 7, 7)
    assert resize(image, (3, 3), "area").mean().item() == pytest.approx(image.mean().item(), abs=1e-6)


def test_bicubic_reproduces_a_ramp_away_from_the_border() -> None:
    ramp = torch.arange(32, dtype=torch.float64).float().expand(1, 1, 4, 32)
    enlarged = resize(ramp, (4, 64), "bicubic")
    expected = (torch.arange(64) + 0.5) / 2 - 0.5
    assert torch.allclose(enlarged[0, 0, 0, 8:-8], expected[8:-8], atol=1e-4)


def test_half_a_pixel_of_bicubic_has_keys_weights() -> None:
    impulse = torch.zeros(1, 1, 1, 9)
    impulse[..., 4] = 1
    enlarged = resize(impulse, (1, 18), "bicubic")[0, 0, 0]
    near, far = 0.25, 1.25  # distances of the samples of an enlargement by two, a = -1/2
    assert enlarged[8].item() == pytest.approx(1.5 * near**3 - 2.5 * near**2 + 1, abs=1e-6)
    assert enlarged[6].item() == pytest.approx(-0.5 * far**3 + 2.5 * far**2 - 4 * far + 2, abs=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "scale"), [("Set5", 2), ("Set5", 4), ("Set14", 2), ("Set14", 4)])
def test_downsampling_is_matlabs_within_a_fifth_of_a_level(shared: Path, name: str, scale: int) -> None:
    folder = shared / "data" / name / f"x{scale}"
    differences = []
    for hr, lr in zip(sorted((folder / "HR").iterdir()), sorted((folder / "LR").iterdir()), strict=True):
        small = matlab_bicubic(read(hr), 1 / scale).round().clamp(0, 255)
        differences.append((small - read(lr)).abs().mean().item())
    assert np.mean(differences) < 0.2


@given(sides, sides, sides, sides, filters)
def test_pixels_are_resampled_as_planes_are(h: int, w: int, to_h: int, to_w: int, kind: Filter) -> None:
    pixels = np.random.default_rng(h).integers(0, 65536, (h * 5, w, 2), np.uint16)
    result = resize_pixels(pixels, (to_h * 5, to_w), kind, np.uint16)
    expected = to_pixels(resize(to_planes(pixels), (to_h * 5, to_w), kind), np.uint16)
    assert np.abs(result.astype(int) - expected).max() <= 1


@given(st.integers(5, 20), st.integers(5, 20), st.integers(2, 5), st.booleans())
def test_the_inside_is_that_of_the_whole_whatever_the_layout(h: int, w: int, factor: int, channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    image = torch.rand(2, 3, h * factor, w * factor).contiguous(memory_format=layout)
    inside = slice(BICUBIC_REACH, -BICUBIC_REACH)
    expected = matlab_bicubic(image, 1 / factor)[..., inside, inside]
    assert torch.allclose(matlab_bicubic_inside(image, factor), expected, atol=1e-6)


@given(st.integers(5, 9), st.integers(2, 5))
def test_the_inside_depends_on_nothing_outside(size: int, factor: int) -> None:
    picture = torch.rand(1, 1, (size + 6) * factor, (size + 4) * factor)
    window = picture[..., 3 * factor : (3 + size) * factor, 2 * factor : (2 + size) * factor]
    whole = matlab_bicubic(picture, 1 / factor)[..., 5 : 1 + size, 4:size]
    assert torch.allclose(matlab_bicubic_inside(window, factor), whole, atol=1e-6)

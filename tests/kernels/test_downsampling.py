"""Downsampling with a kernel."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.images.read import read_picture
from upscale_cli.kernels.blur_kernel import BlurKernel, applied_twice, bicubic, centred
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.files import read_kernel
from upscale_cli.kernels.values import Values
from upscale_cli.resize import matlab_bicubic


def gaussian(size: int, center: float, variance: float = 1.0) -> Values:
    row = np.exp(-((np.arange(size) - center) ** 2) / (2 * variance))
    return np.outer(row, row)


@given(height=st.integers(3, 20), width=st.integers(3, 20), scale=st.integers(1, 4))
def test_downsampling_is_the_correlation_it_says(height: int, width: int, scale: int) -> None:
    rng = np.random.default_rng([height, width, scale])
    image, values = rng.random((height, width)), rng.random((5, 5)) + 0.1
    kernel = centred(values, scale)
    margin = kernel.size // 2
    padded = np.pad(image, margin, mode="symmetric")
    expected = [
        [(padded[y : y + kernel.size, x : x + kernel.size] * kernel.values).sum() for x in range(0, width, scale)]
        for y in range(0, height, scale)
    ]
    result = downsample(torch.from_numpy(image)[None, None], kernel, scale)[0, 0]
    np.testing.assert_allclose(result, expected, atol=1e-10)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downsampling_with_the_bicubic_kernel_is_matlabs(scale: int) -> None:
    image = torch.rand((2, 3, 12 * scale, 9 * scale), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = matlab_bicubic(image.float(), 1 / scale)
    torch.testing.assert_close(downsample(image, bicubic(scale), scale).float(), expected, atol=1e-5, rtol=0)


def test_downsampling_twice_is_downsampling_with_the_kernel_applied_twice() -> None:
    kernel = centred(gaussian(11, 5.5, 1.5), 2)
    image = torch.rand((1, 1, 96, 96), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    twice = downsample(downsample(image, kernel, 2), kernel, 2)
    once = downsample(image, applied_twice(kernel), 4)
    torch.testing.assert_close(once[..., 4:-4, 4:-4], twice[..., 4:-4, 4:-4], atol=1e-3, rtol=0)


def test_the_same_blur_serves_another_scale() -> None:
    kernel = BlurKernel(gaussian(11, 5.5) / gaussian(11, 5.5).sum(), 2)
    ramp = torch.arange(24.0, dtype=torch.float64).expand(1, 1, 24, 24)
    small = downsample(ramp, kernel, 3)[0, 0, 4, 2:-2]
    torch.testing.assert_close(small, torch.arange(7.0, 17, 3, dtype=torch.float64), atol=0.02, rtol=0)


@pytest.mark.shared
@pytest.mark.parametrize("number", [3, 14, 24, 30])
def test_div2krk_was_downsampled_as_we_downsample(number: int, shared: Path) -> None:
    """Its authors cut the moved kernel off, without normalising, and rounded down, so that mean levels differ."""
    folder = shared / "data" / "DIV2KRK_10"
    kernel = read_kernel(folder / "gt_k_x2" / f"kernel_{number}.mat")
    hr, lr = (
        torch.from_numpy(read_picture(folder / place / f"im_{number}.png").color).permute(2, 0, 1)[None].double()
        for place in ("gt", "lr_x2")
    )
    hr, lr = hr[..., :512, :512], lr[..., :256, :256]
    small = downsample(hr, kernel, 2)[..., 8:-8, 8:-8].flatten()
    given = lr[..., 8:-8, 8:-8].flatten()
    gain = (small @ given) / (small @ small)
    error = (gain * small - given).var().item()
    assert 10 * math.log10(255**2 / error) > 54

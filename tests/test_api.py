"""The Upscaler of the Python API."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upscale_cli import Size, UpscaleError, Upscaler
from upscale_cli.errors import UsageError
from upscale_cli.images.picture import Picture
from upscale_cli.kernels.blur_kernel import bicubic
from upscale_cli.kernels.files import write_kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "kernel.json"
    write_kernel(path, bicubic(2))
    return path


def test_with_a_kernel_a_network_is_trained_on_each_picture(kernel: Path) -> None:
    upscaler = Upscaler(kernel=kernel, iterations=2, device="cpu")
    array = np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8)
    assert upscaler.name == "zssr"
    assert upscaler.upscale(array).shape == (40, 48, 3)
    assert upscaler.upscale(array, scale=3).shape == (60, 72, 3)
    assert upscaler.upscale_picture(Picture(array), Size(width=30)).width == 30


def test_fast_takes_one_orientation_and_another_result_comes_out(kernel: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8)
    whole, fast = (Upscaler(kernel=kernel, iterations=2, fast=f, device="cpu").upscale(array) for f in (False, True))
    assert whole.shape == fast.shape
    assert (whole != fast).any()


def test_what_belongs_to_a_kernel_is_refused_without_one(kernel: Path) -> None:
    with pytest.raises(UsageError, match="--fast belongs to the training"):
        Upscaler(fast=True)
    with pytest.raises(UsageError, match="--noise is for pretrained networks"):
        Upscaler(kernel=kernel, zssr=True, noise=5)
    with pytest.raises(UpscaleError, match="gone"):
        Upscaler(kernel=kernel.with_name("gone.mat"))
    with pytest.raises(UpscaleError, match="gone"):
        Upscaler(kernel="gone.mat")  # type: ignore[arg-type]

"""Levels and planes: integers to [0, 1] and back without loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale_cli.levels import rounded, to_pixels, to_planes, top


@pytest.mark.parametrize(("dtype", "level"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_level_comes_back(dtype: type, level: int) -> None:
    pixels: NDArray[Any] = np.arange(level + 1).astype(dtype)[:, None, None].repeat(3, 2)
    planes = to_planes(pixels)
    assert top(dtype) == level
    assert planes.shape == (1, 3, level + 1, 1)
    assert [planes.min().item(), planes.max().item()] == [0, 1]
    assert np.array_equal(to_pixels(planes, dtype), pixels)


@pytest.mark.parametrize("level", [255, 65535])
def test_values_are_rounded_to_the_nearest_level_and_clamped(level: int) -> None:
    values = torch.tensor([-0.5, 0.0, 0.4 / level, 0.6 / level, 1.0, 1.5])
    assert rounded(values, level).tolist() == [0, 0, 0, 1, level, level]


def test_read_only_pixels_raise_no_warning() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels.flags.writeable = False
    assert to_planes(pixels).sum() == 0

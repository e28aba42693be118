"""Crops against NumPy's padding and the turning of tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import painted

from upscale_cli.images import crops
from upscale_cli.orientation import ORIENTATIONS, Orientation, orient


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 6), st.integers(4, 12), st.integers(-4, 0), st.integers(-4, 0)
)
def test_windows_are_mirrored_again_and_again(
    height: int, width: int, beyond: int, patch: int, up: int, left: int
) -> None:
    """A window may be larger than the picture by any factor, but never leaves it altogether."""
    picture = painted(6, height, width).color
    side = patch - min(up, left) + beyond
    padded = np.pad(picture, ((40, 40), (40, 40), (0, 0)), mode="symmetric")
    expected = padded[40 + up : 40 + up + side, 40 + left : 40 + left + side]
    assert np.array_equal(crops.window(picture, up, left, side), expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_crops_turn_as_tensors_do(orientation: Orientation) -> None:
    picture = painted(7, 12, 12).color[2:9, 1:8]
    turned = orient(torch.from_numpy(picture.copy()).permute(2, 0, 1), orientation).permute(1, 2, 0)
    assert np.array_equal(crops.oriented(picture, orientation), turned)

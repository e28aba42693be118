"""How noisy a picture is, measured on itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from upscale_cli.levels import top

LARGEST_SIDE = 512  # of the middle that is looked at
WINDOW, STEP = 32, 16  # of the spectrum
BLOCK = 8
QUIET_SHARE = 0.1  # of all blocks; noise is in the quietest ones too, texture is not
# The mean absolute result of the Laplacian's difference for noise of standard deviation 1 (Immerkær 1996).
LAPLACIAN_GAIN = 6 * (2 / np.pi) ** 0.5
# The weakest of some 300 frequencies, each the mean of n windows, holds this much less than the noise's mean, and the
# quietest blocks this share of it: measured on plain noise of many sizes.
WEAKER_BY_WINDOWS, LEAST_OF_WEAKEST = 1.5, 0.35
SHARE_IN_QUIETEST = 0.8
# Levels up to which it may be texture: of one channel, and of several, whose differences hold little texture.
CLEAN_BELOW, CLEAN_BELOW_IN_COLOR = 7.5, 4.0


def measured_noise(pixels: NDArray[Any]) -> float:
    """Return the standard deviation of the noise of uint8 or uint16 ``pixels`` (H, W, C), in levels of 255.

    It is what all frequencies, all blocks and all differences of channels have: texture fills the spectrum but not
    every block, faint patterns fill the blocks but not the spectrum, and both are nearly equal in all channels. Fine
    texture all over a gray picture still counts as noise. 0 for pictures too small for a window of the spectrum.
    """
    if min(pixels.shape[:2]) < WINDOW:
        return 0.0
    first_row, first_column = (max(0, side - LARGEST_SIDE) // 2 for side in pixels.shape[:2])
    middle = pixels[first_row : first_row + LARGEST_SIDE, first_column : first_column + LARGEST_SIDE]
    planes = np.moveaxis(middle.astype(np.float32) * np.float32(255 / top(pixels.dtype)), 2, 0)
    differences = np.diff(planes, axis=0) / np.float32(np.sqrt(2))
    kinds = [kind for kind in (planes, differences) if len(kind)]
    return min(float(np.mean([min(_weakest(p), _quietest(p)) for p in kind])) for kind in kinds)


def removable_noise(pixels: NDArray[Any]) -> float:
    """Return the measured noise of ``pixels`` (H, W, C); 0 where it may be texture."""
    measured = measured_noise(pixels)
    return measured if measured > (CLEAN_BELOW if pixels.shape[2] == 1 else CLEAN_BELOW_IN_COLOR) else 0.0


def _weakest(plane: NDArray[np.float32]) -> float:
    """Return the noise of the weakest frequency, those along the axes left out, where JPEG's blocks end."""
    line = np.hanning(WINDOW + 2)[1:-1]
    taper = np.outer(line, line) / np.sum(line**2)
    windows = sliding_window_view(plane, (WINDOW, WINDOW))[::STEP, ::STEP]
    spectra = np.fft.rfft2((windows - windows.mean((-2, -1), keepdims=True)) * taper)
    power = np.mean(np.abs(spectra) ** 2, (0, 1))
    count = windows.shape[0] * windows.shape[1]
    share = max(LEAST_OF_WEAKEST, 1 - WEAKER_BY_WINDOWS / math.sqrt(count))
    return float(np.sqrt(power[2:-2, 2:-1].min())) / share


def _quietest(plane: NDArray[np.float32]) -> float:
    """Return the noise of the quietest blocks, by the difference of two Laplacians."""
    corners = plane[2:, 2:] + plane[:-2, 2:] + plane[2:, :-2] + plane[:-2, :-2]
    sides = plane[1:-1, 2:] + plane[1:-1, :-2] + plane[2:, 1:-1] + plane[:-2, 1:-1]
    response = np.abs(corners - 2 * sides + 4 * plane[1:-1, 1:-1])
    rows, columns = (side // BLOCK for side in response.shape)
    blocks = response[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).mean((1, 3))
    return float(np.quantile(blocks, QUIET_SHARE) / LAPLACIAN_GAIN) / SHARE_IN_QUIETEST

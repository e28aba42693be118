"""Linear light in 16-bit levels: a curve that shows a display's range as sRGB does, and holds what is brighter above.

Files of floating point (TIFF, EXR) hold light without an upper end, and networks know pictures of displays. Up to 1 the
curve is that of sRGB (IEC 61966-2-1) times a share of the levels, beyond 1 it goes on as a logarithm, with the same
slope, up to the brightest value of the picture, which has the highest level.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.images.picture import Light, Pixels

MOST = 65504.0  # the largest number of EXR's 16 bits
STRIP = 1 << 20  # samples that are converted at a time
_TOP = 65535
_SLOPE = 1.055 / 2.4  # of sRGB's curve at 1

Floats = NDArray[np.floating[Any]]


def as_levels(values: Floats, bits: int) -> tuple[Pixels, Light, tuple[str, ...]]:
    """Return ``values`` (H, W, C) of light as uint16 levels, what these mean, and sentences on what they cannot hold.

    ``bits``: of the file's numbers, 16 or 32.
    """
    levels, height = np.empty(values.shape, np.uint16), max(1, STRIP // values[0].size)
    strips = [slice(first, first + height) for first in range(0, len(values), height)]
    usable = (np.nan_to_num(values[rows], nan=0, posinf=MOST, neginf=0) for rows in strips)
    peak = float(np.clip(max(float(strip.max()) for strip in usable), 1, MOST))
    below = above = 0
    for rows in strips:
        strip = values[rows]
        below += int((~(strip >= 0)).any(-1).sum())
        above += int((strip > MOST).any(-1).sum())
        levels[rows] = np.rint(_curve(np.nan_to_num(strip, nan=0).clip(0, peak), peak) * _TOP)
    lost = []
    if below:
        lost.append(f"Values below 0, or that are no numbers, became 0, in {below} pixel{'s' * (below > 1)}.")
    if above:
        lost.append(f"Values above {MOST:g} became that, in {above} pixel{'s' * (above > 1)}.")
    return levels, Light(peak, bits), tuple(lost)


def _share(peak: float) -> float:
    """Return the share of the levels that stand for 0 to 1."""
    return float(1 / (1 + _SLOPE * np.log(peak)))


def _curve(values: Floats, peak: float) -> Floats:
    """Return ``values`` of 0 to ``peak`` on the curve, 0 to 1."""
    seen = np.minimum(values, 1)
    display = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    curve: Floats = _share(peak) * (display + _SLOPE * np.log(np.maximum(values, 1)))
    return curve


@lru_cache(4)
def values_of(light: Light) -> NDArray[np.float32]:
    """Return the light that each of the 65536 levels stands for."""
    levels = np.arange(_TOP + 1) / _TOP / _share(light.peak)
    display = np.minimum(levels, 1)
    linear = np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)
    bright = np.exp((np.maximum(levels, 1) - 1) / _SLOPE)
    values: NDArray[np.float32] = np.minimum(linear * bright, light.peak).astype(np.float32)
    return values


@lru_cache(4)
def displayed(light: Light) -> NDArray[np.uint16]:
    """Return the sRGB level that shows each of the 65536 levels on a display; light above 1 is white."""
    levels = np.arange(_TOP + 1) / _share(light.peak)
    return np.rint(np.minimum(levels, _TOP)).astype(np.uint16)

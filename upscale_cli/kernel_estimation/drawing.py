"""Kernels for the eye."""

from __future__ import annotations

import math

import numpy as np

from upscale_cli.degradation import blur_kernel
from upscale_cli.degradation.blur_kernel import BlurKernel, Values
from upscale_cli.images.picture import Picture
from upscale_cli.images.sheet import contact_sheet

SIDE = 340  # of a drawing, at least, so that its label has room


def drawn(kernel: BlurKernel) -> Picture:
    """One square for each value, from black for zero to white for the largest, negative ones blue; labelled."""
    return contact_sheet([squares(kernel.values)], [f"{kernel.size}x{kernel.size}, x{kernel.scale}\n{width(kernel)}"])


def squares(values: Values, least_side: int = SIDE) -> Picture:
    """``values`` (k, k) as squares of pixels; as wide as the smallest multiple of k from ``least_side`` on."""
    share = values / np.abs(values).max()
    light = np.clip(share, 0, None) ** 0.5  # small values would be lost
    blue = np.where(share < 0, np.abs(share) ** 0.5, light)
    levels = np.rint(255 * np.stack([light, light, blue], -1)).astype(np.uint8)
    side = math.ceil(least_side / len(values))
    return Picture(levels.repeat(side, 0).repeat(side, 1))


def width(kernel: BlurKernel) -> str:
    """Deviations along the long and the short axis in HR pixels, and the direction of the long one."""
    long, short, angle = axes(kernel.values)
    return f"{long:.2f} x {short:.2f} px at {angle:.0f} deg"


def axes(values: Values) -> tuple[float, float, float]:
    """(long, short) deviations in HR pixels, 0 where a variance is negative, and the long one's direction in degrees,
    counterclockwise from the right, from -90 to 90."""
    variances, directions = np.linalg.eigh(blur_kernel.covariance(values))
    down, right = directions[:, 1]
    angle = math.degrees(math.atan2(-down, right))
    deviations = np.sqrt(np.clip(variances, 0, None))
    return float(deviations[1]), float(deviations[0]), (angle + 90) % 180 - 90

"""Drawings of kernels, and their widths in words."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.values import Values, covariance

SIDE = 340  # pixels of a drawing, at least, so that its label has room


def squares(values: Values, least_side: int = SIDE) -> NDArray[np.uint8]:
    """Return a drawing of ``values`` (k, k): black for zero, white for the largest, blue for negative ones.

    RGB pixels (n, n, 3), n the smallest multiple of k from ``least_side`` on.
    """
    share = values / np.abs(values).max()
    light = np.clip(share, 0, None) ** 0.5  # small values would be lost
    blue = np.where(share < 0, np.abs(share) ** 0.5, light)
    levels: NDArray[np.uint8] = np.rint(255 * np.stack([light, light, blue], -1)).astype(np.uint8)
    side = math.ceil(least_side / len(values))
    return levels.repeat(side, 0).repeat(side, 1)


def label(kernel: BlurKernel) -> str:
    """Return the two lines under a drawing: size and scale, and the widths."""
    return f"{kernel.size}x{kernel.size}, x{kernel.scale}\n{width(kernel)}"


def width(kernel: BlurKernel) -> str:
    """Return in words the standard deviations along both axes, in HR pixels, and the direction of the long one."""
    long, short, angle = axes(kernel.values)
    return f"{long:.2f} x {short:.2f} px at {angle:.0f} deg"


def axes(values: Values) -> tuple[float, float, float]:
    """Return (long, short, direction): standard deviations along both axes in HR pixels, and the long one's direction.

    They are 0 where a variance is negative. The direction is in degrees counterclockwise from the right, -90 to 90.
    """
    variances, directions = np.linalg.eigh(covariance(values))
    down, right = directions[:, 1]
    angle = math.degrees(math.atan2(-down, right))
    short, long = np.sqrt(np.clip(variances, 0, None)).tolist()
    return long, short, (angle + 90) % 180 - 90

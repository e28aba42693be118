"""The kernel a picture was downsampled with.

Convention, that of KernelGAN and DIV2KRK: kernels are correlated, not convolved, with the HR picture, LR pixel i lying
under HR pixel ``scale · i`` at index ``size // 2``. The centre of mass is at ``size // 2 + (scale - 1) / 2``, so that
LR pixels have their centres where MATLAB's bicubic ``imresize`` has them. Sizes are odd.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from upscale_cli.kernels.values import NotAKernelError, Values, center_of_mass, moved_to_center, normalised
from upscale_cli.resize import cubic

SCALES = range(1, 9)
DEFAULT_SCALE = 2


@dataclass(frozen=True)
class BlurKernel:
    """``values`` (k, k), k odd, in HR pixels, rows first: finite, summing to 1, centred for ``scale``."""

    values: Values
    scale: int

    def __post_init__(self) -> None:
        assert self.values.ndim == 2, self.values.shape
        assert self.values.shape[0] == self.values.shape[1], self.values.shape
        assert self.size % 2 == 1, self.size
        assert np.isfinite(self.values).all()
        assert abs(self.values.sum() - 1) < 1e-6, self.values.sum()

    @property
    def size(self) -> int:
        """Rows, and columns, of ``values``."""
        return int(self.values.shape[0])


def centred(values: NDArray[Any], scale: int | None = None) -> BlurKernel:
    """Return the kernel of ``values`` (k, k), normalised, moved to its place, cropped or padded to an odd size.

    Without a ``scale`` it is the one that the place of the centre of mass implies, and 2 for kernels centred in their
    array. Raises NotAKernelError.
    """
    if scale is not None and scale not in SCALES:
        raise NotAKernelError(f"its scale is not one of {SCALES[0]} to {SCALES[-1]}")
    weights = normalised(values)
    if scale is None:
        implied = 1 + sum(center_of_mass(weights)) - 2 * (len(weights) // 2)
        is_whole = abs(implied - round(implied)) < 0.2
        scale = round(implied) if is_whole and DEFAULT_SCALE <= round(implied) <= SCALES[-1] else DEFAULT_SCALE
    return BlurKernel(moved_to_center(weights, scale), scale)


def for_scale(kernel: BlurKernel, scale: int) -> BlurKernel:
    """Return the same blur in HR pixels, centred for another ``scale``."""
    return kernel if scale == kernel.scale else centred(kernel.values, scale)


def applied_twice(kernel: BlurKernel) -> BlurKernel:
    """Return the kernel of downsampling twice with ``kernel``: of ×4 from ×2 (KernelGAN, appendix).

    k₄ = k ∗ (k dilated by the scale). Cropped to 2k - 1, which drops next to nothing.
    """
    values = torch.from_numpy(kernel.values)[None, None]
    whole = F.conv_transpose2d(values, values, stride=kernel.scale)[0, 0].numpy()
    crop = ((kernel.scale - 1) * (kernel.size - 1)) // 2
    return centred(whole[crop : len(whole) - crop, crop : len(whole) - crop], kernel.scale**2)


def bicubic(scale: int) -> BlurKernel:
    """Return the kernel of MATLAB's antialiased ``imresize(·, 1 / scale)``: Keys' cubic, ``scale`` times as wide."""
    half = math.ceil(2 * scale + (scale - 1) / 2) - 1
    row = cubic((torch.arange(-half, half + 1, dtype=torch.float64) - (scale - 1) / 2) / scale)
    return centred(torch.outer(row, row).numpy(), scale)

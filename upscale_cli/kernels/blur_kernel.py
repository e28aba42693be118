"""The kernel a picture was shrunk with.

Convention, that of KernelGAN and DIV2KRK: kernels are correlated, not convolved, with the HR picture, LR pixel i lying
under HR pixel ``scale · i`` at index ``size // 2``. The centre of mass is at ``size // 2 + (scale - 1) / 2``, so that
LR pixels have their centres where MATLAB's bicubic ``imresize`` has them. Sizes are odd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from upscale_cli.kernels.values import Values, moved_to_center, normalised
from upscale_cli.resize import cubic

SCALES = range(1, 9)


@dataclass(frozen=True)
class BlurKernel:
    """``values`` (k, k), k odd, in HR pixels, rows first: finite, of sum 1, centred for ``scale`` as stated above."""

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
        return int(self.values.shape[0])


def centred(values: NDArray[Any], scale: int) -> BlurKernel:
    """The kernel of ``values`` (k, k): normalised, moved to where ``scale`` needs its centre, cropped or padded to odd.

    Raises ValueError, saying why the values are no kernel.
    """
    if scale not in SCALES:
        raise ValueError(f"its scale is {scale}, not {SCALES[0]} to {SCALES[-1]}")
    weights = normalised(values)
    return BlurKernel(moved_to_center(weights, scale), scale)


def for_scale(kernel: BlurKernel, scale: int) -> BlurKernel:
    """The same blur in HR pixels, centred for another ``scale``."""
    return kernel if scale == kernel.scale else centred(kernel.values, scale)


def applied_twice(kernel: BlurKernel) -> BlurKernel:
    """The kernel of shrinking twice with ``kernel``: of ×4 from ×2 (KernelGAN, appendix).

    k₄ = k ∗ (k dilated by the scale). Cropped to 2k - 1, which drops next to nothing.
    """
    values = torch.from_numpy(kernel.values)[None, None]
    whole = F.conv_transpose2d(values, values, stride=kernel.scale)[0, 0].numpy()
    crop = ((kernel.scale - 1) * (kernel.size - 1)) // 2
    return centred(whole[crop : len(whole) - crop, crop : len(whole) - crop], kernel.scale**2)


def bicubic(scale: int) -> BlurKernel:
    """The kernel of MATLAB's antialiased ``imresize(·, 1 / scale)``: Keys' cubic, ``scale`` times as wide."""
    half = int(np.ceil(2 * scale + (scale - 1) / 2)) - 1
    row = cubic((torch.arange(-half, half + 1, dtype=torch.float64) - (scale - 1) / 2) / scale)
    return centred(torch.outer(row, row).numpy(), scale)

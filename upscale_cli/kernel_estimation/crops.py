"""Where crops are taken: in proportion to the gradients inside (KernelGAN's published source)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.resize import matlab_bicubic

STRONGEST = 0.97  # quantile above which gradients count no more
WINDOW = 5


def gradient_map(image: Tensor) -> Tensor:
    """Return |∂x| + |∂y| of the channels' mean of (C, H, W), limited and smoothed: (H, W), zero only where all is flat.

    Smoothed is the mean over 5 × 5 pixels, zeros beyond the border.
    """
    rows, columns = torch.gradient(image.mean(0))
    strength = rows.abs() + columns.abs()
    limit = torch.quantile(strength.flatten()[:: 1 + strength.numel() // 2**22], STRONGEST)
    limited = torch.minimum(strength, limit) if limit > 0 else strength
    return _sums(F.pad(limited, (WINDOW // 2,) * 4), WINDOW) / WINDOW**2


def _sums(values: Tensor, size: int) -> Tensor:
    """Return the sums over all size × size boxes inside (H, W), from the differences of cumulative sums."""
    for dim in (0, 1):
        sums = F.pad(values.double().cumsum(dim), (1, 0) if dim else (0, 0, 1, 0))
        length = sums.shape[dim] - size
        values = sums.narrow(dim, size, length) - sums.narrow(dim, 0, length)
    return values.clamp(min=0)


def draw(gradients: Tensor, size: int, count: int, generator: torch.Generator) -> list[tuple[int, int]]:
    """Return ``count`` places (top, left), even numbers, of crops size × size, drawn in proportion to the gradients."""
    probability = _sums(gradients, size)[::2, ::2]
    bounds = probability.flatten().cumsum(0)
    drawn = torch.rand(count, generator=generator, dtype=torch.float64) * bounds[-1]
    index = torch.searchsorted(bounds, drawn, right=True).clamp(max=len(bounds) - 1)
    columns = probability.shape[1]
    return [(2 * (i // columns), 2 * (i % columns)) for i in index.tolist()]


def gradients_after_downsampling(image: Tensor) -> Tensor:
    """Return the ``gradient_map`` of (C, H, W) at half its size, each value for the 2 × 2 pixels it comes from."""
    height, width = image.shape[1:]
    small = gradient_map(matlab_bicubic(image, 0.5))
    return small.repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width]

"""Where crops are taken: in proportion to how much there is to be seen (KernelGAN's published source)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.resize import matlab_bicubic

STRONGEST = 0.97  # quantile above which gradients count no more
WINDOW = 5


def gradient_map(image: Tensor) -> Tensor:
    """|∂x| + |∂y| of the channels' mean of (C, H, W), limited and smoothed: (H, W), zero only where all is flat."""
    rows, columns = torch.gradient(image.mean(0))
    strength = rows.abs() + columns.abs()
    limit = torch.quantile(strength.flatten()[:: 1 + strength.numel() // 2**22], STRONGEST)
    return _box(torch.minimum(strength, limit) if limit > 0 else strength, WINDOW)


def _box(values: Tensor, size: int) -> Tensor:
    """Mean over size × size around each pixel of (H, W), zeros beyond the border."""
    return _sums(F.pad(values, (size // 2, (size - 1) // 2) * 2), size) / size**2


def _sums(values: Tensor, size: int) -> Tensor:
    """Sums over all size × size boxes inside (H, W), from the differences of cumulative sums."""
    for dim in (0, 1):
        sums = F.pad(values.double().cumsum(dim), (1, 0) if dim else (0, 0, 1, 0))
        length = sums.shape[dim] - size
        values = sums.narrow(dim, size, length) - sums.narrow(dim, 0, length)
    return values.clamp(min=0)


def draw(gradients: Tensor, size: int, count: int, generator: torch.Generator) -> list[tuple[int, int]]:
    """``count`` places (top, left), even, of crops size × size, drawn in proportion to the gradients inside."""
    probability = _sums(gradients, size)[::2, ::2]
    bounds = probability.flatten().cumsum(0)
    drawn = torch.rand(count, generator=generator, dtype=torch.float64) * bounds[-1]
    index = torch.searchsorted(bounds, drawn, right=True).clamp(max=len(bounds) - 1)
    columns = probability.shape[1]
    return [(2 * (i // columns), 2 * (i % columns)) for i in index.tolist()]


def gradients_after_shrinking(image: Tensor) -> Tensor:
    """As ``gradient_map`` of the picture at half its size, each value for the 2 × 2 pixels it comes from."""
    height, width = image.shape[1:]
    small = gradient_map(matlab_bicubic(image, 0.5))
    return small.repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width]

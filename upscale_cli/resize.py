"""Resampling of image tensors to any size, antialiased, in floating point.

One separable resampler serves everything that changes a picture's size: the low-resolution pictures of the
benchmarks (MATLAB's ``imresize``), the way from a network's scale to the scale that was asked for, and alpha planes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Filter = Literal["bicubic", "lanczos", "area"]


def _bicubic(x: Tensor, stretch: float) -> Tensor:
    """Keys' cubic convolution with a = -0.5 (Keys 1981, eq. 15), the one of MATLAB's ``imresize``."""
    x = (x * stretch).abs()
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return torch.where(x <= 1, inner, torch.where(x < 2, outer, torch.zeros_like(x)))


def _lanczos(x: Tensor, stretch: float) -> Tensor:
    """Lanczos window of three lobes."""
    x = x * stretch
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


def _area(x: Tensor, stretch: float) -> Tensor:
    """How much of each source pixel the output pixel covers; linear interpolation when enlarging."""
    return (0.5 + 0.5 / stretch - x.abs()).clamp(0, 1)


# Each takes distances in source pixels and how far it is stretched to shrink; the number is its width unstretched.
_FILTERS: dict[Filter, tuple[Callable[[Tensor, float], Tensor], float]] = {
    "bicubic": (_bicubic, 4.0),
    "lanczos": (_lanczos, 6.0),
    "area": (_area, 2.0),
}


@lru_cache(maxsize=64)
def _taps(in_size: int, out_size: int, scale: float, kind: Filter) -> tuple[Tensor, Tensor]:
    """Source indices (out_size, taps) and their weights (out_size, taps), rows summing to one.

    Follows MATLAB's ``contributions``: the kernel widens by 1/scale when shrinking (antialiasing) and
    pixels beyond the border are mirrored, the edge pixel repeated.
    """
    kernel, width = _FILTERS[kind]
    stretch = min(scale, 1.0)
    centers = (torch.arange(out_size, dtype=torch.float64) + 0.5) / scale - 0.5
    count = math.ceil(width / stretch) + 2
    first = torch.floor(centers - width / stretch / 2).long()
    index = first[:, None] + torch.arange(count)
    weight = kernel(centers[:, None] - index, stretch)
    weight = weight / weight.sum(1, keepdim=True)
    folded = index % (2 * in_size)
    mirrored = torch.where(folded < in_size, folded, 2 * in_size - 1 - folded)
    used = weight.abs().amax(0) > 1e-12
    return mirrored[:, used], weight[:, used].float()


def _resize_axis(image: Tensor, dim: int, out_size: int, scale: float, kind: Filter) -> Tensor:
    if out_size == image.shape[dim] and scale == 1:
        return image
    index, weight = _taps(image.shape[dim], out_size, scale, kind)
    index, weight = index.to(image.device), weight.to(image.device)
    broadcast = [1] * image.ndim
    broadcast[dim] = out_size
    result: Tensor | None = None
    for tap in range(index.shape[1]):
        part = image.index_select(dim, index[:, tap]) * weight[:, tap].reshape(broadcast)
        result = part if result is None else result.add_(part)
    assert result is not None
    return result


def resize(
    image: Tensor, size: tuple[int, int], kind: Filter = "bicubic", scale: tuple[float, float] | None = None
) -> Tensor:
    """Resample ``image`` (..., H, W), floating point, to ``size`` (height, width).

    ``scale`` (vertical, horizontal) is the exact factor where it differs from the ratio of the sizes, as in
    MATLAB's ``imresize(image, factor)`` with sizes that do not divide. Values may overshoot the input's range.
    """
    vertical, horizontal = scale or (size[0] / image.shape[-2], size[1] / image.shape[-1])
    steps = sorted([(vertical, image.ndim - 2, size[0]), (horizontal, image.ndim - 1, size[1])])
    for factor, dim, out_size in steps:  # the smaller factor first: less work, and MATLAB's order
        image = _resize_axis(image, dim, out_size, factor, kind)
    return image


def matlab_bicubic(image: Tensor, scale: float) -> Tensor:
    """``imresize(image, scale)`` of MATLAB on (..., H, W): bicubic, antialiased, output size rounded up."""
    height, width = (math.ceil(side * scale - 1e-9) for side in image.shape[-2:])
    return resize(image, (height, width), "bicubic", (scale, scale))

"""Resampling of image tensors to any size, antialiased, in floating point.

One separable resampler serves everything that changes a picture's size: the low-resolution pictures of the
benchmarks (MATLAB's ``imresize``), the way from a network's scale to the scale that was asked for, and alpha planes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from upscale_cli import levels
from upscale_cli.borders import NO_WRAPS, Wraps, mirrored, repeated

Filter = Literal["bicubic", "lanczos", "area"]


BICUBIC_REACH = 2  # outputs at each side of a picture downsampled by a whole factor that depend on what lies beyond
BLOCK = 64  # outputs that share one band of weights: wide enough for fast products, narrow enough to be mostly weights


def cubic(x: Tensor) -> Tensor:
    """Return Keys' cubic convolution at ``x`` with a = -0.5 (Keys 1981, eq. 15), the one of MATLAB's ``imresize``."""
    x = x.abs()
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return torch.where(x <= 1, inner, torch.where(x < 2, outer, torch.zeros_like(x)))


def _lanczos(x: Tensor, stretch: float) -> Tensor:
    """Return the Lanczos window of three lobes at ``x``."""
    x = x * stretch
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


def _area(x: Tensor, stretch: float) -> Tensor:
    """Return how much of each source pixel the output pixel covers; linear interpolation when enlarging."""
    return (0.5 + 0.5 / stretch - x.abs()).clamp(0, 1)


# Each takes distances in source pixels and how far it is stretched to downsample; the number is its width unstretched.
_FILTERS: dict[Filter, tuple[Callable[[Tensor, float], Tensor], float]] = {
    "bicubic": (lambda x, stretch: cubic(x * stretch), 4.0),
    "lanczos": (_lanczos, 6.0),
    "area": (_area, 2.0),
}


@lru_cache(maxsize=64)
def _taps(in_size: int, out_size: int, scale: float, kind: Filter, wraps: bool = False) -> tuple[Tensor, Tensor]:
    """Return source indices (out_size, taps) and their weights (out_size, taps), rows summing to 1.

    Follows MATLAB's ``contributions``: the kernel widens by 1/scale when downsampling (antialiasing) and
    pixels beyond the border are mirrored, the edge pixel repeated; where the source ``wraps``, indices go beyond it.
    """
    kernel, width = _FILTERS[kind]
    stretch = min(scale, 1.0)
    centers = (torch.arange(out_size, dtype=torch.float64) + 0.5) / scale - 0.5
    count = math.ceil(width / stretch) + 2
    first = torch.floor(centers - width / stretch / 2).long()
    index = first[:, None] + torch.arange(count)
    weight = kernel(centers[:, None] - index, stretch)
    weight = weight / weight.sum(1, keepdim=True)
    start, stop = int(index.min()), int(index.max()) + 1
    inside = index if wraps else torch.from_numpy(mirrored(start, stop, in_size, edge_twice=True))[index - start]
    used = weight.abs().amax(0) > 1e-12
    return inside[:, used], weight[:, used].float()


def _bands(
    in_size: int, out_size: int, scale: float, kind: Filter, wraps: bool = False
) -> Iterator[tuple[slice | Tensor, Tensor]]:
    """Yield, for every ``BLOCK`` outputs, the source positions that they use, in a row, and their weights.

    These are (outputs, positions): products of matrices are far faster than gathering taps.
    """
    all_indices, all_weights = _taps(in_size, out_size, scale, kind, wraps)
    for first in range(0, out_size, BLOCK):
        index, weight = all_indices[first : first + BLOCK], all_weights[first : first + BLOCK]
        start, stop = int(index.min()), int(index.max()) + 1
        weights = torch.zeros(len(index), stop - start).scatter_add_(1, index - start, weight)
        inside = start >= 0 and stop <= in_size
        yield slice(start, stop) if inside else torch.from_numpy(repeated(start, stop, in_size)), weights


def _resize_rows(image: Tensor, out_size: int, scale: float, kind: Filter) -> Tensor:
    bands = _bands(image.shape[-2], out_size, scale, kind)
    return torch.cat([dense.to(image.device) @ image[..., used, :] for used, dense in bands], -2)


def _resize_columns(image: Tensor, out_size: int, scale: float, kind: Filter, wraps: bool = False) -> Tensor:
    bands = _bands(image.shape[-1], out_size, scale, kind, wraps)
    return torch.cat([image[..., used] @ dense.to(image.device).T for used, dense in bands], -1)


def resize(
    image: Tensor, size: tuple[int, int], kind: Filter = "bicubic", scale: tuple[float, float] | None = None
) -> Tensor:
    """Resample ``image`` (..., H, W), floating point, to ``size`` (height, width).

    ``scale`` (vertical, horizontal) is the exact factor where it differs from the ratio of the sizes, as in
    MATLAB's ``imresize(image, factor)`` with sizes that do not divide. Values may overshoot the input's range.
    """
    vertical, horizontal = scale or (size[0] / image.shape[-2], size[1] / image.shape[-1])
    if (size[0], vertical) != (image.shape[-2], 1):
        image = _resize_rows(image, size[0], vertical, kind)
    if (size[1], horizontal) != (image.shape[-1], 1):
        image = _resize_columns(image, size[1], horizontal, kind)
    return image


def resize_pixels(
    pixels: NDArray[Any],
    size: tuple[int, int],
    kind: Filter,
    dtype: DTypeLike,
    wraps: Wraps = NO_WRAPS,
    result: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Resample uint8 or uint16 ``pixels`` (H, W, C) to ``size`` (height, width) in levels of ``dtype``.

    Into ``result`` where that is given. In strips of rows: the whole picture never exists in floating point. Where they
    ``wrap``, the picture is repeated beyond its borders, elsewhere mirrored.
    """
    result = np.empty((*size, pixels.shape[2]), dtype) if result is None else result
    for number, strip in enumerate(resized_strips(pixels, size, kind, dtype, wraps)):
        result[number * BLOCK : (number + 1) * BLOCK] = strip
    return result


def resized_strips(
    pixels: NDArray[Any], size: tuple[int, ...], kind: Filter, dtype: DTypeLike, wraps: Wraps = NO_WRAPS
) -> Iterator[NDArray[Any]]:
    """Yield what ``resize_pixels`` returns, ``BLOCK`` rows at a time."""
    height, width = pixels.shape[:2]
    for used, dense in _bands(height, size[0], size[0] / height, kind, wraps[0]):
        strip = dense @ levels.to_planes(pixels[used]).contiguous()
        if size[1] != width:
            strip = _resize_columns(strip, size[1], size[1] / width, kind, wraps[1])
        yield levels.to_pixels(strip, dtype)


def matlab_bicubic(image: Tensor, scale: float) -> Tensor:
    """Return MATLAB's ``imresize(image, scale)`` of (..., H, W): bicubic, antialiased, output size rounded up."""
    height, width = (math.ceil(side * scale - 1e-9) for side in image.shape[-2:])
    return resize(image, (height, width), "bicubic", (scale, scale))


def matlab_bicubic_inside(image: Tensor, factor: int) -> Tensor:
    """Return ``matlab_bicubic(image, 1 / factor)`` less the pixels that depend on the border: ``BICUBIC_REACH`` a side.

    ``image`` (..., H, W) has sides that are multiples of the factor. Inside, all outputs have the same taps, and their
    rows are sums of whole rows of the image: faster than products of matrices, above all in the layout channels-last.
    """
    rows, columns = (side // factor for side in image.shape[-2:])
    index, weight = _taps(image.shape[-2], rows, 1 / factor, "bicubic")
    span = (rows - 2 * BICUBIC_REACH) * factor
    small = torch.zeros_like(image[..., :span:factor, :])
    for first, tap in zip(index[BICUBIC_REACH].tolist(), weight[BICUBIC_REACH].tolist(), strict=True):
        small.add_(image[..., first : first + span : factor, :], alpha=tap)
    return _resize_columns(small, columns, 1 / factor, "bicubic")[..., BICUBIC_REACH:-BICUBIC_REACH]

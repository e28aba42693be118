"""Shrinking with a kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.kernels.blur_kernel import BlurKernel, for_scale


def downsample(image: Tensor, kernel: BlurKernel, scale: int) -> Tensor:
    """LR of ``image`` (N, C, H, W), floating point: filtered, borders mirrored (edge repeated), every scale-th pixel.

    The result is (N, C, ceil(H / scale), ceil(W / scale)), of the same range but for rounding and, with negative
    values in the kernel, overshoot. A ``scale`` other than the kernel's own uses the same blur.
    """
    values = for_scale(kernel, scale).values
    n, c, height, width = image.shape
    planes = _mirrored(image.reshape(n * c, 1, height, width), len(values) // 2)
    weight = torch.from_numpy(values).to(image)[None, None]
    lr = F.conv2d(planes, weight, stride=scale)
    return lr.reshape(n, c, *lr.shape[-2:])


def _mirrored(planes: Tensor, margin: int) -> Tensor:
    """(N, 1, H, W) with ``margin`` more pixels on every side, the edge pixel repeated, at any size."""
    for dim in (2, 3):
        length = planes.shape[dim]
        folded = torch.arange(-margin, length + margin, device=planes.device) % (2 * length)
        planes = planes.index_select(dim, torch.where(folded < length, folded, 2 * length - 1 - folded))
    return planes

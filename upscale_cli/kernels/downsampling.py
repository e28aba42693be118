"""Downsampling with a kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.borders import pad_mirrored
from upscale_cli.kernels.blur_kernel import BlurKernel, for_scale


def downsample(image: Tensor, kernel: BlurKernel, scale: int) -> Tensor:
    """Return LR of ``image`` (N, C, H, W), floating point: (N, C, ceil(H / scale), ceil(W / scale)).

    The image is filtered, its borders mirrored (edge repeated), and every scale-th pixel kept. Negative values in the
    kernel make the result overshoot. A ``scale`` other than the kernel's own uses the same blur.
    """
    values = for_scale(kernel, scale).values
    n, c, height, width = image.shape
    planes = pad_mirrored(image.reshape(n * c, 1, height, width), len(values) // 2, edge_twice=True)
    weight = torch.from_numpy(values).to(image)[None, None]
    lr = F.conv2d(planes, weight, stride=scale)
    return lr.reshape(n, c, *lr.shape[-2:])

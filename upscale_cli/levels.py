"""Integer levels of pixels (H, W, C) to floating-point planes (1, C, H, W) in [0, 1], and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor


def top(dtype: DTypeLike) -> int:
    """Return the level that means 1: 255 for uint8, 65535 for uint16."""
    return int(np.iinfo(dtype).max)


def to_planes(pixels: NDArray[Any]) -> Tensor:
    """Return uint8 or uint16 ``pixels`` (H, W, C) as float32 (1, C, H, W) in [0, 1], in channels_last order."""
    levels = torch.from_numpy(np.array(pixels, order="C"))  # a copy: PyTorch takes no read-only memory
    return levels.permute(2, 0, 1)[None].to(torch.float32).div_(top(pixels.dtype))


def rounded(values: Tensor, level: int) -> Tensor:
    """Return ``values`` in [0, 1] as whole levels from 0 to ``level``, still floating point; others are clamped."""
    return values.clamp(0, 1).mul_(level).round_()


def to_pixels(planes: Tensor, dtype: DTypeLike) -> NDArray[Any]:
    """Return ``planes`` (1, C, H, W), on any device, rounded to the levels of ``dtype``: (H, W, C)."""
    kind = torch.uint8 if np.dtype(dtype) == np.uint8 else torch.uint16
    levels = rounded(planes[0].permute(1, 2, 0).float(), top(dtype)).to(kind)
    pixels: NDArray[Any] = levels.contiguous().cpu().numpy()
    return pixels

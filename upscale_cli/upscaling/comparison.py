"""The before/after picture: the input enlarged bicubically beside the result."""

from __future__ import annotations

import numpy as np
import torch

from upscale_cli.images.picture import Metadata, Picture, Pixels
from upscale_cli.resize import resize
from upscale_cli.tiling import quantise

DIVIDER = 8  # pixels


def side_by_side(before: Picture, after: Picture) -> Picture:
    """``before`` at the size of ``after``, a white line, ``after``; transparency laid over white."""
    left, right = _opaque(before), _opaque(after)
    planes = torch.from_numpy(left).permute(2, 0, 1)[None] / float(np.iinfo(before.color.dtype).max)
    enlarged = resize(planes, (after.height, after.width), "bicubic")[0].permute(1, 2, 0)
    dtype = torch.uint16 if after.depth == 16 else torch.uint8
    line = np.full((after.height, DIVIDER, right.shape[2]), np.iinfo(after.color.dtype).max, after.color.dtype)
    color = np.concatenate([quantise(enlarged, dtype).numpy(), line, right.astype(after.color.dtype)], axis=1)
    return Picture(color, None, Metadata(icc=after.metadata.icc))


def _opaque(picture: Picture) -> Pixels:
    """float32 (H, W, C) in the picture's own range."""
    color: Pixels = picture.color.astype(np.float32)
    if picture.alpha is None:
        return color
    top = np.iinfo(picture.color.dtype).max
    share = picture.alpha[..., None].astype(np.float32) / top
    over_white: Pixels = color * share + top * (1 - share)
    return over_white

"""Whole pictures shrunk with a kernel: colour, transparency, metadata."""

from __future__ import annotations

import numpy as np
import torch

from upscale_cli.images import metadata
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.downsampling import downsample


def downsampled(picture: Picture, kernel: BlurKernel, scale: int) -> Picture:
    """Of the same depth, ceil(H / scale) × ceil(W / scale). Colour counts as much as it is opaque."""
    if picture.alpha is None:
        color, alpha = _downsampled(picture.color, kernel, scale), None
    else:
        share = picture.alpha[..., None] / np.iinfo(picture.alpha.dtype).max
        opaque = _filtered(share, kernel, scale)
        weighted = _filtered(picture.color * share, kernel, scale)
        plain = _filtered(picture.color.astype(np.float64), kernel, scale)
        color = _levels(np.where(opaque > 1e-3, weighted / np.maximum(opaque, 1e-3), plain), picture.color)
        alpha = _downsampled(picture.alpha[..., None], kernel, scale)[..., 0]
    height, width = color.shape[:2]
    return Picture(color, alpha, metadata.for_size(picture.metadata, width, height))


def _downsampled(pixels: Pixels, kernel: BlurKernel, scale: int) -> Pixels:
    return _levels(_filtered(pixels.astype(np.float64), kernel, scale), pixels)


def _filtered(values: Pixels, kernel: BlurKernel, scale: int) -> Pixels:
    """(H, W, C), floating point."""
    plane = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]
    small: Pixels = downsample(plane, kernel, scale)[0].permute(1, 2, 0).numpy()
    return small


def _levels(values: Pixels, like: Pixels) -> Pixels:
    levels: Pixels = np.rint(np.clip(values, 0, np.iinfo(like.dtype).max)).astype(like.dtype)
    return levels

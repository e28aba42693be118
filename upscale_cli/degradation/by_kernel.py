"""Whole pictures downsampled with a kernel: colour, transparency, metadata."""

from __future__ import annotations

import torch

from upscale_cli.images import metadata
from upscale_cli.images.picture import Picture
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.levels import to_pixels, to_planes

LEAST_OPACITY = 1e-3  # where pixels are more transparent, their colours count as if they were opaque


def downsampled(picture: Picture, kernel: BlurKernel, scale: int) -> Picture:
    """Return ``picture`` at ceil(H / scale) × ceil(W / scale), of the same depth. Colour is weighted by its opacity."""
    planes, depth = to_planes(picture.color), picture.color.dtype
    small, alpha = downsample(planes, kernel, scale), None
    if picture.alpha is not None:
        opacity = to_planes(picture.alpha[..., None])
        small_opacity = downsample(opacity, kernel, scale)
        weighted = downsample(planes * opacity, kernel, scale) / small_opacity.clamp(min=LEAST_OPACITY)
        small = torch.where(small_opacity > LEAST_OPACITY, weighted, small)
        alpha = to_pixels(small_opacity, depth)[..., 0]
    color = to_pixels(small, depth)
    return Picture(color, alpha, metadata.for_size(picture.metadata, color.shape[1], color.shape[0]))

"""JPEG's losses, for a batch of pictures, on their device, with its own quality for each.

The lossy half of the standard (ITU-T T.81) as libjpeg does it: YCbCr in 8 bits, colour at half the resolution (4:2:0),
cosine transform of 8x8 blocks, quantisation by the tables of annex K scaled by the quality, and the way back with
libjpeg's triangular filter for colour. What follows in JPEG is lossless, so no bytes are written.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.images.jpeg_quality import LUMINANCE

BLOCK = 8
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
RED, GREEN, BLUE = 0.299, 0.587, 0.114  # JFIF's brightness, ITU-R BT.601


def apply(images: Tensor, quality: Tensor) -> Tensor:
    """Return RGB pictures (N, 3, H, W) in [0, 1] as they come back from JPEG of ``quality`` (N,), 1 to 100."""
    height, width = images.shape[-2:]
    beyond = (0, -width % (2 * BLOCK), 0, -height % (2 * BLOCK))
    levels = F.pad(images.mul(255).round_().clamp_(0, 255), beyond, mode="replicate")
    luma, *chroma = to_ycbcr(levels)
    tables = quantisation(quality.to(images.device))  # (N, 2, 8, 8)
    luma = through_blocks(luma.sub_(128), tables[:, 0])[:, :height, :width].add_(128)
    half = slice((height + 1) // 2), slice((width + 1) // 2)
    blue, red = (doubled(through_blocks(halved(plane), tables[:, 1])[:, *half]) for plane in chroma)
    return to_rgb(luma, blue[:, :height, :width], red[:, :height, :width]).div_(255)


def to_ycbcr(levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Y, and Cb and Cr without their offset of 128, each (N, H, W) in whole levels."""
    red, green, blue = levels.unbind(1)
    y = (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE)
    cb, cr = (blue - y).mul_(0.5 / (1 - BLUE)).round_(), (red - y).mul_(0.5 / (1 - RED)).round_()
    return y.round_(), cb, cr


def to_rgb(y: Tensor, cb: Tensor, cr: Tensor) -> Tensor:
    """Return RGB (N, 3, H, W) of what ``to_ycbcr`` returns, in whole levels."""
    result = torch.empty(y.shape[0], 3, *y.shape[1:], dtype=y.dtype, device=y.device)
    red, green, blue = result.unbind(1)
    torch.add(y, cr, alpha=2 * (1 - RED), out=red)
    torch.add(y, cb, alpha=2 * (1 - BLUE), out=blue)
    torch.add(y, cb, alpha=-2 * (1 - BLUE) * BLUE / GREEN, out=green)
    green.add_(cr, alpha=-2 * (1 - RED) * RED / GREEN)
    return result.round_().clamp_(0, 255)


def halved(planes: Tensor) -> Tensor:
    """Return (N, H, W) at half the size, in whole levels: means of 2x2 pixels, halves rounded down and up in turn."""
    rows = planes[:, ::2] + planes[:, 1::2]
    bias = torch.tensor([1.0, 2.0], device=planes.device).repeat((rows.shape[-1] // 2 + 1) // 2)
    return (rows[..., ::2] + rows[..., 1::2]).add_(bias[: rows.shape[-1] // 2]).mul_(0.25).floor_()


def doubled(planes: Tensor) -> Tensor:
    """Return (N, h, w) at twice the size, by libjpeg's filter: 9, 3, 3 and 1 sixteenths of the nearest, rounded."""
    return F.interpolate(planes[None], scale_factor=2, mode="bilinear", align_corners=False)[0].round_()


def quantisation(quality: Tensor) -> Tensor:
    """Return the tables (N, 2, 8, 8) of brightness and colour for ``quality`` (N,), by libjpeg's formula."""
    quality = quality.clamp(1, 100).float()
    percent = torch.where(quality < 50, torch.floor(5000 / quality), 200 - 2 * quality)
    tables = torch.tensor(np.array([LUMINANCE, CHROMA_TABLE]), dtype=torch.float32, device=quality.device)
    return torch.floor((tables * percent.view(-1, 1, 1, 1) + 50) / 100).clamp_(1, 255)


def through_blocks(planes: Tensor, table: Tensor) -> Tensor:
    """Return planes (N, H, W) of levels around 0 quantised in 8x8 blocks by ``table`` (N, 8, 8), rounded again."""
    count, height, width = planes.shape
    blocks = planes.view(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    transform = block_transform().to(planes.device)
    coefficients = blocks.reshape(count, -1, BLOCK * BLOCK) @ transform.T
    steps = table.reshape(count, 1, BLOCK * BLOCK)
    restored = coefficients.div_(steps).round_().mul_(steps) @ transform
    tiles = restored.round_().clamp_(-128, 127)
    return tiles.view(count, height // BLOCK, width // BLOCK, BLOCK, BLOCK).transpose(2, 3).reshape(planes.shape)


@lru_cache(maxsize=1)
def block_transform() -> Tensor:
    """Return the orthonormal cosine transform of 8x8 blocks, (64, 64), rows for frequencies (T.81, A.3.3)."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    waves = torch.cos((2 * place + 1) * place[:, None] * math.pi / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    return torch.kron(waves, waves).float()

"""What JPEG does to pictures, batched, on their device, with its own quality for every picture.

The lossy half of the standard (ITU-T T.81) as libjpeg does it: YCbCr in 8 bits, colour at half the resolution (4:2:0),
cosine transform of 8x8 blocks, quantisation by the tables of annex K scaled by the quality, and the way back with
libjpeg's triangular filter for colour. No bytes are written, for what follows is lossless.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
# JFIF's conversion from RGB, without the offset of 128 of the two colour differences.
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def apply(images: Tensor, quality: Tensor) -> Tensor:
    """RGB pictures (N, 3, H, W) in [0, 1] as they come back from JPEG of ``quality`` (N,), 1 to 100. Any size."""
    height, width = images.shape[-2:]
    levels = padded(images.mul(255).round_().clamp_(0, 255), 2 * BLOCK)
    ycbcr = mixed(levels, TO_YCBCR).round_()
    ycbcr[:, 0] -= 128
    tables = quantisation(quality.to(images.device))  # (N, 2, 8, 8)
    luma = through_blocks(ycbcr[:, :1], tables[:, 0])
    chroma = through_blocks(F.avg_pool2d(ycbcr[:, 1:], 2).round_(), tables[:, 1])
    full = F.interpolate(
        chroma[..., : (height + 1) // 2, : (width + 1) // 2], scale_factor=2, mode="bilinear", align_corners=False
    )
    back = torch.cat([luma[..., :height, :width] + 128, full[..., :height, :width]], 1)
    return mixed(back, TO_RGB).round_().clamp_(0, 255).div_(255)


def quantisation(quality: Tensor) -> Tensor:
    """The tables (N, 2, 8, 8) of brightness and colour for ``quality`` (N,), by libjpeg's formula."""
    quality = quality.clamp(1, 100).float()
    percent = torch.where(quality < 50, torch.floor(5000 / quality), 200 - 2 * quality)
    tables = torch.tensor([LUMA_TABLE, CHROMA_TABLE], dtype=torch.float32, device=quality.device)
    return torch.floor((tables * percent.view(-1, 1, 1, 1) + 50) / 100).clamp_(1, 255)


def padded(images: Tensor, multiple: int) -> Tensor:
    """The pictures with their last row and column repeated up to a multiple."""
    bottom, right = (-side % multiple for side in images.shape[-2:])
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images


def mixed(images: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """The channels of (N, 3, H, W) mixed by a matrix, rows for what comes out."""
    weight = images.new_tensor(matrix)
    return torch.matmul(weight, images.flatten(2)).view_as(images)


def through_blocks(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (N, C, H, W) of levels around 0, quantised in 8x8 blocks by ``table`` (N, 8, 8), and rounded again."""
    count, channels, height, width = planes.shape
    blocks = planes.view(count, channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(3, 4)
    transform = block_transform().to(planes.device)
    coefficients = blocks.reshape(count, -1, BLOCK * BLOCK) @ transform.T
    steps = table.reshape(count, 1, BLOCK * BLOCK)
    restored = coefficients.div_(steps).round_().mul_(steps) @ transform
    tiles = restored.round_().clamp_(-128, 127)
    blocks = tiles.view(count, channels, height // BLOCK, width // BLOCK, BLOCK, BLOCK).transpose(3, 4)
    return blocks.reshape(planes.shape)


@lru_cache(maxsize=1)
def block_transform() -> Tensor:
    """The orthonormal cosine transform of 8x8 blocks as one matrix (64, 64), rows for frequencies (T.81, A.3.3)."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    waves = torch.cos((2 * place + 1) * place[:, None] * math.pi / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    return torch.kron(waves, waves).float()

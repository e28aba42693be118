"""Ends of networks that several architectures share: how features become a larger picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import StateDict

# LR pixels that DySample is taken to look beside the middle of a pixel; trained ones stay below one.
DYSAMPLE_REACH = 4


class OntoNearest(nn.Module):
    """Adds a pixel-shuffled residual to the nearest enlargement by ``scale``."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, residual: Tensor, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``residual``, (N, scale²·C, H, W), and ``lr``, (N, C, H, W)."""
        nearest = F.interpolate(lr, scale_factor=float(self.scale), mode="nearest")
        return F.pixel_shuffle(residual, self.scale) + nearest


class DySample(nn.Module):
    """Upsampling by sampling (Liu et al. 2023, arXiv:2308.15085): every output pixel says where in ``x`` it looks.

    The channels look in ``groups`` of their own. ``out_channels``: of a 1×1 convolution at the end, 0 for none.
    """

    init_pos: Tensor

    def __init__(self, channels: int, out_channels: int, scale: int, groups: int) -> None:
        super().__init__()
        self.scale, self.groups = scale, groups
        self.offset = nn.Conv2d(channels, 2 * groups * scale**2, 1)
        self.scope = nn.Conv2d(channels, 2 * groups * scale**2, 1, bias=False)
        nn.init.trunc_normal_(self.offset.weight, std=0.02)
        nn.init.zeros_(self.scope.weight)
        if out_channels:
            self.end_conv = nn.Conv2d(channels, out_channels, 1)
        self.register_buffer("init_pos", _bilinear_positions(scale, groups))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, scale·H, scale·W) of ``x``, (N, channels, H, W)."""
        n, _, height, width = x.shape
        shifts = F.pixel_shuffle(self.offset(x) * self.scope(x).sigmoid() * 0.5 + self.init_pos, self.scale)
        # In fp32, because half precision cannot tell the pixels of a large picture apart.
        across, down = shifts.float().reshape(n, 2, self.groups, *shifts.shape[2:]).unbind(1)
        columns, rows = (torch.arange(s * self.scale, device=x.device) // self.scale + 0.5 for s in (width, height))
        grid = torch.stack((2 * (columns + across) / width - 1, 2 * (rows[:, None] + down) / height - 1), -1)
        sampled = F.grid_sample(
            x.float().reshape(n * self.groups, -1, height, width),
            grid.flatten(0, 1),
            padding_mode="border",
            align_corners=False,
        )
        result = sampled.reshape(n, -1, height * self.scale, width * self.scale).to(x.dtype)
        return self.end_conv(result) if hasattr(self, "end_conv") else result


def _bilinear_positions(scale: int, groups: int) -> Tensor:
    """Return (1, 2·groups·scale², 1, 1): where bilinear enlargement looks, in pixels from the middle, x before y."""
    steps = (torch.arange(scale) - (scale - 1) / 2) / scale
    across, down = steps.expand(scale, scale), steps[:, None].expand(scale, scale)
    return torch.stack((across.repeat(groups, 1), down.repeat(groups, 1))).reshape(1, -1, 1, 1)


def dysample_sizes(state: StateDict, key: str) -> tuple[int, int]:
    """Return (scale, groups) of the DySample under ``key``: four groups where that fits, else three or one."""
    offsets = state[f"{key}.init_pos"].numel()
    for groups in (4, 3, 1):
        scale = math.isqrt(offsets // (2 * groups))
        if 2 * groups * scale**2 == offsets and scale:
            return scale, groups
    raise ValueError(f"{key}.init_pos with {offsets} values fits no scale")


def shuffle_scale(state: StateDict, key: str, channels: int) -> int:
    """Return the scale of one pixel shuffle after the convolution ``key`` that makes ``channels`` of it."""
    made, _ = keys.convolution(state, key)
    scale = math.isqrt(made // channels)
    if scale**2 * channels != made or scale == 0:
        raise ValueError(f"{key} does not fit any scale")
    return scale


def unshuffle_factor(seen: int, channels: int) -> int:
    """Return by how much pixels are unshuffled where ``channels`` become ``seen``. Raises ValueError."""
    factor = math.isqrt(seen // channels)
    if factor**2 * channels != seen or factor == 0:
        raise ValueError(f"{seen} channels go in and {channels} come out")
    return factor


def shuffles(features: int, factors: tuple[int, ...]) -> list[nn.Module]:
    """Return layers that enlarge by each of ``factors``: a 3×3 convolution and a pixel shuffle."""
    layers: list[nn.Module] = []
    for factor in factors:
        layers += [nn.Conv2d(features, features * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return layers


def shuffle_factors(state: StateDict, key: str) -> tuple[int, ...]:
    """Return the factors of ``shuffles`` under ``key``, read from how many channels each convolution makes."""
    factors: list[int] = []
    while (weight := f"{key}.{2 * len(factors)}.weight") in state:
        _, features = keys.convolution(state, weight)
        factors.append(shuffle_scale(state, weight, features))
    return tuple(factors)


def factors_of(scale: int) -> tuple[int, ...]:
    """Return the published steps to ``scale``: doublings, or one tripling. Raises ValueError for other scales."""
    if scale == 3:
        return (3,)
    if scale.bit_count() != 1:
        raise ValueError(f"cannot enlarge {scale} times, only 3 times or by powers of two")
    return (2,) * (scale.bit_length() - 1)


def shuffled_radius(factors: Sequence[int], last: int = 1) -> int:
    """Return the LR radius of a 3×3 convolution before each pixel shuffle by ``factors``, and a ``last`` one after."""
    radius = last
    for factor in reversed(factors):
        radius = -(-radius // factor) + 1
    return radius


def nearest_radius(factors: Sequence[int]) -> int:
    """Return the LR radius of a 3×3 convolution after each nearest enlargement by ``factors``, and two at the end."""
    radius = 2
    for factor in reversed(factors):
        radius = -(-(radius + 1) // factor)
    return radius


def doublings(scale: int) -> int:
    """Return how often a network doubles to enlarge ``scale`` times. Raises ValueError for other scales."""
    if scale.bit_count() != 1:
        raise ValueError(f"cannot enlarge {scale} times, only by powers of two")
    return scale.bit_length() - 1

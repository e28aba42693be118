"""The two attentions of DAT: in windows of two shapes, and between channels. Features are (N, H, W, C)."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks.layers import chain
from upscale_cli.networks.windows import Window, attention, relative_positions


def position_bias(features: int, heads: int) -> nn.Module:
    """Return layers that make (offsets, heads) of (offsets, 2) between pixels."""

    def layer(made: int) -> nn.Module:
        return nn.Sequential(nn.LayerNorm(features), nn.ReLU(), nn.Linear(features, made))

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element")  # small networks have no such features
        pos_proj = nn.Linear(2, features)
        return chain(pos_proj=pos_proj, pos1=layer(features), pos2=layer(features), pos3=layer(heads))


class SplitAttention(nn.Module):
    """Window attention of one half of the channels."""

    rpe_biases: Tensor

    def __init__(self, features: int, heads: int, window: Window) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.pos = position_bias(features // 16, heads)
        down, across = (torch.arange(1 - side, side, dtype=torch.float32) for side in window)
        offsets = torch.stack((down.repeat_interleave(len(across)), across.repeat(len(down))), 1)
        self.register_buffer("rpe_biases", offsets)

    def forward(self, qkv: Tensor, shifted: bool) -> Tensor:
        """Return (N, H, W, C) of ``qkv``, (N, H, W, 3·C)."""
        bias = self.pos(self.rpe_biases)[relative_positions(self.window, qkv.device)].permute(2, 0, 1)
        return attention(qkv, self.heads, self.window, bias, shifted)


class Interaction(nn.Module):
    """What both kinds of attention share: a convolution of the values beside, each gating the other."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(features, 3 * features), nn.Linear(features, features)
        self.dwconv = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1, groups=features), nn.BatchNorm2d(features), nn.GELU()
        )
        self.channel_interaction = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_squeeze(features, features // 8, features))
        self.spatial_interaction = nn.Sequential(*_squeeze(features, features // 16, 1))

    def by_channel(self, x: Tensor) -> Tensor:
        """Return (N, 1, 1, features) in [0, 1]."""
        return torch.sigmoid(self.channel_interaction(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)

    def by_pixel(self, x: Tensor) -> Tensor:
        """Return (N, H, W, 1) in [0, 1]."""
        return torch.sigmoid(self.spatial_interaction(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)

    def convolved(self, qkv: Tensor) -> Tensor:
        """Return the values, convolved channel by channel, (N, H, W, features)."""
        values = qkv[..., -self.proj.in_features :].permute(0, 3, 1, 2)
        result: Tensor = self.dwconv(values)
        return result.permute(0, 2, 3, 1)


def _squeeze(features: int, squeezed: int, made: int) -> list[nn.Module]:
    return [nn.Conv2d(features, squeezed, 1), nn.BatchNorm2d(squeezed), nn.GELU(), nn.Conv2d(squeezed, made, 1)]


class SpatialAttention(Interaction):
    """Attention in windows of two shapes. Inside, sizes that are no multiple of them are continued by zeros."""

    def __init__(self, features: int, heads: int, window: Window, shifted: bool) -> None:
        super().__init__(features)
        self.shifted, self.multiple = shifted, max(window)
        self.attns = nn.ModuleList(SplitAttention(features // 2, heads // 2, shape) for shape in (window, window[::-1]))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        _, height, width, features = x.shape
        qkv = self.qkv(x)
        padded = F.pad(qkv, (0, 0, 0, -width % self.multiple, 0, -height % self.multiple))
        halves = padded.reshape(*padded.shape[:3], 3, 2, features // 2).unbind(-2)
        split = [attn(half.flatten(-2), self.shifted) for attn, half in zip(self.attns, halves, strict=True)]
        attended, convolved = torch.cat(split, -1)[:, :height, :width], self.convolved(qkv)
        mixed = attended * self.by_channel(convolved) + convolved * self.by_pixel(attended)
        result: Tensor = self.proj(mixed)
        return result


class ChannelAttention(Interaction):
    """Attention between channels, over the whole picture."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__(features)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        qkv = self.qkv(x)
        by_head = qkv.flatten(1, 2).unflatten(-1, (3, len(self.temperature), -1)).permute(2, 0, 3, 4, 1)
        queries, keys, values = by_head.unbind()  # (N, heads, depth, pixels) each
        scores = F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).transpose(-2, -1) * self.temperature
        attended = (scores.softmax(-1) @ values).flatten(1, 2).transpose(1, 2).reshape(x.shape)
        convolved = self.convolved(qkv)
        mixed = attended * self.by_pixel(convolved) + convolved * self.by_channel(attended)
        result: Tensor = self.proj(mixed)
        return result

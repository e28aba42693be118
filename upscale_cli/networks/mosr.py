"""MoSR (umzi 2024, neosr): gated convolutional blocks in the manner of MambaOut (Yu and Wang 2024, arXiv:2405.07992).

The end is a pixel shuffle ("ps"), the mean of eight before it ("gps"), or DySample ("dys").
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import (
    UNBOUNDED,
    Architecture,
    NetworkSpec,
    Positive,
    Sizes,
    StateDict,
    Wide,
    affordable_halo,
)
from upscale_cli.networks.realplksr import ChannelNorm
from upscale_cli.networks.upsamplers import DYSAMPLE_REACH, DySample, dysample_sizes, shuffle_scale

Kind = Literal["ps", "gps", "dys"]
ENSEMBLE = 8
DYSAMPLE_GROUPS = 4


class GatedBlock(nn.Module):
    """Half of the hidden features gate the other half, the last ``local`` of which see their neighbourhood."""

    def __init__(self, features: int, hidden: int, local: int, kernel: int) -> None:
        super().__init__()
        self.parts = (hidden, hidden - local, local)
        self.norm = ChannelNorm(features)
        self.fc1 = nn.Conv2d(features, 2 * hidden, 3, padding=1)
        self.conv = nn.Conv2d(local, local, kernel, padding=kernel // 2, groups=local)
        self.fc2 = nn.Conv2d(hidden, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        gate, same, local = self.fc1(self.norm(x)).split(self.parts, 1)
        gated = F.mish(gate) * torch.cat((same, self.conv(local)), 1)
        return F.mish(self.fc2(gated)) + (x - 0.5)


class Shortcut(nn.Module):
    """Two convolutions and a 1×1 beside them, from the input to the end."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        convolutions = (nn.Conv2d(seen, features, 3, padding=1) for seen in (channels, features))
        self.block = nn.Sequential(*(layer for conv in convolutions for layer in (conv, nn.Mish())))
        self.conv11 = nn.Conv2d(channels, features, 1)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, features, H, W)."""
        total: Tensor = self.block(lr) + self.conv11(lr)
        return total


class GeometricShuffle(nn.Module):
    """The mean of eight convolutions, pixel-shuffled."""

    def __init__(self, features: int, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.in_to_k = nn.Conv2d(features, ENSEMBLE * channels * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels, scale·H, scale·W)."""
        return F.pixel_shuffle(self.in_to_k(x).unflatten(1, (ENSEMBLE, -1)).mean(1), self.scale)


class Mosr(nn.Module):
    """Gated blocks at LR size, a shortcut beside them, and the upsampler."""

    def __init__(
        self,
        channels: int,
        scale: int,
        features: int,
        blocks: int,
        hidden: int,
        local: int,
        kernel: int,
        upsampler: str,
    ) -> None:
        super().__init__()
        self.gblocks = nn.Sequential(
            nn.Conv2d(channels, features, 3, padding=1),
            *(GatedBlock(features, hidden, local, kernel) for _ in range(blocks)),
            nn.Conv2d(features, 2 * features, 3, padding=1),
            nn.Mish(),
            nn.Conv2d(2 * features, features, 3, padding=1),
            nn.Mish(),
            nn.Conv2d(features, features, 1),
        )
        self.shortcut = Shortcut(channels, features)
        self.upsampler: nn.Module
        if upsampler == "gps":
            self.upsampler = GeometricShuffle(features, channels, scale)
        elif upsampler == "dys":
            self.upsampler = DySample(features, channels, scale, DYSAMPLE_GROUPS)
        else:
            last = nn.Conv2d(features, channels * scale**2, 3, padding=1)
            self.upsampler = nn.Sequential(last, nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``lr``, (N, C, H, W) in [0, 1]."""
        result: Tensor = self.upsampler(self.gblocks(lr) + (self.shortcut(lr) - 0.5))
        return result


def _draw(module: nn.Module) -> None:
    """Draw the gated blocks' weights from a truncated normal of 0.02, biases 0."""
    for key, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and key.endswith(("fc1", "fc2", ".conv")):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _end(state: StateDict, channels: int) -> tuple[Kind, int]:
    """Return the kind of the upsampler and its scale."""
    if "upsampler.init_pos" in state:
        scale, groups = dysample_sizes(state, "upsampler")
        if groups != DYSAMPLE_GROUPS:
            raise ValueError(f"its DySample has {groups} groups")
        return "dys", scale
    if "upsampler.in_to_k.weight" in state:
        return "gps", shuffle_scale(state, "upsampler.in_to_k.weight", ENSEMBLE * channels)
    return "ps", shuffle_scale(state, "upsampler.0.weight", channels)


def _spec(state: StateDict) -> NetworkSpec:
    features, channels = keys.convolution(state, "gblocks.0.weight")
    doubled, _ = keys.convolution(state, "gblocks.1.fc1.weight")
    local, _ = keys.convolution(state, "gblocks.1.conv.weight")
    upsampler, scale = _end(state, channels)
    return MosrSizes(
        features=features,
        blocks=keys.count(state, r"^gblocks\.(\d+)\.fc1\.weight$"),
        hidden=doubled // 2,
        local=local,
        kernel=state["gblocks.1.conv.weight"].shape[-1],
        upsampler=upsampler,
    ).spec(scale, channels)


class MosrSizes(Sizes, frozen=True):
    """``hidden``: features that are gated; ``local``: those of them that a ``kernel`` by channel sees."""

    features: Positive = 64
    blocks: Positive = 24
    hidden: Wide = 96
    local: Positive = 64
    kernel: Positive = 7
    upsampler: Kind = "ps"

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for any scale."""
        if self.kernel % 2 == 0 or self.local > self.hidden:
            raise ValueError("needs an odd kernel over no more than all hidden features")
        radius = 1 + self.blocks * (2 + self.kernel // 2) + 2
        sampled = self.upsampler == "dys"
        return NetworkSpec(
            "mosr",
            scale,
            channels,
            channels,
            receptive_radius=UNBOUNDED if sampled else radius + 1,
            hyperparameters=asdict(self),
            halo=affordable_halo(radius + DYSAMPLE_REACH) if sampled else None,
        )


def _small(blocks: int, upsampler: Kind = "ps") -> MosrSizes:
    return MosrSizes(features=8, blocks=blocks, hidden=12, local=8, kernel=5, upsampler=upsampler)


MOSR = Architecture(
    name="mosr",
    detect=keys.holds("gblocks.0.weight", "gblocks.1.fc1.weight"),
    spec=_spec,
    module=lambda spec: Mosr(spec.in_channels, spec.scale, **spec.hyperparameters),
    sizes=MosrSizes,
    examples=(
        *map(_small(blocks=2).spec, (1, 2, 3, 4)),
        *map(_small(blocks=1, upsampler="gps").spec, (2, 3)),
        *map(_small(blocks=1, upsampler="dys").spec, (2, 4)),
        _small(blocks=1).spec(2, channels=1),
    ),
    initialise=_draw,
)

"""EnhanceNet (Sajjadi, Schölkopf and Hirsch 2017, table 1): a residual network at LR size, nearest enlargement, and a
residual image that is added to the bicubic enlargement of the input.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks.architecture import (
    Architecture,
    NetworkSpec,
    Positive,
    Sizes,
    StateDict,
    convolution,
    count,
    doublings,
)


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, and a residual."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` plus the residual, of the same shape."""
        residual: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + residual


class EnhanceNet(nn.Module):
    """Residual blocks at LR size, then nearest enlargement by two and a convolution, ``doublings`` times."""

    def __init__(self, channels: int, features: int, blocks: int, doublings: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, features, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.enlarge = nn.ModuleList(nn.Conv2d(features, features, 3, padding=1) for _ in range(doublings))
        self.hr = nn.Conv2d(features, features, 3, padding=1)
        self.last = nn.Conv2d(features, channels, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, 2^doublings·H, 2^doublings·W) of ``lr``, (N, C, H, W) in [0, 1]."""
        features = self.blocks(F.relu(self.first(lr)))
        for conv in self.enlarge:
            features = F.relu(conv(F.interpolate(features, scale_factor=2.0, mode="nearest")))
        residual: Tensor = self.last(F.relu(self.hr(features)))
        # With antialias PyTorch uses Keys' a = -0.5, the bicubic of the papers; it has no half-precision form on CPUs.
        enlarged = F.interpolate(lr.float(), residual.shape[-2:], mode="bicubic", antialias=True, align_corners=False)
        return residual + enlarged.to(residual.dtype)


def _canonical(state: StateDict) -> dict[str, Tensor]:
    return dict(state)


def _detect(state: StateDict) -> bool:
    return all(f"{key}.weight" in state for key in ("first", "blocks.0.conv1", "hr", "last"))


def _spec(state: StateDict) -> NetworkSpec:
    features, in_channels = convolution(state, "first.weight")
    out_channels, _ = convolution(state, "last.weight")
    if out_channels != in_channels:  # the enlarged input is added to the result
        raise ValueError(f"{in_channels} channels go in and {out_channels} come out")
    blocks = count(state, r"^blocks\.(\d+)\.conv1\.weight$")
    return _described(in_channels, features, blocks, count(state, r"^enlarge\.(\d+)\.weight$"))


def _described(channels: int, features: int, blocks: int, doublings: int) -> NetworkSpec:
    tail = 2  # of the last two convolutions, in output pixels
    for _ in range(doublings):
        tail = (tail + 2) // 2  # the convolution after the enlargement, and half of it all, rounded up
    return NetworkSpec(
        architecture="enhancenet",
        scale=2**doublings,
        in_channels=channels,
        out_channels=channels,
        receptive_radius=1 + 2 * blocks + tail,
        hyperparameters={"features": features, "blocks": blocks, "doublings": doublings},
    )


class EnhanceNetSizes(Sizes, frozen=True):
    """``blocks``: residual ones, of two convolutions each."""

    features: Positive = 64
    blocks: Positive = 10

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is a power of two."""
        return _described(channels, self.features, self.blocks, doublings(scale))


def _module(spec: NetworkSpec) -> nn.Module:
    return EnhanceNet(spec.in_channels, **spec.hyperparameters)


ENHANCENET = Architecture(
    name="enhancenet",
    canonical=_canonical,
    detect=_detect,
    spec=_spec,
    module=_module,
    sizes=EnhanceNetSizes,
    examples=(
        EnhanceNetSizes(features=6, blocks=2).spec(4),
        EnhanceNetSizes(features=6, blocks=1).spec(2),
        EnhanceNetSizes(features=6, blocks=1).spec(8),
    ),
)

"""EnhanceNet (Sajjadi, Schölkopf and Hirsch 2017, table 1): a residual network at LR size, nearest enlargement, and a
residual image that is added to the bicubic enlargement of the input.
"""

from __future__ import annotations

import torch.nn.functional as F
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.layers import residual_block
from upscale_cli.networks.upsamplers import doublings, nearest_radius


class EnhanceNet(nn.Module):
    """Residual blocks at LR size, then nearest enlargement by two and a convolution, ``doublings`` times."""

    def __init__(self, channels: int, features: int, blocks: int, doublings: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, features, 3, padding=1)
        self.blocks = nn.Sequential(*(residual_block(features) for _ in range(blocks)))
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


def _spec(state: StateDict) -> NetworkSpec:
    features, channels = keys.features_and_channels(state, "first.weight", "last.weight")
    blocks = keys.count(state, r"^blocks\.(\d+)\.conv1\.weight$")
    scale = 2 ** keys.count(state, r"^enlarge\.(\d+)\.weight$")
    return EnhanceNetSizes(features=features, blocks=blocks).spec(scale, channels)


class EnhanceNetSizes(Sizes, frozen=True):
    """``blocks``: residual ones, of two convolutions each."""

    features: Positive = 64
    blocks: Positive = 10

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is a power of two."""
        steps = doublings(scale)
        return NetworkSpec(
            "enhancenet",
            scale,
            channels,
            channels,
            receptive_radius=1 + 2 * self.blocks + nearest_radius((2,) * steps),
            hyperparameters={**asdict(self), "doublings": steps},
        )


_SMALL = EnhanceNetSizes(features=6, blocks=1)
ENHANCENET = Architecture(
    name="enhancenet",
    detect=keys.holds("first.weight", "blocks.0.conv1.weight", "hr.weight", "last.weight"),
    spec=_spec,
    module=lambda spec: EnhanceNet(spec.in_channels, **spec.hyperparameters),
    sizes=EnhanceNetSizes,
    examples=(EnhanceNetSizes(features=6, blocks=2).spec(4), *map(_SMALL.spec, (2, 8))),
)

"""RealPLKSR, PLKSR with a normalisation in every block, for training on degraded photographs (its author's neosr).

By groups (the published form) it averages over the whole picture, so that tiles and whole differ a little; by channel
(LayerNorm) it does not. The end is a pixel shuffle, or DySample.
"""

from __future__ import annotations

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
    affordable_halo,
)
from upscale_cli.networks.layers import Residual
from upscale_cli.networks.plksr import PartialLargeKernel, ResidualUpsampler, channel_mixer, draw, element_attention
from upscale_cli.networks.upsamplers import DYSAMPLE_REACH, DySample, shuffle_scale

NORM_GROUPS = 4


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each pixel."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, features, H, W)."""
        pixels = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6)
        return pixels.permute(0, 3, 1, 2)


def _block(features: int, kernel: int, partial: int, attention: bool, layer_norm: bool) -> Residual:
    """Return PLKSR's block, normalised by channel before, or by groups after."""
    return Residual(
        layer_norm=ChannelNorm(features) if layer_norm else nn.Identity(),
        channel_mixer=channel_mixer(features, (3, 3), nn.Mish()),
        lk=PartialLargeKernel(partial, kernel),
        attn=element_attention(features) if attention else nn.Identity(),
        refine=nn.Conv2d(features, features, 1),
        norm=nn.Identity() if layer_norm else nn.GroupNorm(NORM_GROUPS, features),
    )


def _module(spec: NetworkSpec) -> nn.Module:
    sizes = dict(spec.hyperparameters)
    features, blocks, sampled = sizes["features"], sizes.pop("blocks"), sizes.pop("dysample")
    channels, scale = spec.in_channels, spec.scale
    made = channels * scale**2
    layers = (
        nn.Conv2d(channels, features, 3, padding=1),
        *(_block(**sizes) for _ in range(blocks)),
        nn.Identity(),  # a dropout in training elsewhere
        nn.Conv2d(features, made, 3, padding=1),
    )
    to_img: nn.Module = nn.PixelShuffle(scale)
    if sampled:
        to_img = DySample(made, channels if scale > 1 else 0, scale, groups=channels if scale % 2 else 4)
    return ResidualUpsampler(scale, layers, to_img)


def _spec(state: StateDict) -> NetworkSpec:
    features, channels = keys.convolution(state, "feats.0.weight")
    blocks = keys.count(state, r"^feats\.(\d+)\.channel_mixer\.0\.weight$")
    partial, _ = keys.convolution(state, "feats.1.lk.conv.weight")
    return RealPlksrSizes(
        features=features,
        blocks=blocks,
        kernel=state["feats.1.lk.conv.weight"].shape[-1],
        partial=partial,
        attention="feats.1.attn.f.0.weight" in state,
        layer_norm="feats.1.layer_norm.weight" in state,
        dysample="to_img.init_pos" in state,
    ).spec(shuffle_scale(state, f"feats.{blocks + 2}.weight", channels), channels)


class RealPlksrSizes(Sizes, frozen=True):
    """``partial``: features under the large ``kernel``. ``layer_norm``: normalise by channel, not by groups."""

    features: Positive = 64
    blocks: Positive = 28
    kernel: Positive = 17
    partial: Positive = 16
    attention: bool = True
    layer_norm: bool = False
    dysample: bool = False

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for any scale."""
        if self.kernel % 2 == 0 or self.partial > self.features:
            raise ValueError("needs an odd kernel over no more than all features")
        if not self.layer_norm and self.features % NORM_GROUPS:
            raise ValueError(f"needs features in multiples of {NORM_GROUPS}")
        radius = 2 + self.blocks * (2 + self.kernel // 2 + self.attention)
        reach = radius + (DYSAMPLE_REACH if self.dysample else 0)
        bounded = self.layer_norm and not self.dysample
        return NetworkSpec(
            "realplksr",
            scale,
            channels,
            channels,
            receptive_radius=radius if bounded else UNBOUNDED,
            hyperparameters=asdict(self),
            halo=None if bounded else affordable_halo(reach),
        )


_SMALL = RealPlksrSizes(features=8, blocks=2, kernel=5, partial=2)
REALPLKSR = Architecture(
    name="realplksr",
    detect=keys.holds("feats.0.weight", "feats.1.channel_mixer.0.weight"),
    spec=_spec,
    module=_module,
    sizes=RealPlksrSizes,
    examples=(
        *map(_SMALL.spec, (1, 2, 3, 4)),
        *(RealPlksrSizes(features=8, blocks=1, kernel=5, partial=2, dysample=True).spec(s) for s in (1, 2, 3, 4)),
        RealPlksrSizes(features=8, blocks=2, kernel=5, partial=2, layer_norm=True).spec(2),
        RealPlksrSizes(features=8, blocks=1, kernel=3, partial=2, attention=False).spec(2, channels=1),
    ),
    initialise=draw,
)

"""SPAN (Wan et al. 2024, arXiv:2311.12770): six blocks of 3×3 convolutions whose result is its own attention.

In training every 3×3 convolution but the last is four (``branches``).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.branches import BranchedConv, convolution, drawn, folded, refuse_branches, unfolded
from upscale_cli.networks.edsr import RGB_MEAN, mean_colour
from upscale_cli.networks.upsamplers import shuffle_scale

BLOCKS = 6
RANGE = 255.0
_CONVOLUTIONS = r"conv_[12]|block_\d+\.c\d_r"


class Block(nn.Module):
    """Three convolutions; their result is also, through an odd activation, the attention on itself and the input."""

    def __init__(self, features: int, convolve: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.c1_r = convolve(features, features)
        self.c2_r = convolve(features, features)
        self.c3_r = convolve(features, features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result and the first convolution's activation, both of the shape of ``x``."""
        first = F.silu(self.c1_r(x))
        last = self.c3_r(F.silu(self.c2_r(first)))
        return (last + x) * (torch.sigmoid(last) - 0.5), first


class Span(nn.Module):
    """Six blocks at LR size, four of their features joined, and one pixel shuffle."""

    no_norm: Tensor

    def __init__(
        self,
        channels: int,
        scale: int,
        features: int,
        norm: bool,
        convolve: Callable[[int, int], nn.Module] = convolution,
    ) -> None:
        super().__init__()
        self.norm = norm
        if not norm:
            self.register_buffer("no_norm", torch.zeros(1))  # how files say so
        self.conv_1 = convolve(channels, features)
        for number in range(1, BLOCKS + 1):
            setattr(self, f"block_{number}", Block(features, convolve))
        self.conv_cat = nn.Conv2d(4 * features, features, 1)
        self.conv_2 = convolve(features, features)
        self.upsampler = nn.Sequential(nn.Conv2d(features, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``lr``, (N, C, H, W) in [0, 1]."""
        if self.norm:
            lr = (lr - mean_colour(lr)) * RANGE
        results = [self.conv_1(lr)]
        for number in range(1, BLOCKS + 1):
            features, activation = getattr(self, f"block_{number}")(results[-1])
            results.append(features)
        joined = torch.cat((results[0], self.conv_2(results[-1]), results[1], activation), 1)
        result: Tensor = self.upsampler(self.conv_cat(joined))
        return result


def _expanded(_: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    return unfolded(state, _convolutions(state), drawn())


def _published(_: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return branches whose outer ones copy, so that nothing is rounded, and the plain convolutions beside them."""
    branched = unfolded(state, _convolutions(state), torch.eye)
    for key in sorted(state.keys() - branched.keys()):
        base, part = key.rsplit(".", 1)
        branched[f"{base}.eval_conv.{part}"] = state[key]
    return branched


def _convolutions(state: StateDict) -> list[str]:
    """Return the names of the plain convolutions of ``state`` that are trained as four."""
    return [match[1] for key in state if (match := re.match(rf"({_CONVOLUTIONS})\.weight$", key))]


def _detect(state: StateDict) -> bool:
    return "conv_cat.weight" in state and any(key.startswith("block_1.c1_r.") for key in state)


def _spec(state: StateDict) -> NetworkSpec:
    refuse_branches(state, _CONVOLUTIONS)
    features, channels = keys.convolution(state, "conv_1.weight")
    scale = shuffle_scale(state, "upsampler.0.weight", channels)
    return SpanSizes(features=features, norm="no_norm" not in state).spec(scale, channels)


class SpanSizes(Sizes, frozen=True):
    """``norm``: whether the mean of RGB pictures is subtracted first, and 255 the range inside."""

    features: Positive = 48
    norm: bool = True

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for any scale."""
        if self.norm and channels != len(RGB_MEAN):
            raise ValueError(f"subtracts the mean of RGB pictures, and {channels} channels go in")
        radius = 1 + 3 * BLOCKS + 2
        return NetworkSpec("span", scale, channels, channels, radius, hyperparameters=asdict(self))


_SMALL = SpanSizes(features=6, norm=False)
SPAN = Architecture(
    name="span",
    canonical=lambda state: folded(state, _CONVOLUTIONS),
    detect=_detect,
    spec=_spec,
    module=lambda spec: Span(spec.in_channels, spec.scale, **spec.hyperparameters),
    sizes=SpanSizes,
    examples=(*map(_SMALL.spec, (1, 2, 3, 4)), SpanSizes(features=4).spec(4), _SMALL.spec(2, channels=1)),
    training=lambda spec: Span(spec.in_channels, spec.scale, **spec.hyperparameters, convolve=BranchedConv),
    expanded=_expanded,
    published=_published,
)

"""RRDBNet, the network of ESRGAN (Wang et al. 2018, figure 4) and Real-ESRGAN (Wang et al. 2021).

Dense blocks of five convolutions, three of which make a residual-in-residual block. Scales below four exist in two
forms: with fewer doublings at the end (ESRGAN), or always two and a pixel-unshuffle in front (Real-ESRGAN).
"""

from __future__ import annotations

import math
import re

import torch
import torch.nn.functional as F
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.layers import Residual, draw_scaled_he
from upscale_cli.networks.upsamplers import doublings

RESIDUAL_SCALE = 0.2
SLOPE = 0.2
INITIAL_SCALE = 0.1


class DenseBlock(nn.Module):
    """Five convolutions, each seeing all features before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(features + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(features + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(features + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` plus the scaled residual, of the same shape."""
        known = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            known = torch.cat((known, F.leaky_relu(conv(known), SLOPE, inplace=True)), 1)
        residual: Tensor = self.conv5(known)
        return torch.add(x, residual, alpha=RESIDUAL_SCALE)


def residual_in_residual(features: int, growth: int) -> Residual:
    """Return three dense blocks and a scaled residual around them."""
    rdb1, rdb2, rdb3 = (DenseBlock(features, growth) for _ in range(3))
    return Residual(RESIDUAL_SCALE, rdb1=rdb1, rdb2=rdb2, rdb3=rdb3)


class RRDBNet(nn.Module):
    """Residual-in-residual blocks on the unshuffled input, then nearest enlargement by two, ``doublings`` times."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: int,
        blocks: int,
        growth: int,
        doublings: int,
        unshuffle: int,
    ) -> None:
        super().__init__()
        self.unshuffle = unshuffle
        self.doublings = doublings
        self.conv_first = nn.Conv2d(in_channels * unshuffle**2, features, 3, padding=1)
        self.body = nn.Sequential(*(residual_in_residual(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        for number in range(1, doublings + 1):
            setattr(self, f"conv_up{number}", nn.Conv2d(features, features, 3, padding=1))
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, out_channels, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, out, H·2^doublings/unshuffle, …) of ``lr``, (N, C, H, W) in [0, 1], multiples of ``unshuffle``."""
        first: Tensor = self.conv_first(F.pixel_unshuffle(lr, self.unshuffle) if self.unshuffle > 1 else lr)
        features = first + self.conv_body(self.body(first))
        for number in range(1, self.doublings + 1):
            features = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = F.leaky_relu(getattr(self, f"conv_up{number}")(features), SLOPE, inplace=True)
        features = F.leaky_relu(self.conv_hr(features), SLOPE, inplace=True)
        result: Tensor = self.conv_last(features)
        return result


_ESRGAN_LAYOUT = (
    (r"^RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2."),
    (r"^trunk_conv\.", "conv_body."),
    (r"^upconv(\d+)\.", r"conv_up\1."),
    (r"^HRconv\.", "conv_hr."),
)
_FIRST_GENERATION = (
    (r"^model\.0\.", "conv_first."),
    (r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
    (r"^model\.1\.sub\.\d+\.(weight|bias)$", r"conv_body.\1"),
)


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state under BasicSR's keys, from those of ESRGAN, of the first generation, and of OpenMMLab."""
    if "model.0.weight" in state:
        return keys.renamed(state, _FIRST_GENERATION + _first_generation_tail(state))
    if any(key.startswith("RRDB_trunk.") for key in state):
        return keys.renamed(state, _ESRGAN_LAYOUT)
    return dict(state)


def _first_generation_tail(state: StateDict) -> tuple[tuple[str, str], ...]:
    """Return names for what follows the trunk, where layers are numbered, activations and enlargements included."""
    numbers = sorted({int(m[1]) for key in state if (m := re.match(r"^model\.(\d{1,4})\.weight$", key))} - {0})
    names = [f"conv_up{number}" for number in range(1, len(numbers) - 1)] + ["conv_hr", "conv_last"]
    return tuple((rf"^model\.{number}\.", f"{name}.") for number, name in zip(numbers, names, strict=False))


def _spec(state: StateDict) -> NetworkSpec:
    features, seen = keys.convolution(state, "conv_first.weight")
    out_channels, _ = keys.convolution(state, "conv_last.weight")
    growth, _ = keys.convolution(state, "body.0.rdb1.conv1.weight")
    # As many channels come out as went in, so a surplus of inputs means a pixel-unshuffle in front.
    unshuffle = math.isqrt(seen // out_channels)
    if unshuffle not in (1, 2, 4) or unshuffle**2 * out_channels != seen:
        unshuffle = 1
    blocks = keys.count(state, r"^body\.(\d+)\.rdb1\.conv1\.weight$")
    doublings = keys.count(state, r"^conv_up(\d+)\.weight$")
    sizes = RRDBNetSizes(features=features, blocks=blocks, growth=growth)
    return sizes.described((seen // unshuffle**2, out_channels), doublings, unshuffle)


class RRDBNetSizes(Sizes, frozen=True):
    """``blocks``: of three dense blocks each. ``growth``: features that a convolution of a dense block adds."""

    features: Positive = 64
    blocks: Positive = 23
    growth: Positive = 32

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is a power of two."""
        return self.described((channels, channels), doublings(scale))

    def described(self, channels: tuple[int, int], doublings: int, unshuffle: int = 1) -> NetworkSpec:
        """Return the network of these sizes. ``channels``: (in, out). Raises ValueError."""
        if 2**doublings < unshuffle:
            raise ValueError("more unshuffling than doubling")
        return NetworkSpec(
            "rrdbnet",
            2**doublings // unshuffle,
            *channels,
            receptive_radius=unshuffle * (1 + 15 * self.blocks + 1 + 2),
            size_multiple=unshuffle,
            hyperparameters={**asdict(self), "doublings": doublings, "unshuffle": unshuffle},
        )


_SMALL = RRDBNetSizes(features=8, blocks=1, growth=4)
RRDBNET = Architecture(
    name="rrdbnet",
    canonical=_canonical,
    detect=keys.holds("body.0.rdb1.conv1.weight", "conv_first.weight"),
    spec=_spec,
    module=lambda spec: RRDBNet(spec.in_channels, spec.out_channels, **spec.hyperparameters),
    sizes=RRDBNetSizes,
    examples=(
        *map(_SMALL.spec, (1, 2, 4, 8, 16)),
        RRDBNetSizes(features=8, blocks=2, growth=4).described((3, 3), doublings=2, unshuffle=2),
        _SMALL.described((3, 3), doublings=2, unshuffle=4),
        _SMALL.spec(4, channels=1),
        _SMALL.described((1, 1), doublings=2, unshuffle=2),
    ),
    initialise=lambda module: draw_scaled_he(module.get_submodule("body"), INITIAL_SCALE),
)

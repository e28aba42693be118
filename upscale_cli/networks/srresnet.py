"""SRResNet, the generator of SRGAN (Ledig et al. 2017, figure 4), with BatchNorm.

Two forms: the paper's (BatchNorm after the trunk, linear output in [-1, 1]) and that of leftthomas/SRGAN (PReLU after
the trunk, output through tanh). Which one a file holds is seen from the layer after the trunk.
"""

from __future__ import annotations

import re

import torch
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.layers import Residual, chain
from upscale_cli.networks.upsamplers import doublings, shuffled_radius


def residual_block(features: int, slopes: int) -> Residual:
    """Return a residual of two convolutions with BatchNorm."""
    return Residual(
        conv1=nn.Conv2d(features, features, 3, padding=1),
        bn1=nn.BatchNorm2d(features),
        prelu=nn.PReLU(slopes),
        conv2=nn.Conv2d(features, features, 3, padding=1),
        bn2=nn.BatchNorm2d(features),
    )


def doubling(features: int, slopes: int) -> nn.Sequential:
    """Return layers from (N, features, H, W) to (N, features, 2H, 2W)."""
    conv = nn.Conv2d(features, features * 4, 3, padding=1)
    return chain(conv=conv, shuffle=nn.PixelShuffle(2), prelu=nn.PReLU(slopes))


class SRResNet(nn.Module):
    """Residual blocks at LR size, then pixel shuffles by two; inside, the output lies in [-1, 1]."""

    def __init__(
        self, in_channels: int, out_channels: int, features: int, blocks: int, doublings: int, slopes: int, tanh: bool
    ) -> None:
        super().__init__()
        self.tanh = tanh
        self.first = nn.Sequential(nn.Conv2d(in_channels, features, 9, padding=4), nn.PReLU(slopes))
        self.blocks = nn.Sequential(*(residual_block(features, slopes) for _ in range(blocks)))
        after_trunk = nn.PReLU(slopes) if tanh else nn.BatchNorm2d(features)
        self.trunk = nn.Sequential(nn.Conv2d(features, features, 3, padding=1), after_trunk)
        self.upsample = nn.Sequential(*(doubling(features, slopes) for _ in range(doublings)))
        self.last = nn.Conv2d(features, out_channels, 9, padding=4)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, out, 2^doublings·H, 2^doublings·W) in [0, 1] of ``lr``, (N, C, H, W) in [0, 1]."""
        first = self.first(lr)
        features = first + self.trunk(self.blocks(first))
        signed: Tensor = self.last(self.upsample(features))
        return ((torch.tanh(signed) if self.tanh else signed) + 1) / 2


_LORNATANG = (
    (r"^conv(?:_block)?1\.", "first."),
    (r"^trunk\.(\d+)\.rcb\.0\.", r"blocks.\1.conv1."),
    (r"^trunk\.(\d+)\.rcb\.1\.", r"blocks.\1.bn1."),
    (r"^trunk\.(\d+)\.rcb\.2\.", r"blocks.\1.prelu."),
    (r"^trunk\.(\d+)\.rcb\.3\.", r"blocks.\1.conv2."),
    (r"^trunk\.(\d+)\.rcb\.4\.", r"blocks.\1.bn2."),
    (r"^conv(?:_block)?2\.", "trunk."),
    (r"^upsampling\.(\d+)\.upsample_block\.0\.", r"upsample.\1.conv."),
    (r"^upsampling\.(\d+)\.upsample_block\.2\.", r"upsample.\1.prelu."),
    (r"^conv(?:_block)?3\.", "last."),
)

_BEFORE_BATCHNORM = re.compile(r"^(blocks\.\d+\.conv[12]|trunk\.0)\.weight$")


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state under our keys, from those of leftthomas/SRGAN and of Lornatang/SRGAN-PyTorch."""
    if "block1.0.weight" in state:
        return _with_biases(keys.renamed(state, _leftthomas(state)))
    if any(".rcb." in key for key in state):
        return _with_biases(_signed(keys.renamed(state, _LORNATANG)))
    return _with_biases(dict(state))


def _leftthomas(state: StateDict) -> tuple[tuple[str, str], ...]:
    residual = keys.count(state, r"^block(\d+)\.conv1\.weight$")
    doublings = keys.count(state, rf"^block{residual + 3}\.(\d+)\.conv\.weight$")
    blocks = tuple((rf"^block{number + 2}\.", f"blocks.{number}.") for number in range(residual))
    return (
        (r"^block1\.", "first."),
        *blocks,
        (rf"^block{residual + 2}\.", "trunk."),
        (rf"^block{residual + 3}\.{doublings}\.", "last."),
        (rf"^block{residual + 3}\.", "upsample."),
    )


def _with_biases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` with biases of 0 where, before BatchNorm, all convolutions lack them; one alone is damage."""
    weights = {key: tensor for key, tensor in state.items() if _BEFORE_BATCHNORM.match(key)}
    zeros = {key.replace("weight", "bias"): tensor.new_zeros(tensor.shape[:1]) for key, tensor in weights.items()}
    return state if zeros.keys() & state.keys() else state | zeros


def _signed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the network with its output in [-1, 1] instead of [0, 1]: 2y - 1 folded into the last convolution."""
    if "last.weight" in state and "last.bias" in state:
        state["last.weight"], state["last.bias"] = state["last.weight"] * 2, state["last.bias"] * 2 - 1
    return state


def _spec(state: StateDict) -> NetworkSpec:
    features, in_channels = keys.convolution(state, "first.0.weight")
    out_channels, _ = keys.convolution(state, "last.weight")
    slopes = state["first.1.weight"].numel()
    if slopes not in (1, features):
        raise ValueError(f"its activations have {slopes} slopes for {features} features")
    return SRResNetSizes(features=features, blocks=keys.count(state, r"^blocks\.(\d+)\.conv1\.weight$")).described(
        (in_channels, out_channels),
        doublings=keys.count(state, r"^upsample\.(\d+)\.conv\.weight$"),
        slopes=slopes,
        tanh="trunk.1.running_mean" not in state,
    )


class SRResNetSizes(Sizes, frozen=True):
    """``blocks``: residual ones, of two convolutions each."""

    features: Positive = 64
    blocks: Positive = 16

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is a power of two."""
        return self.described((channels, channels), doublings(scale))

    def described(self, channels: tuple[int, int], doublings: int, slopes: int = 1, tanh: bool = False) -> NetworkSpec:
        """Return the network of these sizes. ``channels``: (in, out)."""
        return NetworkSpec(
            "srresnet",
            2**doublings,
            *channels,
            receptive_radius=4 + 2 * self.blocks + 1 + shuffled_radius((2,) * doublings, last=4),
            hyperparameters={**asdict(self), "doublings": doublings, "slopes": slopes, "tanh": tanh},
        )


_SMALL = SRResNetSizes(features=6, blocks=2)
SRRESNET = Architecture(
    name="srresnet",
    canonical=_canonical,
    detect=keys.holds("blocks.0.bn1.running_mean", "first.0.weight", "trunk.0.weight"),
    spec=_spec,
    module=lambda spec: SRResNet(spec.in_channels, spec.out_channels, **spec.hyperparameters),
    sizes=SRResNetSizes,
    examples=(
        _SMALL.described((3, 3), doublings=1, tanh=True),
        _SMALL.described((3, 3), doublings=2, tanh=True),
        SRResNetSizes(features=6, blocks=1).described((3, 3), doublings=3, slopes=6),
        _SMALL.spec(4),
    ),
)

"""EDSR (Lim et al. 2017, arXiv:1707.02921): residual blocks without BatchNorm, then pixel shuffles.

RCAN has the same head and tail. Both may subtract the mean colour first, in a range of 255 or 1, and both exist with a
pixel-unshuffle in front, which makes networks for x1 and x2 of ones for x4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.layers import Residual
from upscale_cli.networks.upsamplers import factors_of, shuffle_factors, shuffled_radius, shuffles, unshuffle_factor

RGB_MEAN = (0.4488, 0.4371, 0.4040)
# The tensors do not tell by how much residuals are scaled: published networks of so many features do it by a tenth.
WIDE, WIDE_RESIDUAL_SCALE = 256, 0.1


def mean_colour(like: Tensor) -> Tensor:
    """Return RGB_MEAN (1, 3, 1, 1), of the type of ``like`` and made on its device: CUDA graphs allow no copy to it."""
    return torch.cat([like.new_full((1, 1, 1, 1), mean) for mean in RGB_MEAN], 1)


class MeanShift(nn.Module):
    """A 1×1 convolution that subtracts or adds the mean colour. It is not trained."""

    weight: Tensor
    bias: Tensor

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[:, :, None, None])
        self.register_buffer("bias", shift * torch.tensor(RGB_MEAN))

    def forward(self, x: Tensor) -> Tensor:
        """Return the shifted picture."""
        return F.conv2d(x, self.weight, self.bias)


class HeadBodyTail(nn.Module):
    """A convolution, ``blocks`` and another convolution with a residual around them, pixel shuffles, a convolution.

    ``value_range``: what 1 becomes inside, with the mean colour subtracted; 0 for neither.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        blocks: Iterable[nn.Module],
        factors: tuple[int, ...],
        unshuffle: int,
        value_range: int,
    ) -> None:
        super().__init__()
        self.value_range = value_range or 1
        self.sub_mean = MeanShift(-value_range) if value_range else nn.Identity()
        self.add_mean = MeanShift(value_range) if value_range else nn.Identity()
        head: list[nn.Module] = [nn.PixelUnshuffle(unshuffle)] if unshuffle > 1 else []
        self.head = nn.Sequential(*head, nn.Conv2d(channels * unshuffle**2, features, 3, padding=1))
        self.body = nn.Sequential(*blocks, nn.Conv2d(features, features, 3, padding=1))
        last = nn.Conv2d(features, channels, 3, padding=1)
        self.tail = nn.Sequential(nn.Sequential(*shuffles(features, factors)), last)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``lr``, (N, C, H, W) in [0, 1], multiples of ``unshuffle``."""
        first = self.head(self.sub_mean(lr * self.value_range))
        result: Tensor = self.add_mean(self.tail(first + self.body(first)))
        return result / self.value_range


class Ends(NamedTuple):
    """What a HeadBodyTail has around its blocks."""

    channels: int
    factors: tuple[int, ...]
    unshuffle: int = 1
    value_range: int = 0


def new_ends(scale: int, channels: int, norm: bool) -> Ends:
    """Return the ends of a new network, which subtracts the mean colour if ``norm``. Raises ValueError."""
    return Ends(channels, factors_of(scale), value_range=255 if norm else 0)


def described(architecture: str, ends: Ends, radius: int, **sizes: int) -> NetworkSpec:
    """Return the spec of a HeadBodyTail whose blocks see ``radius`` pixels far. Raises ValueError."""
    channels, factors, unshuffle, value_range = ends
    scale, remainder = divmod(math.prod(factors), unshuffle)
    if remainder or scale == 0:
        raise ValueError(f"unshuffles by {unshuffle} and enlarges {math.prod(factors)} times")
    if value_range and channels != len(RGB_MEAN):
        raise ValueError(f"subtracts the mean of RGB pictures, and {channels} channels go in")
    return NetworkSpec(
        architecture,
        scale,
        channels,
        channels,
        receptive_radius=unshuffle * (1 + radius + 1 + shuffled_radius(factors)),
        size_multiple=unshuffle,
        hyperparameters={**sizes, "factors": factors, "unshuffle": unshuffle, "value_range": value_range},
    )


def ends_of(state: StateDict) -> Ends:
    """Return the ends of a HeadBodyTail's state. Raises KeyError or ValueError."""
    channels, _ = keys.convolution(state, "tail.1.weight")
    unshuffled = "head.1.weight" in state
    _, seen = keys.convolution(state, "head.1.weight" if unshuffled else "head.0.weight")
    unshuffle = unshuffle_factor(seen, channels)
    if (unshuffle > 1) != unshuffled:
        raise ValueError(f"{seen} channels go in and {channels} come out")
    shift, value_range = state.get("sub_mean.bias"), 0
    if shift is not None:
        if shift.shape != (3,):
            raise ValueError("it subtracts no mean of RGB pictures")
        value_range = 255 if float(shift.abs().max()) > 1 else 1
    return Ends(channels, shuffle_factors(state, "tail.0"), unshuffle, value_range)


def basicsr(state: StateDict, blocks: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """Return the state under the authors' keys, from BasicSR's, which keep the mean colour in the code."""
    groups = keys.count(state, r"^body\.(\d+)\.")
    rules = (
        (r"^conv_first\.", "head.0."),
        *blocks,
        (r"^conv_after_body\.", f"body.{groups}."),
        (r"^upsample\.", "tail.0."),
        (r"^conv_last\.", "tail.1."),
    )
    shifts = {"sub_mean": MeanShift(-255), "add_mean": MeanShift(255)}
    means = {f"{name}.{key}": tensor for name, shift in shifts.items() for key, tensor in shift.state_dict().items()}
    return {**keys.renamed(state, rules), **(means if state["conv_first.weight"].shape[1:2] == (3,) else {})}


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state under the authors' keys, also from BasicSR's."""
    if "body.0.conv1.weight" in state and "conv_after_body.weight" in state and "conv_first.weight" in state:
        return basicsr(
            state, ((r"^body\.(\d+)\.conv1\.", r"body.\1.body.0."), (r"^body\.(\d+)\.conv2\.", r"body.\1.body.2."))
        )
    return dict(state)


def _spec(state: StateDict) -> NetworkSpec:
    features, _ = keys.convolution(state, "body.0.body.0.weight")
    return _described(ends_of(state), features, keys.count(state, r"^body\.(\d+)\.body\.0\.weight$"))


def _described(ends: Ends, features: int, blocks: int) -> NetworkSpec:
    return described("edsr", ends, 2 * blocks, features=features, blocks=blocks)


def _block(features: int, scale: float) -> nn.Module:
    first, second = (nn.Conv2d(features, features, 3, padding=1) for _ in range(2))
    return Residual(scale, body=nn.Sequential(first, nn.ReLU(), second))


def _module(spec: NetworkSpec) -> nn.Module:
    sizes = dict(spec.hyperparameters)
    scale = WIDE_RESIDUAL_SCALE if sizes["features"] >= WIDE else 1.0
    blocks = [_block(sizes["features"], scale) for _ in range(sizes.pop("blocks"))]
    return HeadBodyTail(spec.in_channels, blocks=blocks, **sizes)


class EdsrSizes(Sizes, frozen=True):
    """The baseline's; EDSR itself has 256 features and 32 blocks. ``norm``: whether the mean colour is subtracted."""

    features: Positive = 64
    blocks: Positive = 16
    norm: bool = True

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is 3 or a power of two."""
        return _described(new_ends(scale, channels, self.norm), self.features, self.blocks)


EDSR = Architecture(
    name="edsr",
    canonical=_canonical,
    detect=keys.holds("body.0.body.0.weight", "tail.1.weight"),
    spec=_spec,
    module=_module,
    sizes=EdsrSizes,
    examples=(
        *map(EdsrSizes(features=6, blocks=2).spec, (1, 2, 3, 4, 8)),
        _described(Ends(3, (2, 2), unshuffle=2, value_range=1), features=6, blocks=1),
        _described(Ends(3, (2, 2), unshuffle=4), features=6, blocks=1),
        EdsrSizes(features=6, blocks=1, norm=False).spec(2, channels=1),
    ),
)

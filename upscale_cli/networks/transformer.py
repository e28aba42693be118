"""What SwinIR, DAT and HAT have around their blocks: the mean colour, convolutions, a residual, and the upsampler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Positive, Several, Sizes, StateDict
from upscale_cli.networks.edsr import mean_colour
from upscale_cli.networks.upsamplers import (
    doublings,
    factors_of,
    nearest_radius,
    shuffle_factors,
    shuffle_scale,
    shuffled_radius,
    shuffles,
)

Upsampler = Literal["pixelshuffle", "pixelshuffledirect", "nearest+conv", "none"]
Connection = Literal["1conv", "3conv"]
TAIL_FEATURES = 64
SLOPE, FIRST_SLOPE = 0.2, 0.01


def connect(features: int, connection: str) -> nn.Module:
    """Return the convolution before a residual: one, or three with a quarter of the features between them."""
    if connection == "1conv":
        return nn.Conv2d(features, features, 3, padding=1)
    quarter = features // 4
    return nn.Sequential(
        nn.Conv2d(features, quarter, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(quarter, quarter, 1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(quarter, features, 3, padding=1),
    )


class Block(nn.Module):
    """Attention, then the layers that files name ``name``, each normalised before and with a residual around it."""

    def __init__(self, features: int, attn: nn.Module, name: str, linear: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.attn = attn
        self.add_module(name, linear)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        x = x + self.attn(self.norm1(x))
        total: Tensor = x + self.get_submodule(self.name)(self.norm2(x))
        return total


class Layer(nn.Module):
    """Blocks that files name ``name``, a convolution, and a residual."""

    def __init__(self, name: str, blocks: nn.Module, features: int, connection: str) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, blocks)
        self.conv = connect(features, connection)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        residual: Tensor = self.conv(self.get_submodule(self.name)(x).permute(0, 3, 1, 2))
        return x + residual.permute(0, 2, 3, 1)


class ImageTransformer(nn.Module):
    """Layers between two convolutions and a residual, at LR size; then the upsampler, whose keys are the files'.

    The layers take and give (N, H, W, features). ``embedding``: the name, in files, and the layers that normalise each
    pixel before them. ``value_range``: what 1 becomes inside.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        embedding: tuple[str, nn.Module],
        layers: Iterable[nn.Module],
        connection: str,
        upsampler: str,
        factors: tuple[int, ...],
        tail_features: int = TAIL_FEATURES,
        unshuffle: int = 1,
        value_range: int = 1,
    ) -> None:
        super().__init__()
        self.upsampler, self.factors = upsampler, factors
        self.unshuffle, self.value_range = unshuffle, value_range
        self.conv_first = nn.Conv2d(channels * unshuffle**2, features, 3, padding=1)
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(features)
        self.conv_after_body = connect(features, connection)
        self._add_tail(features, channels, tail_features)
        self.embedding, embed = embedding
        self.add_module(self.embedding, embed)

    def _add_tail(self, features: int, channels: int, tail_features: int) -> None:
        def convolve(seen: int, made: int) -> nn.Module:
            return nn.Conv2d(seen, made, 3, padding=1)

        if self.upsampler == "none":
            self.conv_last = convolve(features, channels)
            return
        if self.upsampler == "pixelshuffledirect":
            (factor,) = self.factors
            self.upsample = nn.Sequential(convolve(features, channels * factor**2), nn.PixelShuffle(factor))
            return
        self.conv_before_upsample = nn.Sequential(convolve(features, tail_features), nn.LeakyReLU(FIRST_SLOPE))
        if self.upsampler == "pixelshuffle":
            self.upsample = nn.Sequential(*shuffles(tail_features, self.factors))
        else:
            for number, _ in enumerate(self.factors, 1):
                setattr(self, f"conv_up{number}", convolve(tail_features, tail_features))
            self.conv_hr = convolve(tail_features, tail_features)
        self.conv_last = convolve(tail_features, channels)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``lr``, (N, C, H, W) in [0, 1], multiples of the window."""
        mean = mean_colour(lr) if lr.shape[1] == 3 else 0.0
        signed = (lr - mean) * self.value_range
        first = self.conv_first(F.pixel_unshuffle(signed, self.unshuffle))
        features = self.layers(self.get_submodule(self.embedding)(first.permute(0, 2, 3, 1)))
        result = self._enlarged(first + self.conv_after_body(self.norm(features).permute(0, 3, 1, 2)))
        return (result + signed if self.upsampler == "none" else result) / self.value_range + mean

    def _enlarged(self, features: Tensor) -> Tensor:
        result: Tensor
        if self.upsampler == "pixelshuffledirect":
            result = self.upsample(features)
            return result
        if self.upsampler == "pixelshuffle":
            features = self.upsample(self.conv_before_upsample(features))
        elif self.upsampler == "nearest+conv":
            features = self.conv_before_upsample(features)
            for number, factor in enumerate(self.factors, 1):
                features = F.interpolate(features, scale_factor=float(factor), mode="nearest")
                features = F.leaky_relu(getattr(self, f"conv_up{number}")(features), SLOPE, inplace=True)
            features = F.leaky_relu(self.conv_hr(features), SLOPE, inplace=True)
        result = self.conv_last(features)
        return result


def tail_of(state: StateDict, channels: int) -> tuple[Upsampler, tuple[int, ...], int]:
    """Return the upsampler's kind, its factors, and its features. ``channels``: those of the result."""
    if "conv_up1.weight" in state:
        features, _ = keys.convolution(state, "conv_up1.weight")
        return "nearest+conv", (2,) * keys.count(state, r"^conv_up(\d)\.weight$"), features
    if "conv_before_upsample.0.weight" in state:
        features, _ = keys.convolution(state, "conv_before_upsample.0.weight")
        return "pixelshuffle", shuffle_factors(state, "upsample"), features
    if "upsample.0.weight" in state:
        return "pixelshuffledirect", (shuffle_scale(state, "upsample.0.weight", channels),), TAIL_FEATURES
    return "none", (), TAIL_FEATURES


def tail_for(upsampler: Upsampler, scale: int) -> tuple[int, ...]:
    """Return the factors of a new network of that scale. Raises ValueError for scales the upsampler cannot reach."""
    if upsampler == "pixelshuffle":
        return factors_of(scale)
    if upsampler == "nearest+conv":
        return (2,) * doublings(scale)
    if upsampler == "none" and scale != 1:
        raise ValueError(f"cannot enlarge {scale} times without an upsampler")
    return () if upsampler == "none" else (scale,)


def tail_reach(upsampler: str, factors: tuple[int, ...]) -> int:
    """Return the LR radius of everything after the residual."""
    if upsampler in ("none", "pixelshuffledirect"):
        return 1
    if upsampler == "pixelshuffle":
        return shuffled_radius(factors) + 1
    return nearest_radius(factors) + 1


def connection_of(state: StateDict) -> Connection:
    """Return how the convolutions before residuals are made."""
    return "1conv" if "conv_after_body.weight" in state else "3conv"


class TransformerSizes(Sizes, frozen=True):
    """``depths``: blocks of each layer, and ``heads`` of theirs."""

    features: Positive = 180
    depths: Several = (6, 6, 6, 6, 6, 6)
    heads: Several = (6, 6, 6, 6, 6, 6)

    def require_heads(self) -> None:
        """Raise ValueError unless there are heads for each layer, among which the features can be shared out."""
        if len(self.depths) != len(self.heads) or any(self.features % split for split in self.heads):
            raise ValueError(f"needs heads for each of {len(self.depths)} layers, and features that they divide")

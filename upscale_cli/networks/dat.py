"""DAT (Chen et al. 2023, arXiv:2308.03364): attention in windows of two shapes, and between channels, by turns.

Half of the channels see windows of h×w pixels, half of w×h. Channels meet over the whole picture, so that tiles and
whole differ a little. Trained here without stochastic depth.
"""

from __future__ import annotations

import math
import re

import torch
import torch.nn.functional as F
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks.architecture import (
    SHORT_HALO,
    UNBOUNDED,
    Architecture,
    NetworkSpec,
    Positive,
    Several,
    Sizes,
    StateDict,
    Wide,
    convolution,
    count,
)
from upscale_cli.networks.dual_attention import ChannelAttention, SpatialAttention
from upscale_cli.networks.transformer import (
    TAIL_FEATURES,
    Connection,
    Group,
    ImageTransformer,
    Upsampler,
    connect,
    connection_of,
    tail_for,
    tail_of,
)
from upscale_cli.networks.windows import Window, draw, published_mask, published_side, relative_positions

LEAST_FEATURES = 16  # of which a sixteenth says where in a picture something is
# What files hold beside weights: it follows from the sizes.
_DERIVED = re.compile(r"\.attn\.(attn_mask_\d|attns\.\d\.relative_position_index)$")


class SpatialGate(nn.Module):
    """One half of the features, weighted by the other, which is convolved channel by channel."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.conv = nn.Conv2d(features, features, 3, padding=1, groups=features)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, H, W, features) of ``x``, (N, H, W, 2·features)."""
        kept, gate = x.chunk(2, -1)
        weighted: Tensor = kept * self.conv(self.norm(gate).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return weighted


class FeedForward(nn.Module):
    """Two linear layers with a gate between them."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(features, hidden), nn.Linear(hidden // 2, features)
        self.sg = SpatialGate(hidden // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        result: Tensor = self.fc2(self.sg(F.gelu(self.fc1(x))))
        return result


class Block(nn.Module):
    """Attention and feed-forward layers, each normalised before and with a residual around it."""

    def __init__(self, features: int, hidden: int, attn: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.attn, self.ffn = attn, FeedForward(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        x = x + self.attn(self.norm1(x))
        total: Tensor = x + self.ffn(self.norm2(x))
        return total


class Layer(Group):
    """Blocks, a convolution, and a residual."""

    def __init__(self, features: int, connection: str, *blocks: nn.Module) -> None:
        super().__init__(*blocks)
        self.conv = connect(features, connection)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        residual: Tensor = self.conv(super().forward(x).permute(0, 3, 1, 2))
        return x + residual.permute(0, 2, 3, 1)


def is_shifted(layer: int, number: int) -> bool:
    """Return whether the windows of a layer's block of that even number lie beside the grid."""
    return number % 4 == (0 if layer % 2 else 2)


class Dat(ImageTransformer):
    """Layers whose blocks attend in windows and between channels by turns."""

    def __init__(
        self,
        channels: int,
        features: int,
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        window: Window,
        hidden: int,
        connection: str,
        **tail: int | str | tuple[int, ...],
    ) -> None:
        def block(layer: int, number: int, split: int) -> Block:
            if number % 2:
                return Block(features, hidden, ChannelAttention(features, split))
            return Block(features, hidden, SpatialAttention(features, split, window, is_shifted(layer, number)))

        layers = [
            Layer(features, connection, *(block(layer, number, split) for number in range(depth)))
            for layer, (depth, split) in enumerate(zip(depths, heads, strict=True))
        ]
        super().__init__(channels, features, layers, connection, **tail)  # type: ignore[arg-type]
        self.before_RG = nn.Sequential(nn.Identity(), nn.LayerNorm(features))

    def embedded(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised by pixel."""
        normalised: Tensor = self.before_RG(x)
        return normalised


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state without what follows from the sizes."""
    return {key: tensor for key, tensor in state.items() if not _DERIVED.search(key)}


def _published(spec: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return the state with the positions and masks of every block that attends in windows."""
    published = dict(state)
    high, wide = spec.hyperparameters["window"]
    side, cpu = published_side((high, wide)), torch.device("cpu")
    for layer, depth in enumerate(spec.hyperparameters["depths"]):
        for number in range(0, depth, 2):
            for branch, window in enumerate(((high, wide), (wide, high))):
                block = f"layers.{layer}.blocks.{number}.attn"
                published[f"{block}.attns.{branch}.relative_position_index"] = relative_positions(window, cpu)
                if is_shifted(layer, number):
                    published[f"{block}.attn_mask_{branch}"] = published_mask(window, side)
    return published


def _detect(state: StateDict) -> bool:
    return "layers.0.blocks.0.attn.attns.0.rpe_biases" in state and "before_RG.1.weight" in state


def _heads(state: StateDict, layer: int) -> int:
    temperature = state.get(f"layers.{layer}.blocks.1.attn.temperature")
    if temperature is not None:
        return len(temperature)
    return 2 * state[f"layers.{layer}.blocks.0.attn.attns.0.pos.pos3.2.bias"].numel()


def _spec(state: StateDict) -> NetworkSpec:
    features, channels = convolution(state, "conv_first.weight")
    numbers = range(count(state, r"^layers\.(\d+)\."))
    offsets = state["layers.0.blocks.0.attn.attns.0.rpe_biases"]
    if offsets.ndim != 2 or offsets.shape[1] != 2 or not len(offsets):
        raise ValueError("layers.0.blocks.0.attn.attns.0.rpe_biases fits no window")
    high, wide = (int(largest) + 1 for largest in offsets.amax(0).tolist())
    upsampler, factors, tail_features = tail_of(state, channels)
    sizes = DatSizes(
        features=features,
        depths=tuple(count(state, rf"^layers\.{number}\.blocks\.(\d+)\.") for number in numbers),
        heads=tuple(_heads(state, number) for number in numbers),
        window=(high, wide),
        hidden=state["layers.0.blocks.0.ffn.fc1.bias"].numel(),
        connection=connection_of(state),
        upsampler=upsampler,
    )
    return sizes.described(channels, factors, tail_features)


class DatSizes(Sizes, frozen=True):
    """DAT's. DAT-S has windows of 8×16 and 360 hidden features, DAT-2 windows of 8×32 and 360; DAT-light one layer of
    18 blocks with 60 features, windows of 8×32, 120 hidden, 3conv and pixelshuffledirect.
    """

    features: Positive = 180
    depths: Several = (6, 6, 6, 6, 6, 6)
    heads: Several = (6, 6, 6, 6, 6, 6)
    window: tuple[Positive, Positive] = (8, 32)
    hidden: Wide = 720
    connection: Connection = "1conv"
    upsampler: Upsampler = "pixelshuffle"

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for the scales of its upsampler."""
        return self.described(channels, tail_for(self.upsampler, scale))

    def described(self, channels: int, factors: tuple[int, ...], tail_features: int = TAIL_FEATURES) -> NetworkSpec:
        """Return the network of these sizes with that upsampler. Raises ValueError."""
        splits = [2 * (split // 2) for split in self.heads]
        if len(self.depths) != len(self.heads) or not all(splits) or any(self.features % split for split in splits):
            raise ValueError(f"needs even heads for each of {len(self.depths)} layers, and features that they divide")
        if max(self.window) % min(self.window) or self.features < LEAST_FEATURES:
            raise ValueError(f"needs a window whose sides divide each other, and {LEAST_FEATURES} features")
        if self.upsampler not in ("pixelshuffle", "pixelshuffledirect"):
            raise ValueError("needs an upsampler of pixel shuffles")
        return NetworkSpec(
            architecture="dat",
            scale=math.prod(factors),
            in_channels=channels,
            out_channels=channels,
            receptive_radius=UNBOUNDED,
            size_multiple=max(self.window),
            hyperparameters={
                **asdict(self),
                "factors": factors,
                "tail_features": tail_features,
            },
            halo=SHORT_HALO,
            any_size=True,
        )


def _small(scale: int, channels: int = 3, upsampler: Upsampler = "pixelshuffle") -> NetworkSpec:
    sizes = DatSizes(features=32, depths=(3, 1), heads=(2, 2), window=(2, 4), hidden=32, upsampler=upsampler)
    return sizes.described(channels, tail_for(upsampler, scale))


DAT = Architecture(
    name="dat",
    canonical=_canonical,
    published=_published,
    detect=_detect,
    spec=_spec,
    module=lambda spec: Dat(spec.in_channels, **spec.hyperparameters),
    sizes=DatSizes,
    examples=(
        *map(_small, (2, 3, 4)),
        _small(2, channels=1),
        _small(3, upsampler="pixelshuffledirect"),
        DatSizes(features=32, depths=(2,), heads=(2,), window=(4, 4), hidden=32, connection="3conv").spec(2),
    ),
    initialise=draw,
)

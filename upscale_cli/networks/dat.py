"""DAT (Chen et al. 2023, arXiv:2308.03364): attention in windows of two shapes, and between channels, by turns.

Half of the channels see windows of h×w pixels, half of w×h. Channels meet over the whole picture, so that tiles and
whole differ a little. Trained here without stochastic depth.
"""

from __future__ import annotations

import math
import re

import torch
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import (
    SHORT_HALO,
    UNBOUNDED,
    Architecture,
    NetworkSpec,
    Positive,
    StateDict,
    Wide,
)
from upscale_cli.networks.dual_attention import ChannelAttention, SpatialAttention
from upscale_cli.networks.layers import chain
from upscale_cli.networks.transformer import (
    TAIL_FEATURES,
    Block,
    Connection,
    ImageTransformer,
    Layer,
    TransformerSizes,
    Upsampler,
    connection_of,
    tail_for,
    tail_of,
)
from upscale_cli.networks.windows import draw, published_mask, relative_positions

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


def feed_forward(features: int, hidden: int) -> nn.Module:
    """Return two linear layers with a gate between them."""
    return chain(
        fc1=nn.Linear(features, hidden),
        act=nn.GELU(),
        sg=SpatialGate(hidden // 2),
        fc2=nn.Linear(hidden // 2, features),
    )


def is_shifted(layer: int, number: int) -> bool:
    """Return whether the windows of a layer's block of that even number lie beside the grid."""
    return number % 4 == (0 if layer % 2 else 2)


def _module(spec: NetworkSpec) -> nn.Module:
    sizes = dict(spec.hyperparameters)
    features, window, hidden = sizes["features"], sizes.pop("window"), sizes.pop("hidden")

    def block(layer: int, number: int, heads: int) -> Block:
        if number % 2:
            attn: nn.Module = ChannelAttention(features, heads)
        else:
            attn = SpatialAttention(features, heads, window, is_shifted(layer, number))
        return Block(features, attn, "ffn", feed_forward(features, hidden))

    layers = []
    for layer, (depth, heads) in enumerate(zip(sizes.pop("depths"), sizes.pop("heads"), strict=True)):
        blocks = nn.Sequential(*(block(layer, number, heads) for number in range(depth)))
        layers.append(Layer("blocks", blocks, features, sizes["connection"]))
    embedding = "before_RG", nn.Sequential(nn.Identity(), nn.LayerNorm(features))
    return ImageTransformer(spec.in_channels, embedding=embedding, layers=layers, **sizes)


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state without what follows from the sizes."""
    return {key: tensor for key, tensor in state.items() if not _DERIVED.search(key)}


def _published(spec: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return the state with the positions and masks of every block that attends in windows."""
    published = dict(state)
    high, wide = spec.hyperparameters["window"]
    cpu = torch.device("cpu")
    for layer, depth in enumerate(spec.hyperparameters["depths"]):
        for number in range(0, depth, 2):
            for branch, window in enumerate(((high, wide), (wide, high))):
                block = f"layers.{layer}.blocks.{number}.attn"
                published[f"{block}.attns.{branch}.relative_position_index"] = relative_positions(window, cpu)
                if is_shifted(layer, number):
                    published[f"{block}.attn_mask_{branch}"] = published_mask(window)
    return published


def _heads(state: StateDict, layer: int) -> int:
    temperature = state.get(f"layers.{layer}.blocks.1.attn.temperature")
    if temperature is not None:
        return len(temperature)
    return 2 * state[f"layers.{layer}.blocks.0.attn.attns.0.pos.pos3.2.bias"].numel()


def _spec(state: StateDict) -> NetworkSpec:
    features, channels = keys.convolution(state, "conv_first.weight")
    numbers = range(keys.count(state, r"^layers\.(\d+)\."))
    offsets = state["layers.0.blocks.0.attn.attns.0.rpe_biases"]
    if offsets.ndim != 2 or offsets.shape[1] != 2 or not len(offsets):
        raise ValueError("layers.0.blocks.0.attn.attns.0.rpe_biases fits no window")
    high, wide = (int(largest) + 1 for largest in offsets.amax(0).tolist())
    upsampler, factors, tail_features = tail_of(state, channels)
    sizes = DatSizes(
        features=features,
        depths=tuple(keys.count(state, rf"^layers\.{number}\.blocks\.(\d+)\.") for number in numbers),
        heads=tuple(_heads(state, number) for number in numbers),
        window=(high, wide),
        hidden=state["layers.0.blocks.0.ffn.fc1.bias"].numel(),
        connection=connection_of(state),
        upsampler=upsampler,
    )
    return sizes.described(channels, factors, tail_features)


class DatSizes(TransformerSizes, frozen=True):
    """DAT's. DAT-S has windows of 8×16 and 360 hidden features, DAT-2 windows of 8×32 and 360; DAT-light one layer of
    18 blocks with 60 features, windows of 8×32, 120 hidden, 3conv and pixelshuffledirect.
    """

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
            "dat",
            math.prod(factors),
            channels,
            channels,
            receptive_radius=UNBOUNDED,
            size_multiple=max(self.window),
            hyperparameters={**asdict(self), "factors": factors, "tail_features": tail_features},
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
    detect=keys.holds("layers.0.blocks.0.attn.attns.0.rpe_biases", "before_RG.1.weight"),
    spec=_spec,
    module=_module,
    sizes=DatSizes,
    examples=(
        *map(_small, (2, 3, 4)),
        _small(2, channels=1),
        _small(3, upsampler="pixelshuffledirect"),
        DatSizes(features=32, depths=(2,), heads=(2,), window=(4, 4), hidden=32, connection="3conv").spec(2),
    ),
    initialise=draw,
)

"""SwinIR (Liang et al. 2021, arXiv:2108.10257): attention inside windows, every other time shifted by half a window.

Its forms differ in the upsampler: classical (pixelshuffle), lightweight (pixelshuffledirect), real-world (nearest+conv)
and, for pictures that keep their size, none. Trained here without stochastic depth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, StateDict, Wide, affordable_halo
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
    tail_reach,
)
from upscale_cli.networks.upsamplers import unshuffle_factor
from upscale_cli.networks.windows import (
    WindowAttention,
    draw,
    mlp,
    published_mask,
    reach,
    relative_positions,
)

# Of the published networks, those against JPEG alone have windows of 7, and they alone work in a range of 255.
JPEG_WINDOW, JPEG_RANGE = 7, 255
# What files hold beside weights: it follows from the sizes.
_DERIVED = re.compile(r"\.(attn_mask|attn\.relative_position_index)$")


def _module(spec: NetworkSpec) -> nn.Module:
    sizes = dict(spec.hyperparameters)
    window, hidden, features = sizes.pop("window"), sizes.pop("hidden"), sizes["features"]
    layers = []
    for depth, heads in zip(sizes.pop("depths"), sizes.pop("heads"), strict=True):
        attentions = (WindowAttention(features, heads, window, bool(number % 2)) for number in range(depth))
        blocks = (Block(features, attention, "mlp", mlp(features, hidden)) for attention in attentions)
        layers.append(residual_group(features, sizes["connection"], blocks))
    return ImageTransformer(spec.in_channels, embedding=patch_embedding(features), layers=layers, **sizes)


def residual_group(features: int, connection: str, blocks: Iterable[nn.Module], **after: nn.Module) -> Layer:
    """Return a layer of blocks, and of what comes ``after`` them, under the names of the files."""
    return Layer("residual_group", chain(blocks=nn.Sequential(*blocks), **after), features, connection)


def patch_embedding(features: int) -> tuple[str, nn.Module]:
    """Return what normalises each pixel before the layers, and its name in files."""
    return "patch_embed", chain(norm=nn.LayerNorm(features))


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state without what follows from the sizes, and ``conv_first`` without a number."""
    kept = {key: tensor for key, tensor in state.items() if not _DERIVED.search(key)}
    return keys.renamed(kept, ((r"^conv_first\.1\.", "conv_first."),))


def _published(spec: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return the state with the positions and masks of every block."""
    sizes = spec.hyperparameters
    first = "conv_first.1." if sizes["unshuffle"] > 1 else "conv_first."
    published = keys.renamed(state, ((r"^conv_first\.", first),))
    window = (sizes["window"], sizes["window"])
    positions, mask = relative_positions(window, torch.device("cpu")), published_mask(window)
    for layer, depth in enumerate(sizes["depths"]):
        for number in range(depth):
            block = f"layers.{layer}.residual_group.blocks.{number}"
            published[f"{block}.attn.relative_position_index"] = positions.clone()
            if number % 2:
                published[f"{block}.attn_mask"] = mask.clone()
    return published


def _detect(state: StateDict) -> bool:
    parts = {".".join(key.split(".")[2:6:3]) for key in state if key.startswith("layers.0.residual_group.")}
    return parts == {f"residual_group.{part}" for part in ("attn", "mlp", "norm1", "norm2")} and any(
        key.endswith("blocks.0.attn.relative_position_bias_table") for key in state
    )


def window_of(state: StateDict, key: str) -> int:
    """Return the side of the windows whose bias table is ``key``. Raises KeyError or ValueError."""
    rows = state[key].shape[0] if state[key].ndim == 2 else 0
    window = (math.isqrt(rows) + 1) // 2
    if rows == 0 or (2 * window - 1) ** 2 != rows:
        raise ValueError(f"{key} fits no window")
    return window


def _spec(state: StateDict) -> NetworkSpec:
    features, seen = keys.convolution(state, "conv_first.weight")
    numbers = range(keys.count(state, r"^layers\.(\d+)\."))
    first = "residual_group.blocks.0."
    tables = [state[f"layers.{number}.{first}attn.relative_position_bias_table"] for number in numbers]
    channels = keys.convolution(state, "conv_last.weight")[0] if "conv_last.weight" in state else seen
    unshuffle = unshuffle_factor(seen, channels)
    upsampler, factors, tail_features = tail_of(state, channels)
    sizes = SwinIRSizes(
        features=features,
        depths=tuple(keys.count(state, rf"^layers\.{number}\.residual_group\.blocks\.(\d+)\.") for number in numbers),
        heads=tuple(table.shape[-1] for table in tables),
        window=window_of(state, f"layers.0.{first}attn.relative_position_bias_table"),
        hidden=state[f"layers.0.{first}mlp.fc1.bias"].numel(),
        connection=connection_of(state),
        upsampler=upsampler,
    )
    return sizes.described(channels, factors, tail_features, unshuffle)


class SwinIRSizes(TransformerSizes, frozen=True):
    """``hidden``: features of the two linear layers of a block."""

    window: Positive = 8
    hidden: Wide = 360
    connection: Connection = "1conv"
    upsampler: Upsampler = "pixelshuffle"

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for the scales of its upsampler."""
        return self.described(channels, tail_for(self.upsampler, scale))

    def described(
        self, channels: int, factors: tuple[int, ...], tail_features: int = TAIL_FEATURES, unshuffle: int = 1
    ) -> NetworkSpec:
        """Return the network of these sizes with that upsampler. Raises ValueError."""
        self.require_heads()
        scale, remainder = divmod(math.prod(factors), unshuffle)
        if remainder or not scale:
            raise ValueError(f"unshuffles by {unshuffle} and enlarges {math.prod(factors)} times")
        radius = unshuffle * self._reach(tail_reach(self.upsampler, factors))
        return NetworkSpec(
            "swinir",
            scale,
            channels,
            channels,
            receptive_radius=radius,
            size_multiple=self.window * unshuffle,
            hyperparameters={
                **asdict(self),
                "factors": factors,
                "tail_features": tail_features,
                "unshuffle": unshuffle,
                "value_range": JPEG_RANGE if self.window == JPEG_WINDOW else 1,
            },
            halo=unshuffle * affordable_halo(radius // unshuffle),
        )

    def _reach(self, tail: int) -> int:
        between = 1 if self.connection == "1conv" else 2
        steps: list[int | tuple[int, int]] = [tail, between]
        for depth in reversed(self.depths):
            shifts = [(self.window, self.window // 2 if number % 2 else 0) for number in range(depth)]
            steps += [between, *reversed(shifts)]
        return reach(self.window, [*steps, 1])


def _small(scale: int, upsampler: Upsampler = "pixelshuffle", channels: int = 3, window: int = 4) -> NetworkSpec:
    sizes = SwinIRSizes(features=12, depths=(2,), heads=(2,), window=window, hidden=24, upsampler=upsampler)
    return sizes.described(channels, tail_for(upsampler, scale))


_THREE = SwinIRSizes(features=12, depths=(2, 2), heads=(2, 3), window=4, hidden=12, connection="3conv")
SWINIR = Architecture(
    name="swinir",
    canonical=_canonical,
    published=_published,
    detect=_detect,
    spec=_spec,
    module=_module,
    sizes=SwinIRSizes,
    examples=(
        *map(_small, (1, 2, 3, 4)),
        *(_small(scale, "pixelshuffledirect") for scale in (2, 3)),
        *(_small(scale, "nearest+conv") for scale in (2, 4, 8)),
        _small(1, "none", channels=1, window=7),
        _THREE.described(3, (2, 2), tail_features=8),
        _THREE.described(3, (2, 2), tail_features=8, unshuffle=2),
    ),
    initialise=draw,
)

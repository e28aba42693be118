"""HAT (Chen et al. 2023, arXiv:2205.04437): SwinIR's layers, with channel attention beside every window attention.

Every layer ends with windows that attend to larger, overlapping ones. Channels are weighted by their mean over the
whole picture, so that tiles and whole differ a little. Trained here without stochastic depth.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
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
from upscale_cli.networks.layers import Weighted, squeeze_and_excite
from upscale_cli.networks.swinir import patch_embedding, residual_group, window_of
from upscale_cli.networks.transformer import TAIL_FEATURES, ImageTransformer, TransformerSizes, tail_for, tail_of
from upscale_cli.networks.windows import WindowAttention, draw, mlp, picture_of, relative_positions, windows_of

CONVOLUTION_SCALE = 0.01


class ConvolutionBlock(nn.Module):
    """Two convolutions with fewer features between them, and channel attention."""

    def __init__(self, features: int, compressed: int, squeezed: int) -> None:
        super().__init__()
        self.cab = nn.Sequential(
            nn.Conv2d(features, compressed, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(compressed, features, 3, padding=1),
            Weighted(attention=nn.Sequential(nn.AdaptiveAvgPool2d(1), *squeeze_and_excite(features, squeezed))),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        result: Tensor = self.cab(x.permute(0, 3, 1, 2))
        return result.permute(0, 2, 3, 1)


class HybridBlock(nn.Module):
    """SwinIR's block with convolutions beside the window attention."""

    def __init__(
        self, features: int, heads: int, window: int, hidden: int, compressed: int, squeezed: int, shifted: bool
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.attn = WindowAttention(features, heads, window, shifted)
        self.conv_block = ConvolutionBlock(features, compressed, squeezed)
        self.mlp = mlp(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        normalised = self.norm1(x)
        x = x + self.attn(normalised) + CONVOLUTION_SCALE * self.conv_block(normalised)
        total: Tensor = x + self.mlp(self.norm2(x))
        return total


def overlapping_positions(window: int, overlap: int, device: torch.device) -> Tensor:
    """Return (window², overlap²): where a table of (window + overlap - 1)² offsets holds that of two pixels.

    Some are negative and count from the table's end, as trained.
    """
    inner, outer = torch.arange(window, device=device), torch.arange(overlap, device=device)
    offsets = outer - inner[:, None] + window - overlap + 1
    index = offsets[:, None, :, None] * (window + overlap - 1) + offsets[None, :, None, :]
    return index.reshape(window**2, -1)


class OverlappingAttention(nn.Module):
    """Windows that attend to ``overlap``×``overlap`` pixels around their middle; beyond the picture lie zeros."""

    def __init__(self, features: int, heads: int, window: int, overlap: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.window, self.overlap = heads, window, overlap
        self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.qkv = nn.Linear(features, 3 * features)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((window + overlap - 1) ** 2, heads))
        self.proj = nn.Linear(features, features)
        self.mlp = mlp(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        x = x + self.proj(self._attended(self.qkv(self.norm1(x))))
        total: Tensor = x + self.mlp(self.norm2(x))
        return total

    def _attended(self, qkv: Tensor) -> Tensor:
        n, _, _, channels = qkv.shape
        features, window = channels // 3, (self.window, self.window)
        queries = windows_of(qkv[..., :features], window)
        rows, columns = queries.shape[1:3]
        around = F.unfold(
            qkv[..., features:].permute(0, 3, 1, 2),
            self.overlap,
            padding=(self.overlap - self.window) // 2,
            stride=self.window,
        )
        pairs = around.reshape(n, 2, self.heads, features // self.heads, self.overlap**2, rows * columns)
        keys, values = pairs.permute(1, 0, 5, 2, 4, 3).flatten(1, 2)
        split = queries.reshape(n * rows * columns, self.window**2, self.heads, -1).transpose(1, 2)
        index = overlapping_positions(self.window, self.overlap, qkv.device)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1).to(qkv.dtype)  # (heads, window², overlap²)
        mixed = F.scaled_dot_product_attention(split, keys, values, attn_mask=bias)
        return picture_of(mixed.transpose(1, 2).reshape(n, rows, columns, self.window**2, features), window)


def _module(spec: NetworkSpec) -> nn.Module:
    sizes = dict(spec.hyperparameters)
    features, window, hidden = sizes["features"], sizes.pop("window"), sizes.pop("hidden")
    overlap, compressed, squeezed = (sizes.pop(name) for name in ("overlap", "compressed", "squeezed"))
    layers = []
    for depth, heads in zip(sizes.pop("depths"), sizes.pop("heads"), strict=True):
        blocks = (
            HybridBlock(features, heads, window, hidden, compressed, squeezed, bool(number % 2))
            for number in range(depth)
        )
        overlapping = OverlappingAttention(features, heads, window, overlap, hidden)
        layers.append(residual_group(features, "1conv", blocks, overlap_attn=overlapping))
    return ImageTransformer(
        spec.in_channels,
        embedding=patch_embedding(features),
        layers=layers,
        connection="1conv",
        upsampler="pixelshuffle",
        **sizes,
    )


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state without the indices of positions, which follow from the sizes."""
    return {key: tensor for key, tensor in state.items() if not key.startswith("relative_position_index_")}


def _published(spec: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return the state with the indices of positions."""
    window, overlap, cpu = spec.hyperparameters["window"], spec.hyperparameters["overlap"], torch.device("cpu")
    return dict(state) | {
        "relative_position_index_SA": relative_positions((window, window), cpu),
        "relative_position_index_OCA": overlapping_positions(window, overlap, cpu),
    }


_FIRST = "layers.0.residual_group."


def _spec(state: StateDict) -> NetworkSpec:
    features, channels = keys.convolution(state, "conv_first.weight")
    compressed, _ = keys.convolution(state, f"{_FIRST}blocks.0.conv_block.cab.0.weight")
    squeezed, _ = keys.convolution(state, f"{_FIRST}blocks.0.conv_block.cab.3.attention.1.weight")
    numbers = range(keys.count(state, r"^layers\.(\d+)\."))
    window = window_of(state, f"{_FIRST}blocks.0.attn.relative_position_bias_table")
    overlapping = "overlap_attn.relative_position_bias_table"
    side = math.isqrt(state[f"{_FIRST}{overlapping}"].shape[0])
    upsampler, factors, tail_features = tail_of(state, channels)
    if upsampler != "pixelshuffle":
        raise ValueError(f"its upsampler is {upsampler}")
    sizes = HatSizes(
        features=features,
        depths=tuple(keys.count(state, rf"^layers\.{number}\.residual_group\.blocks\.(\d+)\.") for number in numbers),
        heads=tuple(state[f"layers.{number}.residual_group.{overlapping}"].shape[-1] for number in numbers),
        window=window,
        overlap=side + 1 - window,
        hidden=state[f"{_FIRST}blocks.0.mlp.fc1.bias"].numel(),
        compressed=compressed,
        squeezed=squeezed,
    )
    return sizes.described(channels, factors, tail_features)


class HatSizes(TransformerSizes, frozen=True):
    """``overlap``: side of the larger windows. ``compressed``, ``squeezed``: features inside the channel attention."""

    window: Positive = 16
    overlap: Positive = 24
    hidden: Wide = 360
    compressed: Positive = 60
    squeezed: Positive = 6

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is 3 or a power of two."""
        return self.described(channels, tail_for("pixelshuffle", scale))

    def described(self, channels: int, factors: tuple[int, ...], tail_features: int = TAIL_FEATURES) -> NetworkSpec:
        """Return the network of these sizes with that upsampler. Raises ValueError."""
        self.require_heads()
        if self.overlap < self.window or (self.overlap - self.window) % 2:
            raise ValueError("needs an overlap that is larger than the window by an even number")
        return NetworkSpec(
            "hat",
            math.prod(factors),
            channels,
            channels,
            receptive_radius=UNBOUNDED,
            size_multiple=self.window,
            hyperparameters={**asdict(self), "factors": factors, "tail_features": tail_features},
            halo=SHORT_HALO,
        )


def _small(scale: int, channels: int = 3) -> NetworkSpec:
    sizes = HatSizes(features=8, depths=(2,), heads=(2,), window=4, overlap=6, hidden=16, compressed=4, squeezed=2)
    return sizes.described(channels, tail_for("pixelshuffle", scale), tail_features=8)


HAT = Architecture(
    name="hat",
    canonical=_canonical,
    published=_published,
    detect=keys.holds(f"{_FIRST}blocks.0.conv_block.cab.0.weight", f"{_FIRST}overlap_attn.qkv.weight"),
    spec=_spec,
    module=_module,
    sizes=HatSizes,
    examples=(*map(_small, (1, 2, 3, 4)), _small(2, channels=1)),
    initialise=draw,
)

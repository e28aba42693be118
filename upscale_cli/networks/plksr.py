"""PLKSR (Lee, Yun and Ro 2024, arXiv:2404.11848): a large kernel over a part of the channels in every block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.layers import Residual, Weighted
from upscale_cli.networks.upsamplers import shuffle_scale

# Kernel sizes of the two convolutions that mix channels, by the paper's names.
Mixer = Literal["CCM", "ICCM", "DCCM"]
MIXERS: dict[Mixer, tuple[int, int]] = {"CCM": (3, 1), "ICCM": (1, 3), "DCCM": (3, 3)}
INITIAL_STD = 0.02


class PartialLargeKernel(nn.Module):
    """A ``kernel``×``kernel`` convolution of the first ``channels``; the others stay as they are."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        channels = self.conv.out_channels
        return torch.cat((self.conv(x[:, :channels]), x[:, channels:]), 1)


def element_attention(features: int) -> nn.Module:
    """Return what weighs every value by a sigmoid of its neighbourhood."""
    return Weighted(f=nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.Sigmoid()))


def channel_mixer(features: int, kernels: tuple[int, int], activation: nn.Module) -> nn.Sequential:
    """Return two convolutions with twice the features between them."""
    first, second = kernels
    return nn.Sequential(
        nn.Conv2d(features, 2 * features, first, padding=first // 2),
        activation,
        nn.Conv2d(2 * features, features, second, padding=second // 2),
    )


def _block(features: int, mixer: Mixer, kernel: int, partial: int, attention: bool) -> Residual:
    return Residual(
        channe_mixer=channel_mixer(features, MIXERS[mixer], nn.GELU()),  # spelt as in the files
        lk=PartialLargeKernel(partial, kernel),
        attn=element_attention(features) if attention else nn.Identity(),
        refine=nn.Conv2d(features, features, 1),
    )


class ResidualUpsampler(nn.Module):
    """Layers at LR size, whose result is added to the nearest enlargement of the input before ``to_img`` enlarges."""

    def __init__(self, scale: int, feats: Iterable[nn.Module], to_img: nn.Module) -> None:
        super().__init__()
        self.scale, self.feats, self.to_img = scale, nn.Sequential(*feats), to_img

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``lr``, (N, C, H, W) in [0, 1]."""
        result: Tensor = self.to_img(self.feats(lr) + lr.repeat_interleave(self.scale**2, 1))
        return result


def _module(spec: NetworkSpec) -> nn.Module:
    sizes = dict(spec.hyperparameters)
    features, blocks = sizes["features"], sizes.pop("blocks")
    layers = (
        nn.Conv2d(spec.in_channels, features, 3, padding=1),
        *(_block(**sizes) for _ in range(blocks)),
        nn.Conv2d(features, spec.in_channels * spec.scale**2, 3, padding=1),
    )
    return ResidualUpsampler(spec.scale, layers, nn.PixelShuffle(spec.scale))


def draw(module: nn.Module) -> None:
    """Draw weights as published: truncated normal of 0.02, but the first convolution of the mixers as PyTorch does."""
    for key, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and not key.endswith("mixer.0") and not key.startswith("to_img"):
            nn.init.trunc_normal_(layer.weight, std=INITIAL_STD)


def _spec(state: StateDict) -> NetworkSpec:
    features, channels = keys.convolution(state, "feats.0.weight")
    blocks = keys.count(state, r"^feats\.(\d+)\.channe_mixer\.0\.weight$")
    if "feats.1.lk.conv.weight" not in state:
        raise ValueError("its large kernels are sparse, which the tensors do not fully describe")
    partial, _ = keys.convolution(state, "feats.1.lk.conv.weight")
    kernels = tuple(state[f"feats.1.channe_mixer.{layer}.weight"].shape[-1] for layer in (0, 2))
    mixer = next((name for name, sizes in MIXERS.items() if sizes == kernels), None)
    if mixer is None:
        raise ValueError(f"its channel mixers have kernels of {kernels[0]} and {kernels[1]}")
    return PlksrSizes(
        features=features,
        blocks=blocks,
        mixer=mixer,
        kernel=state["feats.1.lk.conv.weight"].shape[-1],
        partial=partial,
        attention="feats.1.attn.f.0.weight" in state,
    ).spec(shuffle_scale(state, f"feats.{blocks + 1}.weight", channels), channels)


class PlksrSizes(Sizes, frozen=True):
    """``partial``: features under the large ``kernel``. The tiny one has 12 blocks, kernel 13, no attention."""

    features: Positive = 64
    blocks: Positive = 28
    mixer: Mixer = "DCCM"
    kernel: Positive = 17
    partial: Positive = 16
    attention: bool = True

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for any scale."""
        if self.kernel % 2 == 0 or self.partial > self.features:
            raise ValueError("needs an odd kernel over no more than all features")
        mixing = sum(size // 2 for size in MIXERS[self.mixer])
        radius = 2 + self.blocks * (mixing + self.kernel // 2 + self.attention)
        return NetworkSpec("plksr", scale, channels, channels, radius, hyperparameters=asdict(self))


_SMALL = PlksrSizes(features=8, blocks=2, mixer="CCM", kernel=5, partial=2)
PLKSR = Architecture(
    name="plksr",
    detect=keys.holds("feats.0.weight", "feats.1.channe_mixer.0.weight"),
    spec=_spec,
    module=_module,
    sizes=PlksrSizes,
    examples=(
        *map(_SMALL.spec, (1, 2, 3, 4)),
        PlksrSizes(features=8, blocks=1, mixer="DCCM", kernel=3, partial=4, attention=False).spec(2),
        PlksrSizes(features=8, blocks=1, mixer="ICCM", kernel=3, partial=4).spec(4, channels=1),
    ),
    initialise=draw,
)

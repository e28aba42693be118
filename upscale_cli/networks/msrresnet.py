"""MSRResNet (BasicSR, OpenMMLab, KAIR): SRResNet without BatchNorm, plus a bilinear enlargement of the input."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks.architecture import (
    Architecture,
    NetworkSpec,
    Positive,
    Sizes,
    StateDict,
    convolution,
    count,
    doublings,
    draw_scaled_he,
    renamed,
)

SLOPE = 0.1
INITIAL_SCALE = 0.1


class ResidualBlock(nn.Module):
    """Two convolutions and a residual."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` plus the residual, of the same shape."""
        residual: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + residual


class MSRResNet(nn.Module):
    """Residual blocks at LR size, then a convolution and a pixel shuffle by ``factor``, ``steps`` times."""

    def __init__(
        self, in_channels: int, out_channels: int, features: int, blocks: int, steps: int, factor: int
    ) -> None:
        super().__init__()
        self.steps, self.factor = steps, factor
        self.conv_first = nn.Conv2d(in_channels, features, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        for number in range(1, steps + 1):
            setattr(self, f"upconv{number}", nn.Conv2d(features, features * factor**2, 3, padding=1))
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, out_channels, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, out, factor^steps·H, factor^steps·W) of ``lr``, (N, C, H, W) in [0, 1]."""
        features: Tensor = self.body(F.leaky_relu(self.conv_first(lr), SLOPE))
        for number in range(1, self.steps + 1):
            shuffled = F.pixel_shuffle(getattr(self, f"upconv{number}")(features), self.factor)
            features = F.leaky_relu(shuffled, SLOPE)
        residual: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(features), SLOPE))
        enlarged = F.interpolate(lr, scale_factor=float(self.factor**self.steps), mode="bilinear", align_corners=False)
        return residual + enlarged


_OTHER_LAYOUTS = (
    (r"^(?:trunk_net|recon_trunk)\.(\d+)\.", r"body.\1."),
    (r"^upsample(\d+)\.upsample_conv\.", r"upconv\1."),
    (r"^HRconv\.", "conv_hr."),
)


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return the state under BasicSR's keys, from OpenMMLab's (``trunk_net``) and KAIR's (``recon_trunk``)."""
    return renamed(state, _OTHER_LAYOUTS)


def _detect(state: StateDict) -> bool:
    return "body.0.conv1.weight" in state and "conv_first.weight" in state and "upconv1.weight" in state


def _spec(state: StateDict) -> NetworkSpec:
    features, in_channels = convolution(state, "conv_first.weight")
    out_channels, _ = convolution(state, "conv_last.weight")
    made, _ = convolution(state, "upconv1.weight")
    blocks = count(state, r"^body\.(\d+)\.conv1\.weight$")
    steps = count(state, r"^upconv(\d+)\.weight$")
    factor = math.isqrt(made // features)
    if factor**2 * features != made or factor == 0:
        raise ValueError("upconv1 does not fit any scale")
    if out_channels != in_channels:  # the enlarged input is added to the result
        raise ValueError(f"{in_channels} channels go in and {out_channels} come out")
    return _described(in_channels, features, blocks, steps, factor)


def _described(channels: int, features: int, blocks: int, steps: int, factor: int) -> NetworkSpec:
    tail = 2  # of the last two convolutions, in output pixels
    for _ in range(steps):
        tail = math.ceil(tail / factor) + 1
    return NetworkSpec(
        architecture="msrresnet",
        scale=factor**steps,
        in_channels=channels,
        out_channels=channels,
        receptive_radius=1 + 2 * blocks + tail,
        hyperparameters={"features": features, "blocks": blocks, "steps": steps, "factor": factor},
    )


class MSRResNetSizes(Sizes, frozen=True):
    """``blocks``: residual ones, of two convolutions each."""

    features: Positive = 64
    blocks: Positive = 16

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes; the scale is 3 or a power of two."""
        steps, factor = (1, 3) if scale == 3 else (doublings(scale), 2)
        return _described(channels, self.features, self.blocks, steps, factor)


def _module(spec: NetworkSpec) -> nn.Module:
    return MSRResNet(spec.in_channels, spec.out_channels, **spec.hyperparameters)


MSRRESNET = Architecture(
    name="msrresnet",
    canonical=_canonical,
    detect=_detect,
    spec=_spec,
    module=_module,
    sizes=MSRResNetSizes,
    examples=(
        MSRResNetSizes(features=6, blocks=2).spec(4),
        MSRResNetSizes(features=6, blocks=2).spec(3),
        MSRResNetSizes(features=6, blocks=1).spec(2),
    ),
    initialise=lambda module: draw_scaled_he(module, INITIAL_SCALE),
)

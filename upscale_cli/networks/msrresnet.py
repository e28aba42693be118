"""MSRResNet (BasicSR, OpenMMLab, KAIR): SRResNet without BatchNorm, plus a bilinear enlargement of the input."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks.architecture import Architecture, NetworkSpec, StateDict, convolution, count, renamed

SLOPE = 0.1


class ResidualBlock(nn.Module):
    """Two convolutions and a residual."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + residual


class MSRResNet(nn.Module):
    """(N, C, H, W) in [0, 1] to (N, out, factor^steps·H, …)."""

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
    """BasicSR's keys, from OpenMMLab's (``trunk_net``) and KAIR's (``recon_trunk``)."""
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
    return NetworkSpec(
        architecture="msrresnet",
        scale=factor**steps,
        in_channels=in_channels,
        out_channels=out_channels,
        receptive_radius=_radius(blocks, steps, factor),
        hyperparameters={"features": features, "blocks": blocks, "steps": steps, "factor": factor},
    )


def _radius(blocks: int, steps: int, factor: int) -> int:
    tail = 2  # of the last two convolutions, in output pixels
    for _ in range(steps):
        tail = math.ceil(tail / factor) + 1
    return 1 + 2 * blocks + tail


def _module(spec: NetworkSpec) -> nn.Module:
    return MSRResNet(spec.in_channels, spec.out_channels, **spec.hyperparameters)


MSRRESNET = Architecture("msrresnet", _canonical, _detect, _spec, _module)

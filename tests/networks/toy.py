"""An architecture as a newcomer writes it: one file. Its single convolution predicts what nearest enlargement lacks."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict


class Toy(nn.Module):
    """(N, C, H, W) in [0, 1] to (N, C, scale·H, scale·W)."""

    def __init__(self, channels: int, scale: int, side: int) -> None:
        super().__init__()
        self.scale = scale
        self.only = nn.Conv2d(channels, channels * scale**2, side, padding=side // 2)

    def forward(self, lr: Tensor) -> Tensor:
        enlarged = F.interpolate(lr, scale_factor=float(self.scale), mode="nearest")
        return enlarged + F.pixel_shuffle(self.only(lr), self.scale)


class ToySizes(Sizes, frozen=True):
    side: Positive = 3

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        if self.side % 2 == 0:
            raise ValueError("needs an odd side")
        return NetworkSpec("toy", scale, channels, channels, self.side // 2, hyperparameters={"side": self.side})


def _spec(state: StateDict) -> NetworkSpec:
    made, channels = keys.convolution(state, "only.weight")
    return ToySizes(side=state["only.weight"].shape[-1]).spec(math.isqrt(made // channels), channels)


def _start_as_nearest(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


TOY = Architecture(
    name="toy",
    canonical=dict,
    detect=lambda state: "only.weight" in state,
    spec=_spec,
    module=lambda spec: Toy(spec.in_channels, spec.scale, **spec.hyperparameters),
    sizes=ToySizes,
    examples=(ToySizes(side=5).spec(3),),
    initialise=_start_as_nearest,
)

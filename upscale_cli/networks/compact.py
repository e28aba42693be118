"""SRVGGNetCompact (Wang et al. 2021, Real-ESRGAN): plain convolutions at LR size, one pixel shuffle at the end."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.branches import BranchedConv, convolution, drawn, folded, refuse_branches, unfolded
from upscale_cli.networks.upsamplers import OntoNearest, shuffle_scale

_CONVOLUTIONS = r"body\.\d+"


class Compact(nn.Module):
    """A body of plain convolutions that predicts what nearest enlargement lacks."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: int,
        convolutions: int,
        scale: int,
        convolve: Callable[[int, int], nn.Module] = convolution,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolve(in_channels, features), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [convolve(features, features), nn.PReLU(features)]
        layers.append(convolution(features, out_channels * scale**2))
        self.body = nn.Sequential(*layers)
        self.scale = scale
        self.enlarge: nn.Module = OntoNearest(scale)

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``lr``, (N, C, H, W) in [0, 1]."""
        result: Tensor = self.enlarge(self.body(lr), lr)
        return result


def _detect(state: StateDict) -> bool:
    first, activation = state.get("body.0.weight"), state.get("body.1.weight")
    if first is None or activation is None:
        return False
    return first.ndim == 4 and activation.ndim == 1 and all(key.startswith("body.") for key in state)


def _expanded(wanted: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    if _detect(folded(state, _CONVOLUTIONS)):
        state = _deepened(state, wanted.hyperparameters["convolutions"])
    numbers = sorted(
        int(match[1])
        for key, tensor in state.items()
        if (match := re.match(r"body\.(\d+)\.weight$", key)) and tensor.ndim == 4
    )
    return unfolded(state, [f"body.{number}" for number in numbers[:-1]], drawn())


def _deepened(state: StateDict, convolutions: int) -> dict[str, Tensor]:
    """Return a body of so many convolutions, where it had fewer.

    New ones stand before the last of them, and pass on what they get (Net2DeeperNet, Chen et al. 2016).
    """
    number_of = {key: int(key.split(".")[1]) for key in state}
    last = max(number_of.values())
    room = 2 * max(convolutions - (last // 2 - 1), 0)  # each has an activation
    first_new = max(last - 2, 2)  # behind the first one, where the body has none
    moved = {key: number + room if number >= first_new else number for key, number in number_of.items()}
    deeper = {key.replace(f".{number_of[key]}.", f".{moved[key]}.", 1): tensor for key, tensor in state.items()}
    features = state["body.1.weight"].shape[0]
    for number in range(first_new, first_new + room, 2):
        deeper[f"body.{number}.weight"] = nn.init.dirac_(torch.empty(features, features, 3, 3))
        deeper[f"body.{number}.bias"] = torch.zeros(features)
        deeper[f"body.{number + 1}.weight"] = torch.ones(features)
    return deeper


def _spec(state: StateDict) -> NetworkSpec:
    refuse_branches(state, _CONVOLUTIONS)
    layers = keys.count(state, r"^body\.(\d+)\.weight$")
    features, in_channels = keys.convolution(state, "body.0.weight")
    # As many channels come out as went in, so what the last convolution makes is channels · scale².
    scale = shuffle_scale(state, f"body.{layers - 1}.weight", in_channels)
    return CompactSizes(features=features, blocks=layers // 2 - 1).spec(scale, in_channels)


class CompactSizes(Sizes, frozen=True):
    """``blocks``: the convolutions between the first and the last one."""

    features: Positive = 64
    blocks: Positive = 16

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for any scale."""
        sizes = {"features": self.features, "convolutions": self.blocks}
        return NetworkSpec("compact", scale, channels, channels, self.blocks + 2, hyperparameters=sizes)


_SMALL = CompactSizes(features=6, blocks=3)
COMPACT = Architecture(
    name="compact",
    detect=_detect,
    spec=_spec,
    module=lambda spec: Compact(spec.in_channels, spec.out_channels, scale=spec.scale, **spec.hyperparameters),
    sizes=CompactSizes,
    canonical=lambda state: folded(state, _CONVOLUTIONS),
    training=lambda spec: Compact(
        spec.in_channels, spec.out_channels, scale=spec.scale, **spec.hyperparameters, convolve=BranchedConv
    ),
    expanded=_expanded,
    branched=False,
    examples=(*map(_SMALL.spec, (1, 2, 3, 4)), CompactSizes(features=6, blocks=2).spec(4, channels=1)),
)

"""SRVGGNetCompact (Wang et al. 2021, Real-ESRGAN): plain convolutions at LR size, one pixel shuffle at the end.

The last convolution before the one that makes the pixels may have fewer features than the others. In the published
layout they are as many, and those beyond are zeros, which cost other programs time and change nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
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
        last_features: int | None = None,
        convolve: Callable[[int, int], nn.Module] = convolution,
    ) -> None:
        super().__init__()
        widths = [in_channels, *[features] * convolutions, last_features or features]
        layers: list[nn.Module] = []
        for seen, made in pairwise(widths):
            layers += [convolve(seen, made), nn.PReLU(made)]
        layers.append(convolution(widths[-1], out_channels * scale**2))
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
        state = _grown(state, **wanted.hyperparameters)
    numbers = sorted(
        int(match[1])
        for key, tensor in state.items()
        if (match := re.match(r"body\.(\d+)\.weight$", key)) and tensor.ndim == 4
    )
    return unfolded(state, [f"body.{number}" for number in numbers[:-1]], drawn())


def _grown(state: StateDict, convolutions: int, features: int, last_features: int | None = None) -> dict[str, Tensor]:
    """Return a body of these sizes and the same result, where it had fewer convolutions."""
    end = _end(state)
    made, last = state[f"body.{end}.weight"].shape[:2]
    deep_enough = end >= 2 * (convolutions + 1)
    if last_features is None or last_features < made or last != features or deep_enough:
        return _deepened(state, convolutions)
    return with_narrow_end(_deepened(state, convolutions - 1), last_features)


def _end(state: StateDict) -> int:
    """Return the number of the convolution that makes the pixels, of as many layers as any network has."""
    numbers = (re.match(r"body\.(\d{1,4})\.", key) for key in state)
    return max((int(match[1]) for match in numbers if match), default=0)


def lacks_narrow_end(spec: NetworkSpec, wanted: NetworkSpec) -> bool:
    """Return whether ``wanted`` is the compact network ``spec`` with one convolution more at the end, a narrow one."""
    sizes = dict(wanted.hyperparameters)
    if wanted.architecture != "compact" or sizes.pop("last_features", 0) < wanted.out_channels * wanted.scale**2:
        return False
    sizes["convolutions"] -= 1
    return replace(wanted, hyperparameters=sizes, receptive_radius=spec.receptive_radius) == spec


def with_narrow_end(state: StateDict, features: int) -> dict[str, Tensor]:
    """Return a body with one convolution more before its end, of so many features, and the same result.

    The new end passes on what the former one makes; features beyond these are drawn, and at first unused.
    """
    end = _end(state)
    weight, bias = state[f"body.{end}.weight"], state[f"body.{end}.bias"]
    made, seen = weight.shape[:2]
    unused = torch.empty(features - made, seen, 3, 3)
    if len(unused):
        nn.init.kaiming_uniform_(unused, math.sqrt(5), generator=torch.Generator().manual_seed(0))  # as nn.Conv2d does
    return {
        **state,
        f"body.{end}.weight": torch.cat((weight, unused.to(weight))),
        f"body.{end}.bias": F.pad(bias, (0, features - made)),
        f"body.{end + 1}.weight": torch.cat((torch.ones(made), torch.full((features - made,), 0.25))).to(bias),
        f"body.{end + 2}.weight": nn.init.dirac_(torch.empty(made, features, 3, 3)).to(weight),
        f"body.{end + 2}.bias": torch.zeros_like(bias),
    }


def _along_last_features(state: StateDict) -> dict[str, int]:
    """Return the keys of the tensors that the last features before the end have a part in, and along which side."""
    end = _end(state)
    return {
        f"body.{end - 2}.weight": 0,
        f"body.{end - 2}.bias": 0,
        f"body.{end - 1}.weight": 0,
        f"body.{end}.weight": 1,
    }


def _trimmed(state: StateDict) -> dict[str, Tensor]:
    """Return the body without those of the last features that are always zero."""
    sides = _along_last_features(state)
    parts = [state.get(key) for key in sides]
    plain = [part for part in parts if part is not None and part.layout is torch.strided]
    if not _detect(state) or [part.ndim for part in plain] != [4, 1, 1, 4]:
        return dict(state)
    if len({part.shape[side] for part, side in zip(plain, sides.values(), strict=True)}) > 1:
        return dict(state)
    used = (plain[0].flatten(1) != 0).any(1) | (plain[1] != 0)
    if used.all() or not used.any():
        return dict(state)
    kept = used.nonzero()[:, 0]
    return {**state, **{key: state[key].index_select(side, kept) for key, side in sides.items()}}


def _published(spec: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return the body with zeros, so that the last features are as many as the others."""
    filled = dict(state)
    for key, side in _along_last_features(state).items():
        shape = list(state[key].shape)
        shape[side] = spec.hyperparameters["features"] - shape[side]
        filled[key] = torch.cat((state[key], state[key].new_zeros(shape)), side)
    return filled


def _deepened(state: StateDict, convolutions: int) -> dict[str, Tensor]:
    """Return a body of so many convolutions, where it had fewer.

    New ones stand before the last of them, and pass on what they get (Net2DeeperNet, Chen et al. 2016).
    """
    number_of, last = {key: int(key.split(".")[1]) for key in state}, _end(state)
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
    last, _ = keys.convolution(state, f"body.{layers - 3}.weight")
    return CompactSizes(features=features, blocks=layers // 2 - 1, last_features=last).spec(scale, in_channels)


class CompactSizes(Sizes, frozen=True):
    """``blocks``: the convolutions between the first and the last one; ``last_features``: those of the last of them."""

    features: Positive = 64
    blocks: Positive = 16
    last_features: Positive | None = None

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for any scale. Raises ValueError for more last features than others."""
        sizes = {"features": self.features, "convolutions": self.blocks}
        if self.last_features not in (None, self.features):
            if self.last_features > self.features:
                raise ValueError(f"has last_features = {self.last_features}, more than its features")
            sizes["last_features"] = self.last_features
        return NetworkSpec("compact", scale, channels, channels, self.blocks + 2, hyperparameters=sizes)


_SMALL = CompactSizes(features=6, blocks=3)
COMPACT = Architecture(
    name="compact",
    detect=_detect,
    spec=_spec,
    module=lambda spec: Compact(spec.in_channels, spec.out_channels, scale=spec.scale, **spec.hyperparameters),
    sizes=CompactSizes,
    canonical=lambda state: _trimmed(folded(state, _CONVOLUTIONS)),
    training=lambda spec: Compact(
        spec.in_channels, spec.out_channels, scale=spec.scale, **spec.hyperparameters, convolve=BranchedConv
    ),
    expanded=_expanded,
    branched=False,
    published=_published,
    examples=(
        *map(_SMALL.spec, (1, 2, 3, 4)),
        CompactSizes(features=6, blocks=2).spec(4, channels=1),
        CompactSizes(features=6, blocks=2, last_features=4).spec(2),
    ),
)

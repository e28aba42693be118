"""A compact network that is given how the picture was degraded: after each convolution, channels scaled and shifted.

The scales and shifts come from a small perceptron of the conditions (Dumoulin et al. 2018, "Feature-wise
transformations"; SRMD, Zhang et al. 2018, and IKC, Gu et al. 2019, give super-resolution networks the kernel so). For
one picture they are constants, so that ``folded`` gives a plain compact network, which is as fast as any and which
other programs open. A picture that was only downsampled bicubically has the conditions 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, StateDict
from upscale_cli.networks.compact import COMPACT, Compact, CompactSizes

CONDITIONS = ("jpeg", "noise", "blur rows", "blur mixed", "blur columns")
WITHOUT_BLUR = 2  # so many of them do networks take that are not given the blur
WIDTH = 64  # of the perceptron
WEAKEST_STEP = 10.0  # percent of the quantisation table of quality 50; about quality 95
NOISE_UNIT = 25.0  # levels of 255

Blur = tuple[float, float, float]
# The Gaussian that passes about what bicubic downsampling passes, by the spectra of pictures downsampled so.
BICUBIC: Blur = (0.16, 0.0, 0.16)


def conditions(jpeg_quality: float | None = None, noise: float = 0, blur: Blur = BICUBIC) -> tuple[float, ...]:
    """Return the conditions of a picture: its JPEG compression, its noise, and the blur it was downsampled with.

    ``jpeg_quality``: 1 to 100 on the scale of the Independent JPEG Group, None for a picture that was not compressed;
    the condition is 1 at quality 50, by the logarithm of how coarse the quantisation is. ``noise``: standard deviation
    in levels of 255. ``blur``: the kernel's covariance by rows, mixed and by columns, in squared LR pixels.
    """
    of_blur = (is_now - of_bicubic for is_now, of_bicubic in zip(blur, BICUBIC, strict=True))
    if jpeg_quality is None:
        return 0.0, noise / NOISE_UNIT, *of_blur
    coarse = coarseness(min(max(jpeg_quality, 1.0), 100.0))
    return math.log1p(coarse / WEAKEST_STEP) / math.log1p(100 / WEAKEST_STEP), noise / NOISE_UNIT, *of_blur


def coarseness(quality: float) -> float:
    """Return to how many percent of the tables of quality 50 libjpeg scales them, for a quality of 1 to 100."""
    return 5000 / quality if quality < 50 else 200 - 2 * quality


class Conditioned(Compact):
    """``Compact``, each convolution's channels scaled and shifted by what the first ``given`` conditions say."""

    def __init__(
        self, in_channels: int, out_channels: int, features: int, convolutions: int, scale: int, given: int
    ) -> None:
        super().__init__(in_channels, out_channels, features, convolutions, scale)
        channels = [layer.out_channels for layer in self.body if isinstance(layer, nn.Conv2d)]
        self.given = given
        self.condition = nn.Sequential(
            nn.Linear(given, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(),
            nn.Linear(WIDTH, 2 * sum(channels)),
        )  # fmt: skip

    def forward(self, lr: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``lr``, (N, C, H, W) in [0, 1], and ``conditions``, (N, 5) or none: 0."""
        given = lr.new_zeros(lr.shape[0], self.given) if conditions is None else conditions[:, : self.given]
        changes, x = self.condition(given), lr
        for layer in self.body:
            x = layer(x)
            if isinstance(layer, nn.Conv2d):
                change, changes = changes[:, : 2 * x.shape[1], None, None], changes[:, 2 * x.shape[1] :]
                gain, shift = change.chunk(2, 1)
                x = torch.addcmul(x + shift, x, gain)
        result: Tensor = self.enlarge(x, lr)
        return result


@torch.no_grad()
def folded(state: StateDict, values: Sequence[float]) -> dict[str, Tensor]:
    """Return the tensors of the compact network that a conditioned one, under canonical keys, is for these conditions.

    Their precision is that of ``state``. Raises WeightsError nowhere: ``recognise`` has checked the tensors.
    """
    layers = [state[f"condition.{number}.{part}"].double() for number in (0, 2, 4) for part in ("weight", "bias")]
    hidden = F.silu(F.linear(torch.tensor(values, dtype=torch.float64)[: layers[0].shape[1]], *layers[:2]))
    changes = F.linear(F.silu(F.linear(hidden, *layers[2:4])), *layers[4:])
    plain = {key: tensor for key, tensor in state.items() if key.startswith("body.")}
    for number in sorted(int(match[1]) for key in plain if (match := re.match(r"body\.(\d+)\.bias$", key))):
        weight, bias = plain[f"body.{number}.weight"], plain[f"body.{number}.bias"]
        gain, shift = changes[: len(bias)] + 1, changes[len(bias) : 2 * len(bias)]
        changes = changes[2 * len(bias) :]
        plain[f"body.{number}.weight"] = (weight * gain[:, None, None, None]).to(weight.dtype)
        plain[f"body.{number}.bias"] = (bias * gain + shift).to(bias.dtype)
    return plain


def _detect(state: StateDict) -> bool:
    prefixes = {key.split(".")[0] for key in state}
    return prefixes == {"body", "condition"} and "condition.0.weight" in state and "body.1.weight" in state


def _spec(state: StateDict) -> NetworkSpec:
    body = {key: tensor for key, tensor in state.items() if key.startswith("body.")}
    taken = state["condition.0.weight"].shape[-1]
    if taken not in (WITHOUT_BLUR, len(CONDITIONS)):
        raise ValueError(f"it takes {taken} conditions, not {WITHOUT_BLUR} or {len(CONDITIONS)}")
    return _described(COMPACT.spec(body), taken)


def _described(compact: NetworkSpec, given: int) -> NetworkSpec:
    """Return the spec of the network whose body is the network ``compact`` and which takes ``given`` conditions."""
    return replace(compact, architecture="conditioned", conditions=CONDITIONS[:given])


class ConditionedSizes(CompactSizes, frozen=True):
    """``blocks``: the convolutions between the first and the last one. ``blur``: whether it is given the blur too."""

    blocks: Positive = 8
    blur: bool = False

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for any scale."""
        return _described(super().spec(scale, channels), len(CONDITIONS) if self.blur else WITHOUT_BLUR)


def _module(spec: NetworkSpec) -> nn.Module:
    given = len(spec.conditions)
    return Conditioned(spec.in_channels, spec.out_channels, scale=spec.scale, given=given, **spec.hyperparameters)


def _expanded(wanted: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return the tensors of a conditioned network, which so far takes no notice of conditions that ``state`` lacks."""
    given = len(wanted.conditions)
    if _detect(state):
        first = state["condition.0.weight"]
        missing = max(0, given - first.shape[1])
        return {**state, "condition.0.weight": F.pad(first, (0, missing))}
    if not COMPACT.detect(state):
        return dict(state)
    spec = _described(COMPACT.spec(state), given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = _module(spec)
    _start_plain(module)
    return {**module.state_dict(), **state}


def _start_plain(module: nn.Module) -> None:
    """Let the conditions change nothing at first."""
    assert isinstance(module, Conditioned)
    for tensor in module.condition[-1].parameters():
        nn.init.zeros_(tensor)


_SMALL = ConditionedSizes(features=6, blocks=3)
CONDITIONED = Architecture(
    name="conditioned",
    detect=_detect,
    spec=_spec,
    module=_module,
    sizes=ConditionedSizes,
    examples=(
        *map(_SMALL.spec, (1, 2, 3, 4)),
        ConditionedSizes(features=6, blocks=2).spec(4, channels=1),
        ConditionedSizes(features=6, blocks=2, blur=True).spec(2),
    ),
    initialise=_start_plain,
    expanded=_expanded,
)

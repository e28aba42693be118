"""SPAN (Wan et al. 2024, arXiv:2311.12770): six blocks of 3×3 convolutions whose result is its own attention.

In training every 3×3 convolution is four: a 1×1 that doubles the channels, a 3×3, a 1×1 that halves them, and a 1×1
beside them. Together they are one 3×3 convolution, and ``canonical`` folds them into it. The ``eval_conv`` that files
hold beside the four is the result of some former fold and counts only where the four are missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from msgspec.structs import asdict
from torch import Tensor, nn

from upscale_cli.networks import keys
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Positive, Sizes, StateDict
from upscale_cli.networks.edsr import RGB_MEAN
from upscale_cli.networks.upsamplers import shuffle_scale

BLOCKS = 6
RANGE = 255.0
GAIN = 2
BRANCHES = ("conv.0", "conv.1", "conv.2", "sk")
_CONVOLUTIONS = r"conv_[12]|block_\d+\.c\d_r"
_BRANCH = re.compile(rf"({_CONVOLUTIONS})\.(?:sk|conv\.\d|eval_conv)\.")


def _plain(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


class BranchedConv(nn.Module):
    """A 3×3 convolution that is trained as four. They are folded before they are applied, not after.

    So the border is the same in training and afterwards: zeros around the input, not around inner features.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.sk = nn.Conv2d(in_channels, out_channels, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, GAIN * in_channels, 1),
            nn.Conv2d(GAIN * in_channels, GAIN * out_channels, 3),
            nn.Conv2d(GAIN * out_channels, out_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H, W)."""
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            weight, bias = _folded(dict(self.named_parameters()))
        return F.conv2d(x, weight, bias, padding=1)


class Block(nn.Module):
    """Three convolutions; their result is also, through an odd activation, the attention on itself and the input."""

    def __init__(self, features: int, convolve: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.c1_r = convolve(features, features)
        self.c2_r = convolve(features, features)
        self.c3_r = convolve(features, features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result and the first convolution's activation, both of the shape of ``x``."""
        first = F.silu(self.c1_r(x))
        last = self.c3_r(F.silu(self.c2_r(first)))
        return (last + x) * (torch.sigmoid(last) - 0.5), first


class Span(nn.Module):
    """Six blocks at LR size, four of their features joined, and one pixel shuffle."""

    no_norm: Tensor

    def __init__(
        self, channels: int, scale: int, features: int, norm: bool, convolve: Callable[[int, int], nn.Module] = _plain
    ) -> None:
        super().__init__()
        self.norm = norm
        if not norm:
            self.register_buffer("no_norm", torch.zeros(1))  # how files say so
        self.conv_1 = convolve(channels, features)
        for number in range(1, BLOCKS + 1):
            setattr(self, f"block_{number}", Block(features, convolve))
        self.conv_cat = nn.Conv2d(4 * features, features, 1)
        self.conv_2 = convolve(features, features)
        self.upsampler = nn.Sequential(nn.Conv2d(features, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``lr``, (N, C, H, W) in [0, 1]."""
        if self.norm:
            lr = (lr - lr.new_tensor(RGB_MEAN).view(1, 3, 1, 1)) * RANGE
        results = [self.conv_1(lr)]
        for number in range(1, BLOCKS + 1):
            features, activation = getattr(self, f"block_{number}")(results[-1])
            results.append(features)
        joined = torch.cat((results[0], self.conv_2(results[-1]), results[1], activation), 1)
        result: Tensor = self.upsampler(self.conv_cat(joined))
        return result


def _folded(branches: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return (weight, bias) of the 3×3 convolution that the four of ``BRANCHES`` make."""
    before, after = branches["conv.0.weight"][:, :, 0, 0], branches["conv.2.weight"][:, :, 0, 0]
    middle = branches["conv.1.weight"]
    weight = torch.einsum("om,mnyx,ni->oiyx", after, middle, before) + F.pad(branches["sk.weight"], (1, 1, 1, 1))
    inside = middle.sum((2, 3)) @ branches["conv.0.bias"] + branches["conv.1.bias"]
    return weight, after @ inside + branches["conv.2.bias"] + branches["sk.bias"]


def _canonical(state: StateDict) -> dict[str, Tensor]:
    """Return plain convolutions in fp32, from the branches, or from ``eval_conv`` where there are none."""
    canonical = dict(state)
    for base in sorted({match[1] for key in state if (match := _BRANCH.match(key))}):
        own = {key.removeprefix(f"{base}."): canonical.pop(key) for key in state if key.startswith(f"{base}.")}
        former = {key.removeprefix("eval_conv."): own.pop(key) for key in list(own) if key.startswith("eval_conv.")}
        if _fit(own):
            former["weight"], former["bias"] = _folded({key: tensor.float() for key, tensor in own.items()})
            own = {}
        canonical |= {f"{base}.{key}": tensor for key, tensor in (own or former).items()}
    return canonical


def _fit(branches: StateDict) -> bool:
    """Return whether these are all tensors of the four convolutions, of shapes that can be folded."""
    if branches.keys() != {f"{name}.{part}" for name in BRANCHES for part in ("weight", "bias")}:
        return False
    out, seen = branches["sk.weight"].shape[:2] if branches["sk.weight"].ndim == 4 else (0, 0)
    shapes = {"conv.0": (GAIN * seen, seen, 1, 1), "conv.1": (GAIN * out, GAIN * seen, 3, 3)}
    shapes |= {"conv.2": (out, GAIN * out, 1, 1), "sk": (out, seen, 1, 1)}
    return all(
        branches[f"{name}.weight"].shape == shape and branches[f"{name}.bias"].shape == shape[:1]
        for name, shape in shapes.items()
    )


def _expanded(_: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return branches that fold into the plain convolutions: the outer two drawn, the inner one solved for."""
    generator = torch.Generator().manual_seed(0)
    return _unfolded(state, lambda rows, columns: torch.randn(rows, columns, generator=generator) / math.sqrt(columns))


def _published(_: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return branches whose outer ones copy, so that nothing is rounded, and the plain convolutions beside them."""
    unfolded = _unfolded(state, torch.eye)
    for key in sorted(state.keys() - unfolded.keys()):
        base, part = key.rsplit(".", 1)
        unfolded[f"{base}.eval_conv.{part}"] = state[key]
    return unfolded


def _unfolded(state: StateDict, outer: Callable[[int, int], Tensor]) -> dict[str, Tensor]:
    """Return branches that fold into the plain convolutions: the outer two from ``outer``, the inner one solved for."""
    expanded = dict(state)
    for key in state:
        match = re.match(rf"({_CONVOLUTIONS})\.weight$", key)
        if match and state[key].ndim == 4 and f"{match[1]}.bias" in state:
            base, weight, bias = match[1], expanded.pop(key).float(), expanded.pop(f"{match[1]}.bias")
            out, seen = weight.shape[:2]
            before, after = outer(GAIN * seen, seen), outer(out, GAIN * out)
            inner = torch.einsum("mo,oiyx,in->mnyx", torch.linalg.pinv(after), weight, torch.linalg.pinv(before))
            weights = {"conv.0": before[:, :, None, None], "conv.1": inner, "conv.2": after[:, :, None, None]}
            weights["sk"] = torch.zeros(out, seen, 1, 1)
            for name, tensor in weights.items():
                expanded[f"{base}.{name}.weight"] = tensor
                expanded[f"{base}.{name}.bias"] = bias if name == "sk" else torch.zeros(tensor.shape[0])
    return expanded


def _detect(state: StateDict) -> bool:
    return "conv_cat.weight" in state and any(key.startswith("block_1.c1_r.") for key in state)


def _spec(state: StateDict) -> NetworkSpec:
    unfolded = next((match[1] for key in state if (match := _BRANCH.match(key))), None)
    if unfolded is not None:
        raise ValueError(f"the branches of {unfolded} are incomplete or do not fit together")
    features, channels = keys.convolution(state, "conv_1.weight")
    scale = shuffle_scale(state, "upsampler.0.weight", channels)
    return SpanSizes(features=features, norm="no_norm" not in state).spec(scale, channels)


class SpanSizes(Sizes, frozen=True):
    """``norm``: whether the mean of RGB pictures is subtracted first, and 255 the range inside."""

    features: Positive = 48
    norm: bool = True

    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes, for any scale."""
        if self.norm and channels != len(RGB_MEAN):
            raise ValueError(f"subtracts the mean of RGB pictures, and {channels} channels go in")
        radius = 1 + 3 * BLOCKS + 2
        return NetworkSpec("span", scale, channels, channels, radius, hyperparameters=asdict(self))


_SMALL = SpanSizes(features=6, norm=False)
SPAN = Architecture(
    name="span",
    canonical=_canonical,
    detect=_detect,
    spec=_spec,
    module=lambda spec: Span(spec.in_channels, spec.scale, **spec.hyperparameters),
    sizes=SpanSizes,
    examples=(*map(_SMALL.spec, (1, 2, 3, 4)), SpanSizes(features=4).spec(4), _SMALL.spec(2, channels=1)),
    training=lambda spec: Span(spec.in_channels, spec.scale, **spec.hyperparameters, convolve=BranchedConv),
    expanded=_expanded,
    published=_published,
)

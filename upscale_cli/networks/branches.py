"""3×3 convolutions that are trained as four (SPAN, Wan et al. 2024, figure 3), and run as what they are together.

The four: a 1×1 that doubles the channels, a 3×3, a 1×1 that halves them, and a 1×1 beside them. Together they are one
3×3 convolution, and ``folded`` makes it of them. The ``eval_conv`` that files hold beside the four is the result of
some former fold and counts only where the four are missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks.architecture import StateDict

GAIN = 2
BRANCHES = ("conv.0", "conv.1", "conv.2", "sk")
Outer = Callable[[int, int], Tensor]


def convolution(in_channels: int, out_channels: int) -> nn.Module:
    """Return a plain 3×3 convolution that keeps the size."""
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
            weight, bias = _fold(dict(self.named_parameters()))
        return F.conv2d(x, weight, bias, padding=1)


def folded(state: StateDict, names: str) -> dict[str, Tensor]:
    """Return plain convolutions in fp32, from the branches, or from ``eval_conv`` where there are none.

    ``names``: a regular expression of those that may have branches. Branches that do not fit together are left.
    """
    canonical = dict(state)
    for base in sorted({match[1] for key in state if (match := _branch(names).match(key))}):
        own = {key.removeprefix(f"{base}."): canonical.pop(key) for key in state if key.startswith(f"{base}.")}
        former = {key.removeprefix("eval_conv."): own.pop(key) for key in list(own) if key.startswith("eval_conv.")}
        if _fit(own):
            former["weight"], former["bias"] = _fold({key: tensor.float() for key, tensor in own.items()})
            own = {}
        canonical |= {f"{base}.{key}": tensor for key, tensor in (own or former).items()}
    return canonical


def refuse_branches(canonical: StateDict, names: str) -> None:
    """Raise ValueError where ``folded`` had to leave branches."""
    base = next((match[1] for key in canonical if (match := _branch(names).match(key))), None)
    if base is not None:
        raise ValueError(f"the branches of {base} are incomplete or do not fit together")


def unfolded(state: StateDict, convolutions: Iterable[str], outer: Outer) -> dict[str, Tensor]:
    """Return branches that fold into ``convolutions``: the outer two from ``outer``, the inner one solved for.

    ``outer`` gets rows and columns of a matrix. What has branches, or lacks a bias, stays as it is.
    """
    expanded = dict(state)
    for base in convolutions:
        if state[f"{base}.weight"].ndim == 4 and f"{base}.bias" in state:
            weight, bias = expanded.pop(f"{base}.weight").float(), expanded.pop(f"{base}.bias")
            out, seen = weight.shape[:2]
            before, after = outer(GAIN * seen, seen), outer(out, GAIN * out)
            inner = torch.einsum("mo,oiyx,in->mnyx", torch.linalg.pinv(after), weight, torch.linalg.pinv(before))
            weights = {"conv.0": before[:, :, None, None], "conv.1": inner, "conv.2": after[:, :, None, None]}
            weights["sk"] = torch.zeros(out, seen, 1, 1)
            for name, tensor in weights.items():
                expanded[f"{base}.{name}.weight"] = tensor
                expanded[f"{base}.{name}.bias"] = bias if name == "sk" else torch.zeros(tensor.shape[0])
    return expanded


def drawn() -> Outer:
    """Return what draws outer branches for training to go on with, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    return lambda rows, columns: torch.randn(rows, columns, generator=generator) / math.sqrt(columns)


def _branch(names: str) -> re.Pattern[str]:
    return re.compile(rf"({names})\.(?:sk|conv\.\d|eval_conv)\.")


def _fold(branches: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return (weight, bias) of the 3×3 convolution that the four of ``BRANCHES`` make."""
    before, after = branches["conv.0.weight"][:, :, 0, 0], branches["conv.2.weight"][:, :, 0, 0]
    middle = branches["conv.1.weight"]
    weight = torch.einsum("om,mnyx,ni->oiyx", after, middle, before) + F.pad(branches["sk.weight"], (1, 1, 1, 1))
    inside = middle.sum((2, 3)) @ branches["conv.0.bias"] + branches["conv.1.bias"]
    return weight, after @ inside + branches["conv.2.bias"] + branches["sk.bias"]


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

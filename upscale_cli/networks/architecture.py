"""What an architecture is: how to recognise a network in a state dict, describe it, and build it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True)
class NetworkSpec:
    """Everything needed to rebuild a network, read from its tensors alone.

    ``size_multiple``: height and width of the input must be multiples of it.
    ``receptive_radius``: how many LR pixels away an input pixel can still change an output pixel.
    """

    architecture: str
    scale: int
    in_channels: int
    out_channels: int
    receptive_radius: int
    size_multiple: int = 1
    hyperparameters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """A family of networks.

    ``canonical`` renames the keys of every known layout to one (and is idempotent); ``detect`` and ``spec`` take
    canonical keys, ``spec`` raising KeyError or ValueError where they contradict each other; ``module`` builds the
    network with fresh weights whose keys are the canonical ones.
    """

    name: str
    canonical: Callable[[StateDict], dict[str, Tensor]]
    detect: Callable[[StateDict], bool]
    spec: Callable[[StateDict], NetworkSpec]
    module: Callable[[NetworkSpec], nn.Module]


def renamed(state: StateDict, rules: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """The state dict with each key rewritten by the first of the (pattern, replacement) ``rules`` that matches."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def rename(key: str) -> str:
        matching = ((pattern, replacement) for pattern, replacement in compiled if pattern.search(key))
        pattern, replacement = next(matching, (None, ""))
        return pattern.sub(replacement, key) if pattern else key

    return {rename(key): tensor for key, tensor in state.items()}


def convolution(state: StateDict, key: str) -> tuple[int, int]:
    """(output channels, input channels) of the convolution weight ``key``. Raises KeyError or ValueError."""
    shape = state[key].shape
    if len(shape) != 4:
        raise ValueError(f"the tensor {key} of shape {tuple(shape)} is no convolution")
    return shape[0], shape[1]


def count(state: StateDict, pattern: str) -> int:
    """How many different numbers the first group of ``pattern`` takes among the keys."""
    return len({match[1] for key in state if (match := re.match(pattern, key))})

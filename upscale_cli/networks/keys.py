"""What the keys of a state dict tell, and the shapes of its tensors; and keys of other layouts renamed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from torch import Tensor

from upscale_cli.networks.architecture import StateDict

MOST_LAYERS = 1000  # in a row: building more, as a forged file may claim, takes minutes


def holds(*keys: str) -> Callable[[StateDict], bool]:
    """Return a detector of state dicts that hold all of ``keys``."""
    return lambda state: all(key in state for key in keys)


def renamed(state: StateDict, rules: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """Return the state dict, each key rewritten by the first of the (pattern, replacement) ``rules`` that matches."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def rename(key: str) -> str:
        matching = ((pattern, replacement) for pattern, replacement in compiled if pattern.search(key))
        pattern, replacement = next(matching, (None, ""))
        return pattern.sub(replacement, key) if pattern else key

    return {rename(key): tensor for key, tensor in state.items()}


def convolution(state: StateDict, key: str) -> tuple[int, int]:
    """Return (output channels, input channels) of the convolution weight ``key``. Raises KeyError or ValueError."""
    shape = state[key].shape
    if len(shape) != 4:
        raise ValueError(f"the tensor {key} of shape {tuple(shape)} is no convolution")
    return shape[0], shape[1]


def features_and_channels(state: StateDict, first: str, last: str) -> tuple[int, int]:
    """Return the features and the channels of a network that adds its enlarged input to the result.

    ``first``, ``last``: keys of its outer convolutions. Raises KeyError or ValueError.
    """
    (features, in_channels), (out_channels, _) = convolution(state, first), convolution(state, last)
    if out_channels != in_channels:
        raise ValueError(f"{in_channels} channels go in and {out_channels} come out")
    return features, in_channels


def count(state: StateDict, pattern: str) -> int:
    """Return how many different numbers the first group of ``pattern`` takes among the keys. Raises ValueError."""
    found = len({match[1] for key in state if (match := re.match(pattern, key))})
    if found > MOST_LAYERS:
        raise ValueError(f"{found} layers of one kind are more than any network has")
    return found

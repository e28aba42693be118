"""Network interpolation (Wang et al. 2018, ESRGAN, section 3.4): mixing networks tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from upscale_cli.errors import WeightsError
from upscale_cli.networks.architecture import StateDict


def interpolate(a: StateDict, b: StateDict, alpha: float, layers: str = "*") -> dict[str, Tensor]:
    """(1 - alpha)·a + alpha·b in float32, for canonical state dicts of one architecture and size.

    Tensors whose key does not match the pattern ``layers``, and counters (integer tensors), are kept from ``a``;
    alpha 0 and 1 give the tensors of ``a`` and ``b`` unchanged. Raises WeightsError naming the first tensor that
    differs, or where no key matches.
    """
    return mix((a, b), (1 - alpha, alpha), layers)


def mix(states: Sequence[StateDict], shares: Sequence[float], layers: str = "*") -> dict[str, Tensor]:
    """Σ shareᵢ·stateᵢ in float32, as ``interpolate`` does it for two; what is not mixed is kept from the first."""
    first = states[0]
    for other in states[1:]:
        _require_same_shapes(first, other)
    if not any(fnmatchcase(key, layers) for key in first):
        raise WeightsError(f"No tensor's name matches {layers!r}.", f"Names look like {next(iter(first))}.")
    return {
        key: _mix([state[key] for state in states], shares) if fnmatchcase(key, layers) else tensor
        for key, tensor in first.items()
    }


def _mix(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    if not tensors[0].is_floating_point():
        return tensors[0] if 1.0 not in shares else tensors[shares.index(1.0)]
    counting = [(tensor, share) for tensor, share in zip(tensors, shares, strict=True) if share]
    if len(counting) == 1 and counting[0][1] == 1:
        return counting[0][0]
    total = torch.zeros(tensors[0].shape, dtype=torch.float32)
    for tensor, share in counting:
        total += share * tensor.to(torch.float32)
    return total


def _require_same_shapes(a: StateDict, b: StateDict) -> None:
    difference = first_difference(a, b)
    if difference:
        raise WeightsError(
            f"The networks cannot be mixed: {difference}.", "Mix networks of the same architecture, size and scale."
        )


def first_difference(a: StateDict, b: StateDict) -> str | None:
    """The first tensor that is not of one shape in both, in words."""
    for key in [*a, *b]:
        shapes = [tuple(state[key].shape) if key in state else "missing" for state in (a, b)]
        if shapes[0] != shapes[1]:
            return f"tensor {key} is {shapes[0]} in one and {shapes[1]} in the other"
    return None

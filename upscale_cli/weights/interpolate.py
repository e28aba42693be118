"""Network interpolation (Wang et al. 2018, ESRGAN, section 3.4): mixing two networks tensor by tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from upscale_cli.errors import WeightsError
from upscale_cli.networks.architecture import StateDict


def interpolate(a: StateDict, b: StateDict, alpha: float) -> dict[str, Tensor]:
    """(1 - alpha)·a + alpha·b in float32, for canonical state dicts of one architecture and size.

    Counters (integer tensors) are kept from ``a``; alpha 0 and 1 give the tensors of ``a`` and ``b`` unchanged.
    Raises WeightsError naming the first tensor that differs.
    """
    _require_same_shapes(a, b)
    if alpha in (0, 1):
        return dict(b if alpha else a)
    return {key: _mix(tensor, b[key], alpha) for key, tensor in a.items()}


def _mix(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    if not a.is_floating_point():
        return a
    return (1 - alpha) * a.to(torch.float32) + alpha * b.to(torch.float32)


def _require_same_shapes(a: StateDict, b: StateDict) -> None:
    for key in [*a, *b]:
        shapes = [tuple(state[key].shape) if key in state else "missing" for state in (a, b)]
        if shapes[0] != shapes[1]:
            raise WeightsError(
                f"The networks cannot be mixed: tensor {key} is {shapes[0]} in one and {shapes[1]} in the other.",
                "Mix networks of the same architecture, size and scale.",
            )

"""The networks that enlarge pictures: which one a state dict holds, and how to build it."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor, nn

from upscale_cli.errors import WeightsError
from upscale_cli.networks.architecture import Architecture, NetworkSpec, StateDict
from upscale_cli.networks.compact import COMPACT
from upscale_cli.networks.enhancenet import ENHANCENET
from upscale_cli.networks.msrresnet import MSRRESNET
from upscale_cli.networks.rrdbnet import RRDBNET
from upscale_cli.networks.srresnet import SRRESNET

__all__ = ["ARCHITECTURES", "Architecture", "NetworkSpec", "StateDict", "build", "recognise"]

ARCHITECTURES: tuple[Architecture, ...] = (RRDBNET, COMPACT, SRRESNET, MSRRESNET, ENHANCENET)


def recognise(state: StateDict) -> tuple[NetworkSpec, dict[str, Tensor]]:
    """What network a state dict of any known layout holds, and its tensors under canonical keys.

    Raises WeightsError for an unknown or self-contradicting one.
    """
    for architecture in ARCHITECTURES:
        canonical = architecture.canonical(state)
        if architecture.detect(canonical):
            return _spec(architecture, canonical), canonical
    keys = ", ".join(islice(state, 5))
    known = ", ".join(architecture.name for architecture in ARCHITECTURES)
    raise WeightsError(f"The weights are of no known network (first keys: {keys}).", f"Known are: {known}.")


def _spec(architecture: Architecture, canonical: StateDict) -> NetworkSpec:
    contradiction = f"The weights look like {architecture.name}, but"
    empty = next((key for key, tensor in canonical.items() if tensor.numel() == 0), None)
    if empty is not None:
        raise WeightsError(f"{contradiction} the tensor {empty} is empty.", "Get the file again.")
    try:
        return architecture.spec(canonical)
    except KeyError as error:
        raise WeightsError(f"{contradiction} the tensor {error.args[0]} is missing.", "Get the file again.") from error
    except ValueError as error:
        raise WeightsError(f"{contradiction} {error}.", "Get the file again.") from error


def build(spec: NetworkSpec, state: StateDict | None = None) -> nn.Module:
    """The network in evaluation mode, with the canonical ``state`` loaded strictly, or with fresh weights.

    Raises WeightsError naming the first tensor that is missing, superfluous, of another shape or no plain numbers.
    """
    architecture = next(a for a in ARCHITECTURES if a.name == spec.architecture)
    if state is None:
        return architecture.module(spec).eval()
    with torch.device("meta"):  # shapes without memory: they are compared before anything is allocated
        module = architecture.module(spec)
    complete = _with_counters(module, state)
    _require_same_tensors(module, complete)
    module.load_state_dict(complete, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def _with_counters(module: nn.Module, state: StateDict) -> dict[str, Tensor]:
    """Adds BatchNorm's step counters, which files of old PyTorch versions lack and evaluation does not use."""
    counters = {key: torch.tensor(0) for key in module.state_dict() if key.endswith(".num_batches_tracked")}
    return counters | dict(state)


def _require_same_tensors(module: nn.Module, state: StateDict) -> None:
    expected = module.state_dict()
    for key in expected:
        if key not in state:
            raise WeightsError(f"The weights lack the tensor {key}.", "Get the file again.")
    for key, tensor in state.items():
        if key not in expected:
            raise WeightsError(f"The weights hold an unexpected tensor {key}.", "This variant is not supported.")
        if tensor.shape != expected[key].shape:
            shapes = f"{tuple(tensor.shape)} instead of {tuple(expected[key].shape)}"
            raise WeightsError(f"The tensor {key} has the shape {shapes}.", "This variant is not supported.")
        if expected[key].is_floating_point() and not (tensor.is_floating_point() and tensor.layout is torch.strided):
            kind = f"{tensor.dtype}, {tensor.layout}".replace("torch.", "")
            raise WeightsError(f"The tensor {key} is no plain floating-point one ({kind}).", "Get another file.")

"""The networks that enlarge pictures: which one a state dict holds, and how to build it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from upscale_cli.errors import UsageError, WeightsError
from upscale_cli.networks import conditioned, foreign
from upscale_cli.networks.architecture import Architecture, NetworkSpec, Sizes, StateDict
from upscale_cli.networks.compact import COMPACT
from upscale_cli.networks.conditioned import CONDITIONED
from upscale_cli.networks.dat import DAT
from upscale_cli.networks.edsr import EDSR
from upscale_cli.networks.enhancenet import ENHANCENET
from upscale_cli.networks.hat import HAT
from upscale_cli.networks.mosr import MOSR
from upscale_cli.networks.msrresnet import MSRRESNET
from upscale_cli.networks.plksr import PLKSR
from upscale_cli.networks.rcan import RCAN
from upscale_cli.networks.realplksr import REALPLKSR
from upscale_cli.networks.rrdbnet import RRDBNET
from upscale_cli.networks.span import SPAN
from upscale_cli.networks.srresnet import SRRESNET
from upscale_cli.networks.swinir import SWINIR

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "NetworkSpec",
    "Sizes",
    "StateDict",
    "build",
    "build_trainable",
    "draw",
    "folded",
    "named",
    "published",
    "recognise",
    "sizes",
    "spec",
]

ARCHITECTURES: tuple[Architecture, ...] = (
    RRDBNET,
    COMPACT,
    CONDITIONED,
    SRRESNET,
    MSRRESNET,
    ENHANCENET,
    SPAN,
    PLKSR,
    REALPLKSR,
    MOSR,
    EDSR,
    RCAN,
    SWINIR,
    DAT,
    HAT,
)


def recognise(state: StateDict) -> tuple[NetworkSpec, dict[str, Tensor]]:
    """Return what network a state dict of any known layout holds, and its tensors under canonical keys.

    One that is not ours goes to spandrel, where that is installed, and keeps its keys. Raises WeightsError for an
    unknown or self-contradicting one.
    """
    claims = _claims(state)
    if len(claims) > 1:
        names = " and ".join(architecture.name for architecture, _ in claims)
        raise WeightsError(f"The weights look like {names} at once.", "A file must hold one network.")
    for architecture, canonical in claims:
        return _spec(architecture, canonical), canonical
    if spec := foreign.recognise(state):
        return spec, dict(state)
    raise _unknown(state)


def _claims(state: StateDict) -> list[tuple[Architecture, dict[str, Tensor]]]:
    """Return the architectures that recognise ``state``, and it under their keys."""
    canonical = ((architecture, architecture.canonical(state)) for architecture in ARCHITECTURES)
    return [(architecture, tensors) for architecture, tensors in canonical if architecture.detect(tensors)]


def _unknown(state: StateDict) -> WeightsError:
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        prefix, _, rest = key.partition(".")
        parts.setdefault(prefix, {})[rest] = tensor
    holding = sorted(prefix for prefix, part in parts.items() if _claims(part))
    if holding:
        hint = "Save one of them alone, under keys without the prefix."
        return WeightsError(f"The weights are inside a larger file, under {', '.join(holding)}.", hint)
    keys = ", ".join(islice(state, 5))
    known = ", ".join(architecture.name for architecture in ARCHITECTURES)
    more = "and those of spandrel" if foreign.installed() else f"and with {foreign.INSTALL} more"
    return WeightsError(f"The weights are of no known network (first keys: {keys}).", f"Known are: {known}, {more}.")


def _spec(architecture: Architecture, canonical: StateDict) -> NetworkSpec:
    contradiction = f"The weights look like {architecture.name}, but"
    empty = next((key for key, tensor in canonical.items() if tensor.ndim == 4 and tensor.numel() == 0), None)
    if empty is not None:
        raise WeightsError(f"{contradiction} the tensor {empty} is empty.", "Get the file again.")
    try:
        return architecture.spec(canonical)
    except KeyError as error:
        raise WeightsError(f"{contradiction} the tensor {error.args[0]} is missing.", "Get the file again.") from error
    except ValueError as error:
        raise WeightsError(f"{contradiction} {error}.", "Get the file again.") from error


def named(name: str) -> Architecture:
    """Return the architecture of that name. Raises UsageError naming those there are."""
    for architecture in ARCHITECTURES:
        if architecture.name == name:
            return architecture
    known = ", ".join(architecture.name for architecture in ARCHITECTURES)
    raise UsageError(f"There is no architecture {name!r}.", f"There are: {known}.")


def sizes(name: str, stated: Mapping[str, Any]) -> Sizes:
    """Return the sizes of a new network of the architecture ``name``: the ``stated`` ones, others by default.

    Raises UsageError for an unknown, missing, mistyped or impossible one.
    """
    kind = named(name).sizes
    try:
        return msgspec.convert(dict(stated), kind)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$.")
        problem = problem.replace("Object contains unknown field", "there is no")
        problem = problem.replace("Object missing required field", "it needs")
        place = f"{where.removesuffix('`')}: " if where else ""
        known = ", ".join(kind.__struct_fields__)
        raise UsageError(f"The sizes of {name}: {place}{problem}.", f"They are: {known}.") from error


def spec(name: str, scale: int, stated: Mapping[str, Any]) -> NetworkSpec:
    """Return the spec of a new RGB network. Raises UsageError, also for scales that it cannot have."""
    try:
        return sizes(name, stated).spec(scale)
    except ValueError as error:
        raise UsageError(f"{name} {error}.", "Change it with --set network.KEY=VALUE.") from error


def draw(spec: NetworkSpec, branches: bool | None = None) -> nn.Module:
    """Return a network to be trained, its weights drawn as its paper draws them.

    ``branches``: whether in the form with more parameters that only training needs; None: as its architecture says.
    """
    architecture = named(spec.architecture)
    module = _trainable(architecture, branches)(spec)
    architecture.initialise(module)
    return module.train()


def build(spec: NetworkSpec, state: StateDict | None = None) -> nn.Module:
    """Return the network in evaluation mode, the canonical ``state`` loaded strictly, or with fresh weights.

    Raises WeightsError naming the first tensor that is missing, superfluous, of another shape or no plain numbers.
    """
    if spec.library and state is not None:
        return foreign.build(state).eval().requires_grad_(False)
    make = named(spec.architecture).module
    module = make(spec) if state is None else _loaded(make, spec, state)
    return module.eval().requires_grad_(state is None)


def folded(spec: NetworkSpec, state: StateDict, conditions: Sequence[float]) -> tuple[NetworkSpec, dict[str, Tensor]]:
    """Return the plain network, and its canonical tensors, that a conditioned one is under these ``conditions``.

    A network that takes no conditions is returned as it is.
    """
    return recognise(conditioned.folded(state, conditions)) if spec.conditions else (spec, dict(state))


def published(spec: NetworkSpec, state: StateDict) -> dict[str, Tensor]:
    """Return the tensors that ``recognise`` gave in the layout of the authors' files, which other programs open."""
    return dict(state) if spec.library else named(spec.architecture).published(spec, state)


def build_trainable(spec: NetworkSpec, state: StateDict, branches: bool | None = None) -> nn.Module:
    """Return the network to be trained on from copies of ``state``, canonical or its own, in fp32.

    ``branches`` as for ``draw``. Raises WeightsError as ``build`` does.
    """
    architecture = named(spec.architecture)
    copies = {key: t.detach().clone().float() if t.is_floating_point() else t.clone() for key, t in state.items()}
    module = _loaded(_trainable(architecture, branches), spec, trainable_tensors(spec, copies, branches))
    return module.requires_grad_(True).train()


def trainable_tensors(spec: NetworkSpec, state: StateDict, branches: bool | None = None) -> dict[str, Tensor]:
    """Return ``state``, canonical or that of a network to be trained, as ``build_trainable`` loads it."""
    architecture = named(spec.architecture)
    plain = architecture.training is not None and not _branched(architecture, branches)
    return architecture.canonical(state) if plain else architecture.expanded(spec, state)


def _trainable(architecture: Architecture, branches: bool | None) -> Callable[[NetworkSpec], nn.Module]:
    return (_branched(architecture, branches) and architecture.training) or architecture.module


def _branched(architecture: Architecture, wanted: bool | None) -> bool:
    return architecture.branched if wanted is None else wanted


def _loaded(make: Callable[[NetworkSpec], nn.Module], spec: NetworkSpec, state: StateDict) -> nn.Module:
    with torch.device("meta"):  # shapes without memory: they are compared before anything is allocated
        module = make(spec)
    # BatchNorm's step counters, which files of old PyTorch versions lack.
    counters = {key: torch.tensor(0) for key in module.state_dict() if key.endswith(".num_batches_tracked")}
    complete = counters | dict(state)
    _require_same_tensors(module, complete)
    module.load_state_dict(complete, strict=True, assign=True)
    return module


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

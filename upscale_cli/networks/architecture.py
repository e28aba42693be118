"""What an architecture is: how to recognise a network in a state dict, describe it, build it, and make it anew."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict
from torch import Tensor, nn

StateDict = Mapping[str, Tensor]
Positive = Annotated[int, Meta(ge=1, le=512)]
Wide = Annotated[int, Meta(ge=1, le=4096)]
Several = Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=64)]

# A receptive radius beyond any picture: of networks that average over all of it, or look where their features point.
UNBOUNDED = 2**31
# Networks whose receptive radius is larger get SHORT_HALO instead, in units of the network's own grid: so far away
# an input pixel hardly matters any more (docs/tiling.md has the measured error).
LONGEST_HALO, SHORT_HALO = 64, 32


@dataclass(frozen=True)
class NetworkSpec:
    """Everything needed to rebuild a network, read from its tensors alone.

    ``size_multiple``: height and width of the input must be multiples of it, and tiles begin on multiples of it.
    ``receptive_radius``: how many LR pixels away an input pixel can still change an output pixel; or ``UNBOUNDED``.
    ``halo``: LR pixels around a tile, where another policy than ``tile_halo``'s own holds. ``any_size``: the network
    itself continues pictures that are no multiples; still tiles begin on them.
    ``hyperparameters``: what the module is built from: numbers, texts, or tuples of numbers. ``half_types``: of fp16
    and bf16 those it can be run in. ``library``: which one brings it, where we do not. ``conditions``: what the network
    is given of a picture's degradation, by name; ``networks.folded`` makes a plain one for given values.
    """

    architecture: str
    scale: int
    in_channels: int
    out_channels: int
    receptive_radius: int
    size_multiple: int = 1
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    halo: int | None = None
    any_size: bool = False
    half_types: tuple[str, ...] = ("fp16", "bf16")
    library: str | None = None
    conditions: tuple[str, ...] = ()

    @property
    def tile_halo(self) -> int:
        """Return the LR pixels around a tile: the receptive radius where affordable, so that tiling changes nothing."""
        if self.halo is not None:
            return self.halo
        affordable = self.receptive_radius <= LONGEST_HALO * self.size_multiple
        return self.receptive_radius if affordable else SHORT_HALO * self.size_multiple


class Sizes(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sizes of an architecture that a recipe's ``[network]`` may state; their defaults are the published ones.

    Raises ValueError for a size below 1, from a recipe or from a file.
    """

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            numbers = value if isinstance(value, tuple) else (value,)
            if any(type(number) is int and number < 1 for number in numbers):
                raise ValueError(f"has {name} = {value}")

    @abstractmethod
    def spec(self, scale: int, channels: int = 3) -> NetworkSpec:
        """Return the network of these sizes. Raises ValueError, completing "NAME …", where there is none."""


@dataclass(frozen=True)
class Architecture:
    """A family of networks.

    ``canonical`` renames the keys of every known layout to one, and brings what only training needs into the form that
    runs (idempotent). ``detect`` and ``spec`` take canonical keys; ``spec`` raises KeyError or ValueError where they
    contradict each other. ``module`` builds the network, whose keys are the canonical ones; ``initialise`` draws its
    weights as published, where PyTorch draws them otherwise. ``sizes`` makes a spec anew, and ``examples`` are small
    ones for tests.

    ``training`` builds the module that is trained, where that is another than ``module``: its state dict is one of the
    layouts that ``canonical`` takes, and ``expanded`` turns canonical tensors into that of a spec (idempotent).
    ``branched``: whether that is the module to train unless a recipe says otherwise.
    ``published`` turns them into the layout of the authors' files, which other programs open.
    """

    name: str
    detect: Callable[[StateDict], bool]
    spec: Callable[[StateDict], NetworkSpec]
    module: Callable[[NetworkSpec], nn.Module]
    sizes: type[Sizes]
    examples: tuple[NetworkSpec, ...]
    canonical: Callable[[StateDict], dict[str, Tensor]] = dict
    initialise: Callable[[nn.Module], None] = lambda module: None
    training: Callable[[NetworkSpec], nn.Module] | None = None
    branched: bool = True
    expanded: Callable[[NetworkSpec, StateDict], dict[str, Tensor]] = lambda spec, state: dict(state)
    published: Callable[[NetworkSpec, StateDict], dict[str, Tensor]] = lambda spec, state: dict(state)


def affordable_halo(reach: int) -> int:
    """Return the halo of a network that averages over the whole picture, and otherwise sees ``reach`` LR pixels far."""
    return reach if reach <= LONGEST_HALO else SHORT_HALO

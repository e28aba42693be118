"""Networks without a file of ours, through the library spandrel: it recognises and builds what we opened safely."""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from upscale_cli.errors import WeightsError
from upscale_cli.networks.architecture import UNBOUNDED, NetworkSpec, StateDict

LIBRARY = "spandrel"
INSTALL = f"pip install 'upscale-cli[{LIBRARY}]'"
# Attention windows of these networks have 8, 16, 32 or 64 pixels: tiles that begin on multiples of 64 keep them.
GRID = HALO = 64
CHANNELS = ((3, 3), (1, 1))


def installed() -> bool:
    """Return whether the library is there."""
    return find_spec(LIBRARY) is not None


class ForeignNetwork(nn.Module):
    """A network of spandrel, with inputs of any size: it continues them by reflection to the sizes it can take."""

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.model: nn.Module = descriptor.model
        self._descriptor = descriptor

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) in [0, 1] of ``x`` (N, C, H, W)."""
        result: Tensor = self._descriptor(x.contiguous())  # its networks reshape, which other memory orders forbid
        return result


def recognise(state: StateDict) -> NetworkSpec | None:
    """Return what spandrel makes of a state dict; None where it does not know it or is not installed.

    Raises WeightsError where tensors do not fit together, and for networks that do not turn a picture into a picture.
    """
    descriptor = _load(state) if installed() else None
    if descriptor is None:
        return None
    name, needs = descriptor.architecture.name, descriptor.size_requirements
    if descriptor.purpose not in ("SR", "Restoration"):
        use = {"FaceSR": "restores faces only", "Inpainting": "takes a mask beside the picture"}
        what = use.get(descriptor.purpose, f"is for {descriptor.purpose}")
        raise WeightsError(f"The weights are {name}, which {what}.", "Use a network for whole pictures.")
    channels = (descriptor.input_channels, descriptor.output_channels)
    if channels not in CHANNELS:
        taken = f"takes {channels[0]} channels and returns {channels[1]}"
        raise WeightsError(f"The weights are {name}, which {taken}.", "Use a network for RGB or gray pictures.")
    types = {"fp16": descriptor.supports_half, "bf16": descriptor.supports_bfloat16}
    tags = {"tags": " ".join(descriptor.tags)} if descriptor.tags else {}
    return NetworkSpec(
        descriptor.architecture.id.lower(),
        descriptor.scale,
        *channels,
        receptive_radius=UNBOUNDED,
        size_multiple=math.lcm(GRID, needs.multiple_of),
        hyperparameters=tags | {"smallest side": max(1, needs.minimum), "sides are multiples of": needs.multiple_of},
        halo=HALO,
        any_size=True,
        half_types=tuple(name for name, supported in types.items() if supported),
        library=LIBRARY,
    )


def build(state: StateDict) -> nn.Module:
    """Return the network of a state dict that ``recognise`` knows. Raises WeightsError."""
    descriptor = _load(state) if installed() else None
    if descriptor is None:
        raise WeightsError(f"The network cannot be built without {LIBRARY}.", f"Run: {INSTALL}")
    return ForeignNetwork(descriptor)


def _load(state: StateDict) -> Any:
    """Return spandrel's description of the network, its model included; None where it knows none."""
    try:
        import spandrel
    except (ImportError, RuntimeError) as error:  # torchvision of another build than PyTorch raises RuntimeError
        reason = f"{LIBRARY} cannot be imported ({_first_fault(error)})"
        raise WeightsError(f"{reason}.", "Install torchvision of the same build as PyTorch.") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch deprecates what its networks use
            return spandrel.ModelLoader().load_from_state_dict(dict(state))
    except spandrel.UnsupportedModelError:
        return None
    except Exception as error:  # its detectors and networks raise errors of any class on damaged state dicts
        raise WeightsError(
            f"The weights fit no network ({LIBRARY}: {_first_fault(error)}).", "Get the file again."
        ) from error


def _first_fault(error: Exception) -> str:
    """Return what is wrong in few words: PyTorch gives a heading and then a line for each kind of fault."""
    lines = [" ".join(line.split()).rstrip(".") for line in str(error).splitlines() if line.strip()]
    text = lines[1] if len(lines) > 1 and lines[0].endswith(":") else next(iter(lines), "")
    return f"{text:.160}" if text else type(error).__name__

"""Weights files, opened without running anything that is in them, and written with their facts.

A ``.pth`` may hold the state dict bare or under ``params_ema``, ``params`` or ``state_dict``, its keys prefixed by
``module.`` or ``generator.``; a ``.safetensors`` holds it bare. Text facts are in the header of the latter, and
beside ``params``, under ``facts``, in a ``.pth`` of ours.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from upscale_cli import atomic
from upscale_cli.errors import WeightsError

WRAPPERS = ("params_ema", "params", "state_dict", "generator", "model_state_dict", "model")
PREFIXES = ("module.", "generator.")
IMPORTING = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
SUFFIXES = (".pth", ".pt", ".ckpt", ".tar", ".safetensors")


@dataclass(frozen=True)
class OpenedState:
    """Tensors under the file's own keys, less prefixes, in the file's own precision; and its text facts."""

    tensors: dict[str, Tensor]
    facts: dict[str, str]


def open_state(path: Path) -> OpenedState:
    """Read a weights file of either kind. Raises WeightsError where it is missing, damaged, unsafe or no state dict."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise WeightsError(f"Cannot read the weights {path}: {error.strerror or error}.", "Check the path.") from error
    if not head:
        raise WeightsError(f"The weights {path} are empty.", "Get the file again.")
    if _is_safetensors(head):
        return _open_safetensors(path)
    content = _load_pickle(path)
    return OpenedState(unwrapped(content, path), _facts(content))


def load_checkpoint(path: Path) -> Mapping[str, Any]:
    """The whole content of a training checkpoint: tensors, numbers and texts. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"There is no checkpoint {path}.", "Check the path.")
    content = _load_pickle(path)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} is no checkpoint.", "Check the path.")
    return content


def _facts(content: Any) -> dict[str, str]:
    facts = content.get("facts") if isinstance(content, Mapping) else None
    texts = facts.items() if isinstance(facts, Mapping) else ()
    return {name: text for name, text in texts if isinstance(name, str) and isinstance(text, str)}


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**32


def _open_safetensors(path: Path) -> OpenedState:
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"The weights {path} are damaged.", "Get the file again.") from error
    return OpenedState(unwrapped(tensors, path), facts)


def _load_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old files warn about storage classes that concern nobody here
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler of foreign bytes trips in every imaginable way
        if isinstance(error, pickle.UnpicklingError) and ("GLOBAL " in str(error) or _imports(path)):
            raise WeightsError(
                f"The weights {path} contain more than tensors, possibly code, and were not opened.",
                "Ask for a .safetensors file.",
            ) from error
        raise WeightsError(f"The weights {path} are damaged or no weights at all.", "Get the file again.") from error


def _imports(path: Path) -> bool:
    """Whether a bare pickle, of any protocol, would import something. Its opcodes are read and not run."""
    with path.open("rb") as file:
        start = io.BytesIO(file.read(2**20))
    try:
        return not IMPORTING.isdisjoint([opcode.name for opcode, _, _ in pickletools.genops(start)])
    except ValueError:
        return False


def unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict inside ``content``, without wrappers and key prefixes; anything but tensors is left out."""
    while isinstance(content, Mapping) and (wrapper := _wrapper(content)):
        content = content[wrapper]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(key, str) for key in tensors):
        raise WeightsError(f"{path} holds no network weights.", "Give a state dict as .pth or .safetensors.")
    return _without_prefixes(tensors)


def _wrapper(content: Mapping[Any, Any]) -> str | None:
    return next((name for name in WRAPPERS if isinstance(content.get(name), Mapping) and content[name]), None)


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without prefixes, also where only some keys have one: a discriminator may lie beside its generator."""
    for prefix in PREFIXES:
        kept = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        tensors = kept or tensors
    return tensors


def in_half(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Floating-point tensors as fp16, others as they are. Raises WeightsError where a value of ``name`` overflows."""
    halved = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    for key, tensor in halved.items():
        if tensor.is_floating_point() and tensor.isinf().any():
            raise WeightsError(f"{name} has values in {key} that fp16 cannot hold.", "Leave out --half.")
    return halved


def save_state(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write ``tensors`` as ``.safetensors`` with ``facts`` in the header, or as ``.pth`` under ``params``."""
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        atomic.write_bytes(path, save(plain, metadata=dict(facts)))
        return
    with atomic.replacing(path) as temporary:
        torch.save({"params": plain, "facts": dict(facts)}, temporary)

"""Weights files, opened without running anything that is in them, and written with their facts.

A ``.pth`` may hold the state dict bare or under ``params_ema``, ``params`` or ``state_dict``, its keys prefixed by
``module.`` or ``generator.``; a ``.safetensors`` holds it bare. Text facts are in the header of the latter, and
beside ``params``, under ``facts``, in a ``.pth`` of ours.
"""

from __future__ import annotations

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
from upscale_cli.weights.pickles import SLACK, damaged, inspect

WRAPPERS = ("params_ema", "params", "state_dict", "generator", "model_state_dict", "model")
PREFIXES = ("module.", "generator.")
MOST_WRAPPERS = 4  # around one another
NUMBERS = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8}
    | {torch.uint8, torch.bool}
)
SUFFIXES = (".pth", ".pt", ".ckpt", ".tar", ".safetensors")


@dataclass(frozen=True)
class OpenedState:
    """Tensors under the file's own keys, less prefixes, in the file's own precision, and its text facts."""

    tensors: dict[str, Tensor]
    facts: dict[str, str]


def open_state(path: Path) -> OpenedState:
    """Read a weights file of either kind. Raises WeightsError where it is missing, damaged, unsafe or no state dict."""
    head = _head(path)
    if not head:
        raise WeightsError(f"The weights {path} are empty.", "Get the file again.")
    facts: Any
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**32:
        content, facts = _load_safetensors(path)
    else:
        content = _load_pickle(path)
        facts = content.get("facts") if isinstance(content, Mapping) else None
    tensors = unwrapped(content, path)
    _require_numbers(tensors, path)
    return OpenedState(tensors, _readable(facts))


def _head(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise WeightsError(f"Cannot read the weights {path}: it is not a file.", "Check the path.")
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise WeightsError(f"Cannot read the weights {path}: {error.strerror or error}.", "Check the path.") from error


def load_checkpoint(path: Path) -> Mapping[str, Any]:
    """Return the content of a training checkpoint: tensors, numbers and texts. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"There is no checkpoint {path}.", "Check the path.")
    content = _load_pickle(path)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} is not a checkpoint.", "Check the path.")
    return content


def _readable(facts: Any) -> dict[str, str]:
    """Return those facts that are texts by name, without control characters."""
    texts = facts.items() if isinstance(facts, Mapping) else ()
    return {_printable(k): _printable(v) for k, v in texts if isinstance(k, str) and isinstance(v, str)}


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (it is no mapping)
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise damaged(path) from error


def _load_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        inspect(file, path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch deprecates the storage classes of old files
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # hostile bytes raise errors of any class in the unpickler
            raise damaged(path) from error


def unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict inside ``content``, without wrappers and key prefixes; all but tensors is left out."""
    for _ in range(MOST_WRAPPERS):  # a mapping may contain itself
        inside = [content.get(name) for name in WRAPPERS] if isinstance(content, Mapping) else []
        content = next((part for part in inside if isinstance(part, Mapping) and part), content)
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(key, str) and key.isprintable() for key in tensors):
        raise WeightsError(f"{path} holds no network weights.", "Give a state dict as .pth or .safetensors.")
    for prefix in PREFIXES:  # where some keys have one, the others are left out: they may be a discriminator's
        kept = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        tensors = kept or tensors
    return tensors


def _require_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not finite numbers in memory, or that claim more of them than the file has."""
    left = path.stat().st_size + SLACK
    for key, tensor in tensors.items():
        if tensor.dtype not in NUMBERS or tensor.layout != torch.strided or tensor.device.type != "cpu":
            kind = f"{tensor.dtype}, {tensor.layout}, {tensor.device}".replace("torch.", "")
            raise WeightsError(f"The tensor {key} of {path} does not hold plain numbers ({kind}).", "Get another file.")
        left -= tensor.numel() * tensor.element_size()
        if left < 0:
            raise WeightsError(f"The tensor {key} of {path} is larger than the file.", "Get another file.")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"The tensor {key} of {path} has values that are not finite.", "Get the file again.")


def in_half(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return floating-point tensors as fp16, others as they are. Raises WeightsError where a value overflows."""
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
    save_checkpoint(path, {"params": plain, "facts": dict(facts)})


def save_checkpoint(path: Path, content: Mapping[str, Any], former: Path | None = None) -> None:
    """Write what ``load_checkpoint`` reads; the file that ``path`` was becomes ``former``. Raises OutputError."""
    with atomic.replacing(path, former) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # which hides that the disk is full
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from error

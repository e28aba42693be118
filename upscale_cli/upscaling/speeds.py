"""How fast networks were when they last ran on this machine: the file ``speeds.json`` in the cache of weights."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from upscale_cli import atomic
from upscale_cli.errors import OutputError
from upscale_cli.weights.cache import cache_folder

if TYPE_CHECKING:
    from upscale_cli.device import Precision

FILE = "speeds.json"
FEWEST_MEGAPIXELS = 0.1  # that tell a speed: before, threads wake up and memory is taken

Speeds = dict[str, float]  # seconds per megapixel that goes through the network


def key(network: str, precision: Precision, device: str, threads: int | None) -> str:
    """Return what the speed of ``network`` is kept under; ``device`` is not auto, but the one that is meant."""
    half = precision in ("half", "bf16") or (precision == "auto" and device.startswith("cuda"))
    return f"{network}, {'half' if half else 'fp32'}, {device}, {threads or 'all'} threads"


def known() -> Speeds:
    """Return all that is kept; nothing where the file is missing or damaged."""
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode((cache_folder() / FILE).read_bytes(), type=Speeds)
    return {}


def keep(newest: Speeds) -> None:
    """Keep ``newest``, each in place of the last one; where the cache cannot be written, they are forgotten."""
    with suppress(OSError, OutputError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(cache_folder() / FILE, msgspec.json.encode(known() | newest))

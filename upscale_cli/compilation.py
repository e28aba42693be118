"""Networks compiled by torch.compile, for long runs; without a compiler they run as they are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from upscale_cli import device as devices
from upscale_cli.notices import Notify, note

COUNTED = 0.5  # seconds from which a first call counts as compiling, and not as taking kept code


class Compiled(nn.Module):
    """``module``, compiled when it gets its first tile, and once more when it gets one of another shape.

    What is compiled is kept in ``cache`` and taken from there by later runs. ``notify`` gets what it cost, and the
    reason where it is not possible: ``module`` then runs as it is. On CUDA its kernels are replayed as a graph.
    """

    def __init__(self, module: nn.Module, device: torch.device, cache: Path, notify: Notify) -> None:
        super().__init__()
        self._plain, self._notify, self._shapes = module, notify, set[torch.Size]()
        self._lock = Lock()  # of several devices one compiles at a time
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
        options: dict[str, Any] | None = {"triton.cudagraphs": True} if device.type == "cuda" else None
        self._compiled: Callable[[Tensor], Tensor] | None = torch.compile(module, options=options)

    def forward(self, planes: Tensor) -> Tensor:
        """Return what the module makes of ``planes`` (N, C, H, W)."""
        if self._compiled is None:
            return self._of_plain(planes)
        if planes.shape in self._shapes:
            return self._compiled(planes)
        with self._lock:
            return self._first(planes, self._compiled)

    def _first(self, planes: Tensor, compiled: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the result of the first ``planes`` of a shape, for which something may have to be compiled."""
        begun = time.perf_counter()
        try:
            result = compiled(planes)
        except (RuntimeError, OSError, ImportError) as error:
            if devices.is_out_of_memory(error):
                raise
            self._compiled = None
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._notify(note(f"torch.compile is not possible here ({reason}): going on without it."))
            return self._of_plain(planes)
        seconds = time.perf_counter() - begun
        if seconds > COUNTED and len(self._shapes) < 2:  # the second shape's code serves all others
            size = "x".join(map(str, planes.shape[:1:-1]))
            text = f"Compiling for tiles of {size} pixels took {seconds:.0f} s, and is kept for later runs."
            self._notify(note(text))
        self._shapes.add(planes.shape)
        return result

    def _of_plain(self, planes: Tensor) -> Tensor:
        result: Tensor = self._plain(planes)
        return result

"""Moving the bytes of tiles to a device and back while it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Transfer:
    """Moves integer tiles; each method is called from one thread at a time, beside the thread that computes.

    For CPUs, where nothing moves, and for devices whose copies wait for the work before them (MPS, XPU).
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def send(self, tiles: NDArray[Any]) -> Tensor:
        """Return uint8 or uint16 ``tiles`` (n, h, w, C) on the device."""
        if self._device.type == "mps" and tiles.dtype == np.uint16:
            tiles = tiles.astype(np.int32)  # MPS has no uint16
        return torch.from_numpy(tiles).to(self._device)

    def mark(self) -> Any:
        """Return a point in the device's work after what this thread has begun; None where ``fetch`` waits for all."""
        return None

    def fetch(self, result: Tensor, finite: Tensor, mark: Any) -> NDArray[Any] | None:
        """Return ``result`` in main memory once the device has reached ``mark``.

        Where ``finite``, a single truth value on the device, is false: None.
        """
        pixels: NDArray[Any] = result.cpu().numpy()
        return pixels if bool(finite) else None


class CudaTransfer(Transfer):
    """For CUDA: through pinned memory, on two streams beside that of the computation."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._out = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._back = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, tiles: NDArray[Any]) -> Tensor:
        """Return ``tiles`` on the device, copied while it computes."""
        with torch.cuda.stream(self._out):
            moved = torch.from_numpy(tiles).pin_memory().to(self._device, non_blocking=True)
        self._out.synchronize()
        return moved

    def mark(self) -> torch.cuda.Event:
        """Return an event behind what this thread's stream was given so far."""
        reached = torch.cuda.Event()  # type: ignore[no-untyped-call]
        reached.record(torch.cuda.current_stream(self._device))
        return reached

    def fetch(self, result: Tensor, finite: Tensor, mark: torch.cuda.Event) -> NDArray[Any] | None:
        """Return ``result``, copied while the next tile is computed; nothing is copied where it is not finite."""
        with torch.cuda.stream(self._back):
            self._back.wait_event(mark)
            if not finite.item():
                return None
            pixels = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
            pixels.copy_(result, non_blocking=True)
        self._back.synchronize()
        return pixels.numpy()


def transfer_for(device: torch.device) -> Transfer:
    """Return the way of moving tiles that suits ``device``."""
    return CudaTransfer(device) if device.type == "cuda" else Transfer(device)

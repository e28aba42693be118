"""A network on one device: integer tiles in, integer tiles out. Floating point exists on the device alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor, nn

from upscale_cli import levels
from upscale_cli.errors import WeightsError
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.orientation import mean_of_orientations
from upscale_cli.transfer import transfer_for


class Levels(NamedTuple):
    """Results on the device: integers (n, H, W, C), whether all were finite before, and when they are there."""

    pixels: Tensor
    finite: Tensor
    mark: Any


class DeviceNetwork:
    """A network, moved to ``device`` and converted to ``dtype`` already, as a lane of ``pipeline.run``.

    Pictures of one channel go through an RGB network as three equal ones, whose mean is the result; those of three
    through a gray network one by one. ``tta``: mean over the eight orientations (Lim et al. 2017, EDSR, section 3.4).
    ``in_full_precision``: the network in fp32, for tiles that overflow in ``dtype``; ``on_overflow`` gets a call each.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: NetworkSpec,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        tta: bool = False,
        in_full_precision: nn.Module | None = None,
        on_overflow: Callable[[], None] = lambda: None,
    ) -> None:
        self.device, self.dtype = device, dtype
        self.transfer = transfer_for(device)
        self._module, self._spec, self._tta = module, spec, tta
        self._full_precision, self._on_overflow = in_full_precision, on_overflow
        self._lock = Lock()  # pictures that are worked on at once take turns

    def send(self, tiles: NDArray[Any]) -> Tensor:
        """Return ``tiles`` (n, h, w, C) on the device."""
        return self.transfer.send(tiles)

    def compute(self, tiles: Tensor, dtype: DTypeLike) -> Levels:
        """Return the results of ``tiles`` in levels of ``dtype``; on CUDA they may be still on their way."""
        with self._lock:
            return self._results(self._module, self.dtype, tiles, dtype)

    def fetch(self, tiles: Tensor, result: Levels, dtype: DTypeLike) -> NDArray[Any]:
        """Return the results in main memory, those of half precision that overflowed done again in fp32.

        Raises WeightsError where they are not finite in fp32 either.
        """
        pixels = self.transfer.fetch(*result)
        if pixels is None and self._full_precision is not None:
            self._on_overflow()
            with self._lock:
                again = self._results(self._full_precision.to(self.device), torch.float32, tiles, dtype)
            pixels = self.transfer.fetch(*again)
        if pixels is None:
            raise WeightsError(
                "The network's result is not finite.", "The weights are damaged or not meant for pictures."
            )
        return pixels.astype(dtype, copy=False)

    @torch.inference_mode()
    def _results(self, module: nn.Module, kind: torch.dtype, tiles: Tensor, dtype: DTypeLike) -> Levels:
        count, _, _, channels = tiles.shape
        planes = self._planes(tiles)
        run = partial(_run, module, kind)
        result = mean_of_orientations(run, planes) if self._tta else run(planes)
        if channels == 1:
            result = result.mean(1, keepdim=True)
        finite = result.sum().isfinite()  # in one pass: a sum holds on to what is infinite or not a number
        whole = levels.rounded(result.reshape(count, channels, *result.shape[-2:]), levels.top(dtype))
        pixels = whole.permute(0, 2, 3, 1).to(self._storage(dtype)).contiguous()
        return Levels(pixels, finite, self.transfer.mark())

    def _planes(self, tiles: Tensor) -> Tensor:
        """Return integer ``tiles`` (n, h, w, C) as (m, channels of the network, h, w) in [0, 1]."""
        level = 255 if tiles.dtype == torch.uint8 else 65535
        planes = tiles.permute(0, 3, 1, 2).to(torch.float32).div_(level)
        channels, wanted = planes.shape[1], self._spec.in_channels
        if channels == 1:
            return planes.expand(-1, wanted, -1, -1)
        return planes if channels == wanted else planes.reshape(-1, 1, *planes.shape[-2:])

    def _storage(self, dtype: DTypeLike) -> torch.dtype:
        """Return the type that levels of ``dtype`` have on the device: MPS has no uint16."""
        if np.dtype(dtype) == np.uint8:
            return torch.uint8
        return torch.int32 if self.device.type == "mps" else torch.uint16


def _run(module: nn.Module, kind: torch.dtype, planes: Tensor) -> Tensor:
    """Return the network's result in fp32, its input in the memory order that CPUs and tensor cores prefer."""
    result: Tensor = module(planes.to(kind).contiguous(memory_format=torch.channels_last))
    return result.float()

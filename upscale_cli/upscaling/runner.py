"""A network on a device: precision, memory format, tile size, and what to do when a tile fails."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from upscale_cli import device as devices
from upscale_cli import tiling
from upscale_cli.device import Precision
from upscale_cli.errors import WeightsError
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.notices import Notify, ignore, note
from upscale_cli.upscaling.ensemble import eightfold

TileChoice = int | Literal["auto"]

# Networks whose receptive radius is larger get SHORT_HALO instead, in units of the network's own grid: so far away
# an input pixel hardly matters any more (docs/tiling.md has the measured error).
LONGEST_HALO, SHORT_HALO = 64, 32
SHARE_OF_FREE_MEMORY = 0.6
# On a CPU tiles that stay near the caches are fastest, as long as the halo is a small part of them
# (docs/performance.md); and no tile needs more memory than this.
CPU_CACHE_MEMORY, CPU_TILE_MEMORY = 96 * 2**20, 3 * 2**30
CPU_SIDE_IN_HALOS = 16
# Buffers beside the largest layer's own input and output: skip connections, copies of the tile, the library's scratch.
MEMORY_SAFETY = 2.0
SMALLEST_AUTO_TILE = 64
# CUDA needs about this many LR pixels at once to be busy; smaller tiles run in batches.
CUDA_BATCH_PIXELS = 512 * 512


def default_halo(spec: NetworkSpec) -> int:
    """LR pixels around a tile: the receptive radius where that is affordable, so that tiling changes nothing."""
    if spec.receptive_radius <= LONGEST_HALO * spec.size_multiple:
        return spec.receptive_radius
    return SHORT_HALO * spec.size_multiple


def bytes_per_pixel(module: nn.Module, spec: NetworkSpec, dtype: torch.dtype) -> float:
    """Estimate of the memory one LR pixel needs on its way: the largest layer's input and output, with a margin."""
    side = 8 * spec.size_multiple
    largest = 0

    def measure(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, inputs[0].numel() + output.numel())

    leaves = [layer for layer in module.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(measure) for layer in leaves]
    try:
        parameter = next(module.parameters())
        module(torch.zeros(1, spec.in_channels, side, side, device=parameter.device, dtype=parameter.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return largest / side**2 * dtype.itemsize * MEMORY_SAFETY


def _channels_last(module: nn.Module) -> nn.Module:
    """The module with its convolutions' weights in the memory order that CPUs and tensor cores prefer."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class NetworkRunner:
    """Calls a network on pictures of any size.

    ``notify`` hears, in one sentence each, what had to be done differently than asked.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: NetworkSpec,
        *,
        device: torch.device,
        precision: Precision = "auto",
        tile: TileChoice = "auto",
        tile_pad: int | None = None,
        tta: bool = False,
        notify: Notify = ignore,
    ) -> None:
        self.spec = spec
        self.device = device
        self.dtype = devices.dtype(device, precision)
        self.halo = default_halo(spec) if tile_pad is None else tile_pad
        self._full_precision = module.eval().requires_grad_(False)
        with torch.inference_mode():
            self._bytes_per_pixel = bytes_per_pixel(module, spec, self.dtype)
        self._module = _channels_last(copy.deepcopy(module).to(device, self.dtype))
        self._function = eightfold(self._call) if tta else self._call
        self._tile = tile
        self._notify = notify
        if precision == "half" and self.dtype is torch.float32:
            notify(note("This CPU has no bf16 arithmetic, so --half would only be slower: running in fp32."))

    @property
    def precision(self) -> str:
        """``fp32``, ``fp16`` or ``bf16``."""
        return {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[self.dtype]

    def tile_side(self, height: int, width: int) -> int:
        """Side of the core of the tiles for a picture of that size; 0 for the whole picture at once."""
        if self._tile != "auto":
            return self._tile
        budget = devices.free_memory(self.device) * SHARE_OF_FREE_MEMORY
        if self.device.type == "cpu":
            fastest = max(self._side_within(CPU_CACHE_MEMORY), CPU_SIDE_IN_HALOS * self.halo)
            return min(fastest, self._side_within(min(budget, CPU_TILE_MEMORY)))
        return 0 if self._bytes_per_pixel * height * width <= budget else self._side_within(budget)

    def _side_within(self, memory: float) -> int:
        """Side of the largest tile that, with its halo, needs no more than ``memory`` bytes."""
        return max(SMALLEST_AUTO_TILE, math.isqrt(int(memory / self._bytes_per_pixel)) - 2 * self.halo)

    def run(
        self,
        image: Tensor,
        *,
        dtype: torch.dtype = torch.float32,
        on_tile: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tensor:
        """(1, C, H, W) in [0, 1] on the CPU to (1, D, scale·H, scale·W); an integer ``dtype`` means its full range."""
        height, width = image.shape[-2:]
        padded = tiling.pad_to_multiple(image, self.spec.size_multiple)
        side = self.tile_side(padded.shape[-2], padded.shape[-1])
        with torch.inference_mode():
            output = tiling.run(
                self._function,
                padded,
                tiling.plan(padded.shape[-2], padded.shape[-1], side, self.halo, self.spec.size_multiple),
                self.spec.scale,
                halo=self.halo,
                multiple=self.spec.size_multiple,
                batch=self._batch(side),
                dtype=dtype,
                is_out_of_memory=devices.is_out_of_memory,
                on_tile=on_tile,
                on_split=self._split,
            )
        return output[:, :, : height * self.spec.scale, : width * self.spec.scale]

    def _batch(self, side: int) -> int:
        if self.device.type != "cuda" or side == 0:
            return 1
        return max(1, CUDA_BATCH_PIXELS // (side + 2 * self.halo) ** 2)

    def _split(self, side: int) -> None:
        devices.release_memory(self.device)
        self._tile = side  # the pictures to come would meet the same limit
        self._notify(note(f"Memory did not suffice: going on with tiles of {side} pixels (--tile {side} starts so)."))

    def _call(self, tile: Tensor) -> Tensor:
        moved = tile.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        result: Tensor = self._module(moved).to("cpu", torch.float32)
        if torch.isfinite(result).all():
            return result
        return self._in_full_precision(tile)

    def _in_full_precision(self, tile: Tensor) -> Tensor:
        if self.dtype is not torch.float32:
            self._notify(note(f"A tile came out non-finite in {self.precision} and was done again in fp32."))
            module = self._full_precision.to(self.device)
            result: Tensor = module(tile.to(self.device)).to("cpu", torch.float32)
            if torch.isfinite(result).all():
                return result
        raise WeightsError("The network's result is not finite.", "The weights are damaged or not meant for pictures.")

"""A network on one or more devices: precision, halo, tile size, and what to do when memory does not suffice."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import nn

from upscale_cli import device as devices
from upscale_cli import pipeline
from upscale_cli.borders import NO_WRAPS, Wraps
from upscale_cli.compilation import Compiled
from upscale_cli.device import Precision
from upscale_cli.images.picture import Pixels
from upscale_cli.images.storage import MEMORY, Step
from upscale_cli.inference import DeviceNetwork
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.networks.memory_order import order_for_cpu
from upscale_cli.notices import Notify, ignore, note
from upscale_cli.tiling import Box, Grid, TileQueue, cut_out
from upscale_cli.upscaling.footprint import MEMORY_SAFETY, bytes_per_pixel
from upscale_cli.upscaling.options import SMALLEST_TILE
from upscale_cli.upscaling.reuse import LastRun

TileChoice = int | Literal["auto"]

SHARE_OF_FREE_MEMORY = 0.6
# On a CPU tiles as small are as fast as any, as long as the halo is a small part of them (docs/performance.md); and no
# tile needs more memory than the second.
CPU_CACHE_MEMORY, CPU_TILE_MEMORY = 96 * 2**20, 2 * 2**30
CPU_SIDE_IN_HALOS = 12
SMALLEST_AUTO_TILE = 64
# CUDA needs about this many LR pixels at once to be busy; smaller tiles run in batches.
CUDA_BATCH_PIXELS = 512 * 512
MOST_FRAMES = 16  # of a clip, that are worked on together
# Pictures of a folder, and their LR pixels: a batch on its way to the device, one being computed, one on its way back.
MOST_TOGETHER, MOST_PIXELS_TOGETHER = 48, 3 * CUDA_BATCH_PIXELS
# Tiles from which cuDNN's trying of its algorithms, which takes seconds, may pay.
FEWEST_TO_TRY = 256
TILES_PER_DEVICE = 4  # at least, where several devices share a picture
PRECISION_NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


class NetworkRunner:
    """Runs a network over pictures of any size, on ``devices_used``, whose tiles go to whichever is free.

    ``wraps``: pictures, but not frames, are repeated beyond their borders. ``compiled``: the folder that keeps what
    torch.compile makes of the network; None: it is not compiled. ``notify`` gets what had to be done differently than
    asked.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: NetworkSpec,
        *,
        devices_used: Sequence[torch.device],
        precision: Precision = "auto",
        tile: TileChoice = "auto",
        tile_pad: int | None = None,
        tta: bool = False,
        wraps: Wraps = NO_WRAPS,
        compiled: Path | None = None,
        notify: Notify = ignore,
    ) -> None:
        self.spec = spec
        self.halo = spec.tile_halo if tile_pad is None else tile_pad
        self.tile, self._tta, self._wraps, self._notify = tile, tta, wraps, notify
        self._compiled = compiled
        self._full_precision = module.eval().requires_grad_(False)
        wanted = devices.dtype(devices_used[0], precision)
        self.dtype = self._supported(wanted)
        self._bytes_per_pixel = bytes_per_pixel(module, spec, self.dtype)
        self.lanes = [self._lane(device, self._supported(devices.dtype(device, precision))) for device in devices_used]
        if wanted is not self.dtype:
            notify(
                note(f"The network {spec.architecture} does not support {PRECISION_NAMES[wanted]}: running in fp32.")
            )
        elif precision in ("half", "bf16") and self.dtype is torch.float32:
            kind = "CPU" if devices_used[0].type == "cpu" else "device"
            notify(note(f"This {kind} has no bf16 arithmetic, so --{precision} would only be slower: running in fp32."))

    def _supported(self, dtype: torch.dtype) -> torch.dtype:
        return dtype if PRECISION_NAMES[dtype] in self.spec.half_types else torch.float32

    def _lane(self, device: torch.device, dtype: torch.dtype) -> DeviceNetwork:
        module = copy.deepcopy(self._full_precision).to(device, dtype)
        if self.spec.library is None:  # a foreign network may reshape what only the usual memory order allows
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if device.type == "cpu" and self._compiled is None:
                order_for_cpu(module)
        name = PRECISION_NAMES[dtype]
        return DeviceNetwork(
            module if self._compiled is None else Compiled(module, device, self._compiled, self._notify),
            self.spec,
            device,
            dtype,
            tta=self._tta,
            in_full_precision=None if dtype is torch.float32 else self._full_precision,
            on_overflow=lambda: self._notify(note(f"A tile came out non-finite in {name} and was done again in fp32.")),
        )

    @property
    def precision(self) -> str:
        """``fp32``, ``fp16`` or ``bf16``."""
        return PRECISION_NAMES[self.dtype]

    def tile_side(self, height: int, width: int) -> int:
        """Return the side of the core of the tiles for a picture of that size; 0 for the whole picture at once."""
        if self.tile != "auto":
            return self.tile
        sides = [self._tile_side_on(lane.device, height, width) for lane in self.lanes]
        if len(sides) > 1:
            shared = math.isqrt(height * width // (TILES_PER_DEVICE * len(sides)))
            sides.append(max(SMALLEST_AUTO_TILE, 2 * self.halo, shared))
        return min((side for side in sides if side), default=0)

    def _tile_side_on(self, device: torch.device, height: int, width: int) -> int:
        budget = devices.free_memory(device) * SHARE_OF_FREE_MEMORY
        if device.type == "cpu":
            fastest = max(self._side_within(CPU_CACHE_MEMORY), CPU_SIDE_IN_HALOS * self.halo)
            return min(fastest, self._side_within(min(budget, CPU_TILE_MEMORY)))
        return 0 if self._bytes_per_pixel * height * width <= budget else self._side_within(budget)

    def _side_within(self, memory: float) -> int:
        """Return the side of the largest tile that, with its halo, needs no more than ``memory`` bytes."""
        return max(SMALLEST_AUTO_TILE, math.isqrt(int(memory / self._bytes_per_pixel)) - 2 * self.halo)

    def run(
        self,
        pixels: Pixels,
        dtype: DTypeLike | None = None,
        on_tile: pipeline.OnTile = lambda done, total: None,
        step: Step | None = None,
    ) -> Pixels:
        """Return ``pixels`` (H, W, C), memory-mapped or not, enlarged: (scale·H, scale·W, C) of ``dtype``.

        With ``step`` they are its array, and only tiles that it lacks are done. Both are uint8 or uint16; without
        ``dtype`` the result is of the input's. ``on_tile`` gets (LR pixels done, LR pixels in all). Raises WeightsError
        where the result is not finite, DeviceError where memory does not suffice.
        """
        grid, dtype = replace(self._grid(*pixels.shape[:2]), wraps=self._wraps), dtype or pixels.dtype
        output = None if step is None else step.pixels  # of no step: memory, that a whole result may replace
        step = step or MEMORY.step("", self.shape_of(pixels), dtype)
        if step.complete:
            return step.pixels
        side = self.tile_side(*grid.padded) if step.side is None else step.side
        step.begin(side)
        tiles = grid.plan(side)
        missing = [tile for tile in tiles if tile.core not in step.finished]
        self._expect_shapes(len(missing))
        self._expect_blocks(side, grid.padded)
        step.pixels = pipeline.run(
            self.lanes,
            pixels,
            TileQueue(grid, side, self._batch(side), missing),
            self.spec.scale,
            dtype,
            on_tile=on_tile,
            on_split=self._split,
            on_pasted=lambda group: step.record(tile.core for tile in group),
            output=output,
            done=sum(tile.core.area for tile in tiles) - sum(tile.core.area for tile in missing),
        )
        step.end()
        return step.pixels

    def shape_of(self, pixels: Pixels) -> tuple[int, int, int]:
        """Return the shape of the result of ``pixels``."""
        height, width, channels = pixels.shape
        return height * self.spec.scale, width * self.spec.scale, channels

    def run_frames(self, frames: Sequence[Pixels], dtype: DTypeLike, last: LastRun) -> list[Pixels]:
        """Return ``frames`` of a clip, of one size, enlarged as ``run`` does; their tiles are shared out together.

        What has not changed since the frame before, the first of them since ``last``, is taken over.
        """
        grid, scale, split = self._grid(*frames[0].shape[:2]), self.spec.scale, False
        side = last.side(self.tile_side(*grid.padded))
        tiles = grid.plan(side)
        changed = last.changed(frames, tiles, dtype)
        below = [tile.lowered(number * grid.height) for number, some in enumerate(changed) for tile in some]
        column = frames[0] if len(frames) == 1 else np.concatenate(frames)
        output = np.empty((column.shape[0] * scale, column.shape[1] * scale, column.shape[2]), dtype)

        def on_split(side: int) -> None:
            nonlocal split
            split = True
            self._split(side)

        batch = self._batch(side or max(grid.padded)) if len(frames) > 1 else self._batch(side)
        if below:
            self._expect_blocks(side, grid.padded)
            queue = TileQueue(grid, side, batch, below)
            pipeline.run(self.lanes, column, queue, scale, dtype, on_split=on_split, output=output)
        results = last.complete(frames, np.split(output, len(frames)), grid, tiles, changed)
        if split:
            last.forget()
        return results

    def run_together(
        self, pictures: Sequence[Pixels], dtype: DTypeLike, on_tile: pipeline.OnTile, batch: int | None = None
    ) -> list[Pixels]:
        """Return ``pictures``, of one shape and type and none that wraps, enlarged as ``run`` does.

        ``batch`` tiles go through the network at once; None: as many as suit the device.
        """
        grid, scale = self._grid(*pictures[0].shape[:2]), self.spec.scale
        side, (rows, columns), count = self.tile_side(*grid.padded), grid.padded, len(pictures)
        column = np.concatenate([cut_out(picture, Box(0, 0, rows, columns)) for picture in pictures])
        tiles = [tile.lowered(number * rows) for number in range(count) for tile in grid.plan(side)]
        batch = batch or self._batch_of(max(tile.source.area for tile in tiles))
        self._expect_shapes(len(tiles) // batch)
        output = pipeline.run(
            self.lanes,
            column,
            TileQueue(grid, side, batch, tiles),
            scale,
            dtype,
            on_tile=lambda done, total: on_tile(done, total * count),
            on_split=self._split,
        )
        height, width = grid.height * scale, grid.width * scale
        return [np.ascontiguousarray(result[:height, :width]) for result in np.split(output, count)]

    def pictures_at_once(self, height: int, width: int) -> int:
        """Return how many pictures are best done at once: several small ones, but on a CPU, which one keeps busy."""
        if self.lanes[0].device.type == "cpu" or self._compiled is not None:  # which compiles for each number anew
            return 1
        rows, columns = self._grid(height, width).padded
        if self.tile_side(rows, columns):
            return 1
        return min(MOST_TOGETHER, MOST_PIXELS_TOGETHER // (rows * columns)) or 1

    def _batch_of(self, pixels: int) -> int:
        """Return how many tiles of so many pixels keep a device busy, and fit its memory."""
        device = self.lanes[0].device
        if device.type == "cpu":
            return 1
        fitting = devices.free_memory(device) * SHARE_OF_FREE_MEMORY / (self._bytes_per_pixel * pixels)
        return max(1, min(-(-CUDA_BATCH_PIXELS // pixels), int(fitting)))

    def frames_at_once(self, height: int, width: int) -> int:
        """Return how many frames of a clip are best done at once: one for each device, and on CUDA small ones more."""
        grid = self._grid(height, width)
        if grid.padded != (height, width):  # they would not lie one above the other
            return 1
        small = self.lanes[0].device.type == "cuda" and self.tile_side(height, width) == 0
        each = max(1, CUDA_BATCH_PIXELS // (height * width)) if small else 1
        return min(MOST_FRAMES, each * len(self.lanes))

    def _grid(self, height: int, width: int) -> Grid:
        return Grid(height, width, self.halo, self.spec.size_multiple, self.spec.any_size)

    def _batch(self, side: int) -> int:
        if side == 0 or self.lanes[0].device.type != "cuda":
            return 1
        return max(1, CUDA_BATCH_PIXELS // (side + 2 * self.halo) ** 2)

    def _expect_shapes(self, tiles: int) -> None:
        """Let cuDNN try its algorithms where so many ``tiles`` of one shape are to come that it pays."""
        if self.lanes[0].device.type == "cuda":
            torch.backends.cudnn.benchmark = tiles >= FEWEST_TO_TRY

    def _expect_blocks(self, side: int, padded: tuple[int, int]) -> None:
        """Let the allocator keep what the layers of tiles of ``side`` take, where it would not do so of itself."""
        height, width = (min(length, side + 2 * self.halo) if side else length for length in padded)
        largest = self._bytes_per_pixel / MEMORY_SAFETY / 2 * height * width
        if largest > devices.LARGEST_IN_HEAP and self.lanes[0].device.type == "cpu":
            devices.keep_larger_blocks()

    def _split(self, side: int) -> None:
        self.tile = kept = max(side, SMALLEST_TILE)  # the pictures to come would meet the same limit
        self._notify(note(f"Memory did not suffice: going on with tiles of {side} pixels (--tile {kept} starts so)."))

"""Tiles in flight: while one is computed, the next goes to the device and the last one's result comes back.

A lane is one device. Several lanes share the queue of a picture's tiles: whichever is free takes the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from upscale_cli import device as devices
from upscale_cli.tiling import Tile, TileQueue, cut_out

OnTile = Callable[[int, int], None]
OnPasted = Callable[[Sequence[Tile]], None]
T = TypeVar("T")


class Lane(Protocol):
    """A device with a network on it. ``send`` and ``fetch`` run in threads of their own beside ``compute``."""

    device: torch.device

    def send(self, tiles: NDArray[Any]) -> Tensor:
        """Return integer ``tiles`` (n, h, w, C) on the device."""

    def compute(self, tiles: Tensor, dtype: DTypeLike) -> Any:
        """Return the results (n, scale·h, scale·w, C) as integers of ``dtype``, on the device or on their way there."""

    def fetch(self, tiles: Tensor, result: Any, dtype: DTypeLike) -> NDArray[Any]:
        """Return the results in main memory."""


@dataclass
class _Picture:
    """One pass over one picture, worked on by one or several lanes.

    ``adopts``: a result that is the whole ``output`` may take its place, without another copy.
    """

    source: NDArray[Any]
    output: NDArray[Any]
    adopts: bool
    queue: TileQueue
    scale: int
    on_tile: OnTile
    on_split: Callable[[int], None]
    on_pasted: OnPasted
    done: int
    lock: Lock = field(default_factory=Lock)

    def cut(self, group: Sequence[Tile]) -> NDArray[Any]:
        """Return the sources of ``group`` as one array (n, h, w, C)."""
        parts = [cut_out(self.source, tile.source, self.queue.grid.wraps) for tile in group]
        return parts[0][None] if len(parts) == 1 else np.stack(parts)

    def paste(self, group: Sequence[Tile], results: NDArray[Any]) -> None:
        """Write the cores of ``results`` (n, scale·h, scale·w, C), as far as they lie in the picture."""
        scale, (height, width) = self.scale, self.output.shape[:2]
        for tile, result in zip(group, results, strict=True):
            core, source = tile.core, tile.source
            target = self.output[
                core.top * scale : min(core.bottom * scale, height), core.left * scale : min(core.right * scale, width)
            ]
            if self.adopts and target.shape == self.output.shape == result.shape:
                self.output = result
                continue
            top, left = (core.top - source.top) * scale, (core.left - source.left) * scale
            target[...] = result[top : top + target.shape[0], left : left + target.shape[1]]
        with self.lock:
            self.done += sum(tile.core.area for tile in group)
            self.on_pasted(group)
            self.on_tile(self.done, self.queue.grid.padded[0] * self.queue.grid.padded[1])


def run(
    lanes: Sequence[Lane],
    source: NDArray[Any],
    queue: TileQueue,
    scale: int,
    dtype: DTypeLike,
    *,
    on_tile: OnTile = lambda done, total: None,
    on_split: Callable[[int], None] = lambda side: None,
    on_pasted: OnPasted = lambda group: None,
    output: NDArray[Any] | None = None,
    done: int = 0,
) -> NDArray[Any]:
    """Return the results of all tiles of integer ``source`` (H, W, C): (scale·H, scale·W, C) in levels of ``dtype``.

    They are written into ``output`` where that is given, which may hold the results of tiles that are not in ``queue``,
    of ``done`` LR pixels together; ``on_pasted`` gets the tiles whose results were written.
    Where memory does not suffice, the tile and all as large are halved and ``on_split`` gets the new side; ``on_tile``
    gets (LR pixels done, LR pixels in all). Raises DeviceError where the smallest tile does not fit, and whatever a
    lane raises; no tile is begun after that.
    """
    height, width, channels = source.shape
    place = np.empty((height * scale, width * scale, channels), dtype) if output is None else output
    picture = _Picture(source, place, output is None, queue, scale, on_tile, on_split, on_pasted, done)
    if len(lanes) == 1:  # in the caller's thread, where Ctrl-C ends it between two operations
        _drain(lanes[0], picture)
        return picture.output
    with ThreadPoolExecutor(len(lanes), "lane") as pool:
        try:
            running = [pool.submit(_drain, lane, picture) for lane in lanes]
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            queue.close()
    for lane_done in running:
        lane_done.result()
    return picture.output


def _drain(lane: Lane, picture: _Picture) -> None:
    """Do tiles until none is left: three at a time, one on its way out, one being computed, one on its way back."""
    dtype, queue = picture.output.dtype, picture.queue

    def attempt(group: list[Tile], step: Callable[[], T]) -> T | None:
        """Return what ``step`` returns, or None where memory did not suffice: the queue then has the group, smaller."""
        try:
            return step()
        except (RuntimeError, MemoryError) as error:
            if not devices.is_out_of_memory(error):
                raise
        side = queue.split(group)
        devices.release_memory(lane.device)
        if side:
            picture.on_split(side)
        return None

    with ThreadPoolExecutor(1, "send") as sender, ThreadPoolExecutor(1, "fetch") as fetcher:

        def sent_next() -> tuple[list[Tile], Future[Tensor]] | None:
            group = queue.take()
            return (group, sender.submit(lambda: lane.send(picture.cut(group)))) if group else None

        def returned(group: list[Tile], tiles: Tensor, result: Any) -> Future[None]:
            return fetcher.submit(lambda: picture.paste(group, lane.fetch(tiles, result, dtype)))

        coming = sent_next()
        returning: tuple[list[Tile], Future[None]] | None = None
        while coming or returning:
            leaving = None
            if coming:
                group, sending = coming
                tiles = attempt(group, sending.result)
                coming = sent_next()
                result = None if tiles is None else attempt(group, partial(lane.compute, tiles, dtype))
                leaving = None if tiles is None or result is None else (group, returned(group, tiles, result))
            if returning:
                attempt(returning[0], returning[1].result)
            returning = leaving
            coming = coming or sent_next()

"""Cutting a picture into tiles that overlap by a halo, and the queue that hands them out to devices."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.borders import NO_WRAPS, Wraps, mirrored, repeated
from upscale_cli.errors import DeviceError

Span = tuple[int, int]  # from the first up to, but without, the second

SMALLEST_SPLIT = 16  # LR pixels: below it a tile is nearly all halo, and splitting on saves no memory


@dataclass(frozen=True)
class Box:
    """Pixels from (top, left) up to, but without, (bottom, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left

    @property
    def area(self) -> int:
        """Pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, halo: int, height: int, width: int, wraps: Wraps = NO_WRAPS) -> Box:
        """Return the box larger by ``halo`` on every side.

        Not beyond a picture of ``height`` x ``width``, but in the directions in which that ``wraps``.
        """
        top, left, bottom, right = self.top - halo, self.left - halo, self.bottom + halo, self.right + halo
        top, bottom = (top, bottom) if wraps[0] else (max(0, top), min(height, bottom))
        left, right = (left, right) if wraps[1] else (max(0, left), min(width, right))
        return Box(top, left, bottom, right)


@dataclass(frozen=True)
class Tile:
    """``source`` is what the network sees, ``core`` the part of it whose result is kept."""

    core: Box
    source: Box

    def lowered(self, rows: int) -> Tile:
        """Return the same tile of a picture that lies ``rows`` further down."""
        return Tile(*(Box(box.top + rows, box.left, box.bottom + rows, box.right) for box in (self.core, self.source)))


@dataclass(frozen=True)
class Grid:
    """What all tiles of a picture have in common.

    ``height`` and ``width`` of the picture in LR pixels; ``halo``: real neighbours around a core; ``multiple``: the
    grid that the network works on, on which all borders lie but, where it takes ``any_size``, the picture's own.
    ``wraps``: where sources go beyond the picture, which is repeated there.
    """

    height: int
    width: int
    halo: int = 0
    multiple: int = 1
    any_size: bool = False
    wraps: Wraps = NO_WRAPS

    @property
    def padded(self) -> tuple[int, int]:
        """(height, width) of the picture continued to multiples of ``multiple``, if it has to be."""
        if self.any_size:
            return self.height, self.width
        height, width = (-(-side // self.multiple) * self.multiple for side in (self.height, self.width))
        return height, width

    def tile(self, core: Box) -> Tile:
        """Return the tile of ``core``, its source clipped at the edge of the padded picture.

        ``core`` may lie in one of several pictures of this size, one above the other.
        """
        halo, above = -(-self.halo // self.multiple) * self.multiple, core.top // self.padded[0] * self.padded[0]
        inside = Box(core.top - above, core.left, core.bottom - above, core.right)
        return Tile(inside, inside.grown(halo, *self.padded, self.wraps)).lowered(above)

    def plan(self, side: int) -> tuple[Tile, ...]:
        """Return tiles, row by row, with sources as large as cores of ``side`` x ``side`` pixels need (0: one tile).

        Sources are of one size, so that a device prepares for it once, but where the picture wraps or does not end on
        the grid. Cores cover the padded picture exactly once; at its edges they are larger by a halo.
        """
        rows, columns = (
            self._windows(length, side or length, wraps) for length, wraps in zip(self.padded, self.wraps, strict=True)
        )
        return tuple(_crossed(row, column) for row in rows for column in columns)

    def _windows(self, length: int, side: int, wraps: bool) -> list[tuple[Span, Span]]:
        """Return the (core, source) of all tiles along an axis of ``length``."""
        multiple, halo = self.multiple, -(-self.halo // self.multiple) * self.multiple
        if wraps or length % multiple:
            cores = list(pairwise(_cuts(length, side, multiple)))
            limits = (-halo, length + halo) if wraps else (0, length)
            return [(core, (max(limits[0], core[0] - halo), min(limits[1], core[1] + halo))) for core in cores]
        inner = max(1, side // multiple)
        count = max(1, -(-(length - 2 * halo) // (inner * multiple)))
        window = min(length, -(-(length - 2 * halo) // (count * multiple)) * multiple + 2 * halo)
        room = (length - window) // multiple
        starts = [room * number // max(1, count - 1) * multiple for number in range(count)]
        between = [(after + before + window) // (2 * multiple) * multiple for before, after in pairwise(starts)]
        cores = list(pairwise([0, *between, length]))
        return [(core, (start, start + window)) for core, start in zip(cores, starts, strict=True)]

    def halves(self, tile: Tile) -> tuple[Tile, ...]:
        """Return the four (or two) parts of ``tile``. Raises DeviceError for tiles too small to be split."""
        height, width = tile.core.size
        if max(height, width) <= max(SMALLEST_SPLIT, self.multiple):
            raise DeviceError(
                f"Memory does not suffice even for a tile of {width}x{height} pixels.",
                "Close other programs, use a smaller model, or --device cpu.",
            )
        side = -(-max(height, width) // 2)
        return tuple(self.tile(core) for core in self._cut(tile.core, -(-side // self.multiple) * self.multiple))

    def _cut(self, box: Box, side: int) -> Iterable[Box]:
        rows = [box.top + cut for cut in _cuts(box.size[0], side, self.multiple)]
        columns = [box.left + cut for cut in _cuts(box.size[1], side, self.multiple)]
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                yield Box(top, left, bottom, right)


def _crossed(row: tuple[Span, Span], column: tuple[Span, Span]) -> Tile:
    """Return the tile whose core and source are those of ``row`` downwards and of ``column`` across."""
    core, source = (Box(down[0], across[0], down[1], across[1]) for down, across in zip(row, column, strict=True))
    return Tile(core, source)


def _cuts(length: int, tile: int, multiple: int) -> list[int]:
    """Return the borders of nearly equal parts of at most ``tile``: multiples of ``multiple``, and ``length``."""
    units, unit_tile = -(-length // multiple), max(1, tile // multiple)
    parts = -(-units // unit_tile)
    return [min(length, round(units * part / parts) * multiple) for part in range(parts + 1)]


def cut_out(pixels: NDArray[Any], box: Box, wraps: Wraps = NO_WRAPS) -> NDArray[Any]:
    """Return a copy of ``pixels`` (H, W, C) in ``box``, continued beyond the edges: repeated where they ``wrap``,
    reflected elsewhere.
    """
    height, width = pixels.shape[:2]
    if min(box.top, box.left) >= 0 and box.bottom <= height and box.right <= width:
        return np.array(pixels[box.top : box.bottom, box.left : box.right], order="C")
    rows, columns = (
        repeated(*ends) if wrapping else mirrored(*ends, edge_twice=False)
        for ends, wrapping in zip(((box.top, box.bottom, height), (box.left, box.right, width)), wraps, strict=True)
    )
    top, left = int(rows.min()), int(columns.min())
    part = np.asarray(pixels[top : rows.max() + 1, left : columns.max() + 1])
    return np.ascontiguousarray(part[np.ix_(rows - top, columns - left)])


class TileQueue:
    """The tiles of one picture that are still to be done, handed out to any number of threads.

    ``batch``: how many tiles of one size are taken together. ``tiles``: those of ``grid.plan(side)`` that are to be
    done, None for all.
    """

    def __init__(self, grid: Grid, side: int, batch: int = 1, tiles: Iterable[Tile] | None = None) -> None:
        self.grid = grid
        self._pending = deque(grid.plan(side) if tiles is None else tiles)
        self._batch = batch
        self._side = 0  # of halved tiles, once memory did not suffice
        self._lock = threading.Lock()

    def take(self) -> list[Tile]:
        """Return the next tiles, all of one size; none when nothing is left or the queue was closed."""
        with self._lock:
            group: list[Tile] = []
            while self._pending and len(group) < self._batch:
                if group and self._pending[0].source.size != group[0].source.size:
                    break
                group.append(self._pending.popleft())
            return group

    def split(self, group: Sequence[Tile]) -> int:
        """Take back ``group``, for which memory did not suffice; return the new side of tiles, or 0.

        A batch becomes smaller batches (0). A single tile, and all that are as large, are halved; 0 again where they
        were halved before, while this one was on its way. Raises DeviceError where it is too small for that.
        """
        with self._lock:
            self._pending.extendleft(reversed(group))
            self._batch = max(1, self._batch // 2)
            if len(group) > 1:
                return 0
            limit = max(group[0].core.size)
            self._pending = deque(
                part
                for tile in self._pending
                for part in (self.grid.halves(tile) if max(tile.core.size) >= limit else (tile,))
            )
            side, known = max(self._pending[0].core.size), self._side
            self._side = min(side, known or side)
            return 0 if known and known <= side else side

    def close(self) -> None:
        """Hand out no more tiles."""
        with self._lock:
            self._pending.clear()

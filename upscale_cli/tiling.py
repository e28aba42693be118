"""Running a function over a picture piece by piece, so that no one sees where the pieces met.

``plan`` says which source box makes which core box; ``run`` applies any function that enlarges by a whole factor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from upscale_cli.errors import DeviceError

SMALLEST_SPLIT = 16  # LR pixels: below it a tile is nearly all halo, and splitting on saves no memory

TileFunction = Callable[[Tensor], Tensor]


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

    def grown(self, halo: int, height: int, width: int) -> Box:
        """Larger by ``halo`` on every side, but not beyond a picture of ``height`` x ``width``."""
        top, left = max(0, self.top - halo), max(0, self.left - halo)
        return Box(top, left, min(height, self.bottom + halo), min(width, self.right + halo))


@dataclass(frozen=True)
class Tile:
    """``source`` is what the function sees, ``core`` the part of it whose result is kept."""

    core: Box
    source: Box


def _cuts(length: int, tile: int, multiple: int) -> list[int]:
    """Borders of nearly equal parts of at most ``tile``, all on multiples of ``multiple`` but for the last."""
    units, unit_tile = -(-length // multiple), max(1, tile // multiple)
    parts = -(-units // unit_tile)
    return [min(length, round(units * part / parts) * multiple) for part in range(parts + 1)]


def plan(height: int, width: int, tile: int, halo: int, multiple: int = 1) -> tuple[Tile, ...]:
    """Tiles of at most ``tile`` x ``tile`` core pixels (0: one tile), row by row, parts of nearly equal size.

    Cores cover the picture exactly once; a source is its core and ``halo`` real neighbours, clipped at the true edge.
    Borders lie on multiples of ``multiple``, the grid the network works on; ``halo`` is rounded up to it.
    """
    side = tile or max(height, width)
    halo = -(-halo // multiple) * multiple
    rows, columns = _cuts(height, side, multiple), _cuts(width, side, multiple)
    cores = [Box(top, left, bottom, right) for top, bottom in pairwise(rows) for left, right in pairwise(columns)]
    return tuple(Tile(core, core.grown(halo, height, width)) for core in cores)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """(N, C, H, W) with H and W brought up to multiples by reflection at the lower and right edge, at any size."""
    for dim in (2, 3):
        length = image.shape[dim]
        missing = -length % multiple
        if missing:
            period = max(1, 2 * (length - 1))
            index = torch.arange(length + missing, device=image.device) % period
            image = image.index_select(dim, torch.where(index < length, index, period - index))
    return image


def _halves(tile: Tile, halo: int, multiple: int, picture: tuple[int, int]) -> list[Tile]:
    height, width = tile.core.size
    if max(height, width) <= max(SMALLEST_SPLIT, multiple):
        raise DeviceError(
            f"Memory does not suffice even for a tile of {width}x{height} pixels.",
            "Close other programs, use a smaller model, or --device cpu.",
        )
    side = -(-max(height, width) // 2)
    parts = plan(height, width, max(multiple, -(-side // multiple) * multiple), 0, multiple)
    moved = (
        Box(
            p.core.top + tile.core.top,
            p.core.left + tile.core.left,
            p.core.bottom + tile.core.top,
            p.core.right + tile.core.left,
        )
        for p in parts
    )
    return [Tile(core, core.grown(halo, *picture)) for core in moved]


def quantise(values: Tensor, dtype: torch.dtype) -> Tensor:
    """[0, 1] to the nearest level of an integer ``dtype``; floating point stays as it is."""
    if dtype.is_floating_point:
        return values.to(dtype)
    return (values.clamp(0, 1) * torch.iinfo(dtype).max).round().to(dtype)


def run(
    function: TileFunction,
    image: Tensor,
    tiles: Sequence[Tile],
    scale: int,
    *,
    halo: int,
    multiple: int = 1,
    batch: int = 1,
    dtype: torch.dtype = torch.float32,
    is_out_of_memory: Callable[[BaseException], bool] = lambda error: isinstance(error, MemoryError),
    on_tile: Callable[[int, int], None] = lambda done, total: None,
    on_split: Callable[[int], None] = lambda side: None,
) -> Tensor:
    """Apply ``function``, (n, C, h, w) to (n, D, scale·h, scale·w), to all ``tiles`` of ``image`` (1, C, H, W).

    Returns (1, D, scale·H, scale·W) on the image's device; as ``dtype``, an integer one meaning its full range for
    [0, 1]. Up to ``batch`` tiles of one size run together. Where memory does not suffice, the tile and all larger ones
    to come are halved (``on_split`` hears the new side) and the run goes on; DeviceError once they cannot get smaller.
    ``on_tile`` hears (pixels done, pixels in total).
    """
    height, width = image.shape[-2:]
    pending = deque(tiles)
    output: Tensor | None = None
    done = 0
    while pending:
        group = _next_group(pending, batch)
        try:
            results = function(_stack(image, group))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            batch = max(1, batch // 2)
            pending.extendleft(reversed(group))
            if len(group) == 1:
                pending = _halve_all(pending, halo, multiple, (height, width))
                on_split(max(pending[0].core.size))
            continue
        if output is None:
            output = torch.empty((1, results.shape[1], height * scale, width * scale), dtype=dtype, device=image.device)
        for tile, result in zip(group, results, strict=True):
            _paste(output, tile, result, scale)
            done += tile.core.size[0] * tile.core.size[1]
            on_tile(done, height * width)
    assert output is not None
    return output


def _next_group(pending: deque[Tile], batch: int) -> list[Tile]:
    group = [pending.popleft()]
    while pending and len(group) < batch and pending[0].source.size == group[0].source.size:
        group.append(pending.popleft())
    return group


def _stack(image: Tensor, group: Sequence[Tile]) -> Tensor:
    parts = [image[:, :, t.source.top : t.source.bottom, t.source.left : t.source.right] for t in group]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _halve_all(pending: deque[Tile], halo: int, multiple: int, picture: tuple[int, int]) -> deque[Tile]:
    limit = max(pending[0].core.size)
    return deque(
        part
        for tile in pending
        for part in (_halves(tile, halo, multiple, picture) if max(tile.core.size) >= limit else [tile])
    )


def _paste(output: Tensor, tile: Tile, result: Tensor, scale: int) -> None:
    core, source = tile.core, tile.source
    top, left = (core.top - source.top) * scale, (core.left - source.left) * scale
    kept = result[:, top : top + core.size[0] * scale, left : left + core.size[1] * scale]
    target = output[0, :, core.top * scale : core.bottom * scale, core.left * scale : core.right * scale]
    target.copy_(quantise(kept.float(), output.dtype))

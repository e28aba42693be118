"""What has not changed since a clip's last frame is not computed again: its result is taken over, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.images.picture import Pixels
from upscale_cli.tiling import Grid, Tile, cut_out


class LastRun:
    """The last frame before and after one pass of a network, and what was taken over so far, in input pixels."""

    def __init__(self) -> None:
        self.reused = self.pixels = 0
        self._side: int | None = None
        self._source: Pixels | None = None
        self._result: Pixels | None = None

    def side(self, wanted: int) -> int:
        """Return the side of tiles: that of the first frame, so that memory in use later does not change tiles."""
        if self._side is None:
            self._side = wanted
        return self._side

    def same(self, source: Pixels, dtype: Any) -> Pixels | None:
        """Return the last result where ``source`` equals the last frame."""
        if self._fits(source, dtype) and np.array_equal(source, self._source):  # type: ignore[arg-type]
            self._count(source.shape[0] * source.shape[1], source)
            return self._result
        return None

    def take_over(self, source: Pixels, grid: Grid, tiles: Sequence[Tile], result: Pixels) -> list[Tile]:
        """Write into ``result`` what the tiles whose source did not change came to; return the tiles to be computed."""
        if not self._fits(source, result.dtype):
            self._count(0, source)
            return list(tiles)
        assert self._source is not None
        assert self._result is not None
        scale = result.shape[0] // grid.height
        changed, taken = [], 0
        for tile in tiles:
            if not np.array_equal(cut_out(source, tile.source), cut_out(self._source, tile.source)):
                changed.append(tile)
                continue
            core = tile.core
            inside = np.s_[core.top * scale : core.bottom * scale, core.left * scale : core.right * scale]
            result[inside] = self._result[inside]
            taken += (min(core.bottom, grid.height) - core.top) * (min(core.right, grid.width) - core.left)
        self._count(taken, source)
        return changed

    def keep(self, source: Pixels, result: Pixels) -> None:
        """Remember a frame and its result."""
        self._source, self._result = source, result

    def forget(self) -> None:
        """Begin anew: memory did not suffice for tiles of that side."""
        self._side = self._source = self._result = None

    def _fits(self, source: Pixels, dtype: Any) -> bool:
        before, result = self._source, self._result
        return before is not None and result is not None and before.shape == source.shape and result.dtype == dtype

    def _count(self, taken: int, source: Pixels) -> None:
        self.reused += taken
        self.pixels += source.shape[0] * source.shape[1]


@dataclass
class FrameMemory:
    """What is kept of a clip's last frame: a ``LastRun`` for each pass, and the resized result of the last one."""

    runs: dict[int, LastRun] = field(default_factory=dict)
    resized: tuple[NDArray[Any], NDArray[Any]] | None = None

    def of_pass(self, number: int) -> LastRun:
        """Return the memory of pass ``number``."""
        return self.runs.setdefault(number, LastRun())

    @property
    def counts(self) -> tuple[int, int]:
        """Input pixels that were taken over in the first pass, and all."""
        first = self.of_pass(1)
        return first.reused, first.pixels

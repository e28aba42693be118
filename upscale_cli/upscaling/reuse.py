"""What has not changed since a clip's last frame is not computed again: its result is taken over, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

from upscale_cli.images.picture import Pixels
from upscale_cli.tiling import Grid, Tile, cut_out


class LastRun:
    """The last frame before and after one pass of a network, and what was taken over so far, in input pixels.

    ``reuses``: whether anything is taken over.
    """

    def __init__(self, reuses: bool) -> None:
        self.reused = self.pixels = 0
        self._reuses = reuses
        self._side: int | None = None
        self._source: Pixels | None = None
        self._result: Pixels | None = None

    def side(self, wanted: int) -> int:
        """Return the side of tiles: that of the first frame, so that memory in use later does not change tiles."""
        if self._side is None:
            self._side = wanted
        return self._side

    def changed(self, frames: Sequence[Pixels], tiles: Sequence[Tile], dtype: DTypeLike) -> list[list[Tile]]:
        """Return, for each of ``frames``, those of ``tiles`` whose source differs from the frame before."""
        fits = self._result is not None and self._result.dtype == dtype
        before = self._source if fits and self._reuses else None
        all_changed = []
        for frame in frames:
            if before is None or before.shape != frame.shape:
                all_changed.append(list(tiles))
            elif np.array_equal(before, frame):
                all_changed.append([])
            else:
                all_changed.append([tile for tile in tiles if not _equal(before, frame, tile)])
            before = frame if self._reuses else None
        return all_changed

    def complete(
        self,
        frames: Sequence[Pixels],
        results: Sequence[Pixels],
        grid: Grid,
        tiles: Sequence[Tile],
        changed: Sequence[Sequence[Tile]],
    ) -> list[Pixels]:
        """Return ``results``, of which the ``changed`` tiles are there, with the others taken from the frame before.

        A frame without change has the result of the one before, not a copy.
        """
        scale = results[0].shape[0] // grid.height
        whole = []
        for frame, result, computed in zip(frames, results, changed, strict=True):
            kept = set(tiles).difference(computed)
            if not computed and self._result is not None:
                result = self._result
            elif kept:
                assert self._result is not None
                for core in (tile.core for tile in kept):
                    inside = np.s_[core.top * scale : core.bottom * scale, core.left * scale : core.right * scale]
                    result[inside] = self._result[inside]
            self.reused += sum(_pixels(tile, grid) for tile in kept)
            self.pixels += grid.height * grid.width
            self._source, self._result = frame, result
            whole.append(result)
        return whole

    def forget(self, side: bool = True) -> None:
        """Take nothing over from the last frame; ``side``: nor that of its tiles, for which memory did not suffice."""
        self._side = None if side else self._side
        self._source = self._result = None


def _equal(before: Pixels, frame: Pixels, tile: Tile) -> bool:
    return np.array_equal(cut_out(before, tile.source), cut_out(frame, tile.source))


def _pixels(tile: Tile, grid: Grid) -> int:
    """Return the pixels of the frame, without what it was padded by, in the core of ``tile``."""
    core = tile.core
    return (min(core.bottom, grid.height) - core.top) * (min(core.right, grid.width) - core.left)


@dataclass
class FrameMemory:
    """What is kept of a clip's last frame: a ``LastRun`` for each pass, and the resized result of the last one."""

    reuses: bool = True
    runs: dict[int, LastRun] = field(default_factory=dict)
    _resized: tuple[Pixels, Pixels] | None = None

    def of_pass(self, number: int) -> LastRun:
        """Return the memory of pass ``number``, counted from 1."""
        return self.runs.setdefault(number, LastRun(self.reuses))

    def forget(self) -> None:
        """Take nothing over from the last frame."""
        self._resized = None
        for run in self.runs.values():
            run.forget(side=False)

    def resized(self, pixels: Pixels, resize: Callable[[Pixels], Pixels]) -> Pixels:
        """Return what ``resize`` makes of ``pixels``, of the same array as last time without doing it again."""
        if self._resized is None or self._resized[0] is not pixels:
            self._resized = pixels, resize(pixels)
        return self._resized[1]

    @property
    def counts(self) -> tuple[int, int]:
        """Input pixels that were taken over in the first pass, and all."""
        first = self.of_pass(1)
        return first.reused, first.pixels

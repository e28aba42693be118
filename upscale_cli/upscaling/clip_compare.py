"""The before/after clip: each frame enlarged bicubically beside its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any

from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.sheet import TEXT_HEIGHT
from upscale_cli.notices import ignore
from upscale_cli.upscaling.clip import ClipRun, reader_of
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.comparison import DIVIDER, side_by_side
from upscale_cli.upscaling.engines.engine import Listener
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video.info import Frame, FrameReader


class Beside:
    """Stands in for an Upscaler: puts the next frame of ``results`` beside each frame."""

    def __init__(self, results: Callable[[], Iterator[Frame]], name: str) -> None:
        self.name = name
        self._results, self._begun = results, False

    def frames_at_once(self, height: int, width: int) -> int:
        """Return 1."""
        return 1

    def upscale_frames(self, frames: Sequence[Pixels], target: Any, dtype: Any, memory: Any) -> list[Pixels]:
        """Return ``frames`` beside the next results."""
        if not self._begun:
            self._coming, self._begun = self._results(), True
        pairs = [(Picture(pixels), Picture(next(self._coming).pixels.astype(pixels.dtype))) for pixels in frames]
        return [side_by_side(before, after, self.name).color for before, after in pairs]


def size_beside(height: int, width: int) -> tuple[int, int]:
    """Return (height, width) of the comparison with a result of that size."""
    return height + TEXT_HEIGHT, 2 * width + DIVIDER


def compare(
    run: ClipRun, reader: FrameReader, options: UpscaleOptions, clip: ClipOptions, name: str, listener: Listener
) -> None:
    """Write the comparison of the clip that ``run`` has made, in segments too. Raises what ``ClipRun`` raises."""
    job, encoding = run.job, run.encoding
    assert job.comparison is not None
    beside_job = replace(job, target=job.comparison, comparison=None)
    with closing(reader_of(job.target, ClipOptions())) as results:
        size = size_beside(encoding.height, encoding.width)
        beside = ClipRun(beside_job, reader, options, clip, ignore, size)
        upscaler = Beside(lambda: islice(results.frames(), beside.done, None), name)
        beside.run(lambda picture, on_share: upscaler, listener)  # type: ignore[arg-type, return-value]

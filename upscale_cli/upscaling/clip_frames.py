"""Frames of a clip, enlarged one after another while the next ones are decoded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.upscaling.engines.engine import Listener, Progress
from upscale_cli.upscaling.job import Job, UpscalerFor
from upscale_cli.upscaling.reuse import FrameMemory
from upscale_cli.upscaling.work import passes
from upscale_cli.video.info import ClipInfo, Frame

AHEAD = 3  # frames decoded before they are needed, and as many that wait for the encoder


class FrameMaker:
    """Enlarges frames to ``size`` (height, width) in levels of ``dtype``, and reports on each.

    ``done``: how many frames an earlier run has finished. The upscaler is asked for at the first frame.
    """

    def __init__(
        self,
        job: Job,
        info: ClipInfo,
        size: tuple[int, int],
        dtype: DTypeLike,
        upscaler_for: UpscalerFor,
        listener: Listener,
        *,
        reuse: bool = True,
        done: int = 0,
    ) -> None:
        self.model: str | None = None
        self.at_once = 1  # frames to give to ``enlarged`` together, once the first is done
        self._job, self._info, self._size, self._dtype = job, info, size, dtype
        self._upscaler_for, self._listener = upscaler_for, listener
        self._memory = FrameMemory(reuse)
        self._upscaler: Any = None
        self._begun, self._done, self._made = time.perf_counter(), done, 0

    def enlarged(self, frames: Sequence[Frame]) -> list[Pixels]:
        """Return ``frames`` enlarged."""
        if self._upscaler is None:
            self._listener.started(self._job)
            self._upscaler = self._upscaler_for(Picture(frames[0].pixels), lambda share, detail: None)
            self.model, self._begun = self._upscaler.name, time.perf_counter()
            self.at_once = self._upscaler.frames_at_once(self._info.height, self._info.width)
        pixels = [frame.pixels for frame in frames]
        results: list[Pixels] = self._upscaler.upscale_frames(pixels, self._size, self._dtype, self._memory)
        self._report(len(frames))
        return results

    def results(self, coming: Coming, end: int) -> Iterator[tuple[Frame, Pixels]]:
        """Yield each frame before timestamp ``end`` with its result, which no frame before them changes."""
        self._memory.forget()
        frames = coming.before(end)
        while group := list(islice(frames, self.at_once)):
            results = self.enlarged(group)
            coming.at_once = self.at_once
            yield from zip(group, results, strict=True)

    @property
    def network(self) -> tuple[str, int]:
        """The network's name, and its passes over each frame, once the first is enlarged."""
        scale = self._upscaler.spec.scale
        return self._upscaler.name, passes(self._info.height, self._info.width, self._size, scale)

    @property
    def counts(self) -> tuple[int, int]:
        """Input pixels that were taken over from the frame before, and all."""
        return self._memory.counts

    def _report(self, count: int) -> None:
        self._made += count
        seconds, (reused, pixels) = time.perf_counter() - self._begun, self._memory.counts
        progress = reached(self._job, self._info, self._done, self._made, seconds, reused / max(1, pixels))
        self._listener.progress(progress)


def reached(job: Job, info: ClipInfo, done: int, made: int, seconds: float, reused: float = 0.0) -> Progress:
    """Return the progress of ``made`` frames in ``seconds`` after ``done`` of an earlier run.

    ``reused``: the share of pixels that were taken over.
    """
    number = done + made
    detail = f"frame {number}/{info.frames or '?'}, {made / max(1e-9, seconds):.1f} frames/s"
    detail += f", {reused:.0%} reused" if reused else ""
    share = number / max(info.frames, number) if info.frames else 0.0
    return Progress(job, share, detail, made * info.width * info.height / 1e6)


class Pending:
    """Work that was given to a thread and is waited for in order, at most ``AHEAD`` pieces at a time."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._futures: deque[Future[None]] = deque()

    def submit(self, function: Any, *arguments: Any) -> None:
        """Give ``function`` to the thread; raise what an earlier one raised."""
        self._futures.append(self._pool.submit(function, *arguments))
        while len(self._futures) > AHEAD or (self._futures and self._futures[0].done()):
            self._futures.popleft().result()

    def wait(self) -> None:
        """Wait for all, and raise what one raised."""
        while self._futures:
            self._futures.popleft().result()

    def cancel(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        for future in self._futures:
            future.cancel()
        wait(self._futures)
        self._futures.clear()


class Coming:
    """Frames that are decoded ahead in ``pool``, and given out segment by segment, perhaps ``at_once`` together."""

    def __init__(self, frames: Iterator[Frame], pool: Executor) -> None:
        self.at_once = 1
        self._frames = ahead(frames, pool, lambda: AHEAD + self.at_once)
        self._next: list[Frame] = []

    def following(self) -> int | None:
        """Return the timestamp of the next frame, None at the end of the clip."""
        if not self._next:
            self._next += islice(self._frames, 1)
        return self._next[0].pts if self._next else None

    def before(self, end: int) -> Iterator[Frame]:
        """Yield the frames before timestamp ``end``."""
        while (pts := self.following()) is not None and pts < end:
            yield self._next.pop()


@contextmanager
def threads() -> Iterator[tuple[Executor, Pending]]:
    """Yield a thread that decodes, and one that encodes; nothing new is begun once the block has failed."""
    decoder, encoder = ThreadPoolExecutor(1, "decode"), ThreadPoolExecutor(1, "encode")
    try:
        yield decoder, Pending(encoder)
    finally:
        for pool in (decoder, encoder):
            pool.shutdown(wait=True, cancel_futures=True)


def ahead(frames: Iterator[Frame], pool: Executor, count: Callable[[], int] = lambda: AHEAD) -> Iterator[Frame]:
    """Yield ``frames``, of which the next ``count`` are decoded in ``pool`` meanwhile."""
    coming: deque[Future[Frame | None]] = deque()
    while True:
        coming.extend(pool.submit(next, frames, None) for _ in range(len(coming), count()))
        if (frame := coming.popleft().result()) is None:
            return
        yield frame


def padded(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return ``pixels`` with the last row and column repeated up to ``height`` and ``width``."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.pad(pixels, ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0)), "edge")

"""Clips on a cluster: their segments are the jobs of an engine, and are joined here once all of a clip are there."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import count

from upscale_cli.errors import InputError, UpscaleError
from upscale_cli.upscaling.clip import ClipOutcome, ClipRun, unwritten
from upscale_cli.upscaling.clip_frames import reached
from upscale_cli.upscaling.clip_job import Part, PartOutcome
from upscale_cli.upscaling.engines.engine import Engine, Listener, Progress
from upscale_cli.upscaling.job import Job, Outcome, Upscalers
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video.segments import are_consistent

Ended = tuple[ClipRun, ClipOutcome | UpscaleError]


def enlarge(
    runs: Iterator[ClipRun], engine: Engine, options: UpscaleOptions, upscalers: Upscalers, listener: Listener
) -> Generator[Ended, None, None]:
    """Make all clips by ``engine`` and yield what became of each; segments that are finished stay, whatever happens."""
    parts = _Parts(runs, listener)
    try:
        if parts.any:
            with closing(engine.run(parts, options, upscalers, parts)) as outcomes:
                for outcome in outcomes:
                    parts.take(outcome)
                    while parts.ended:
                        yield parts.ended.popleft()
        yield from parts.ended
    finally:
        parts.close()


class _UnderWay:
    """A clip some of whose segments are still missing, at least until they are joined."""

    def __init__(self, run: ClipRun) -> None:
        self.run, self.began = run, time.perf_counter()
        self.model: str | None = None
        self.folder = run.begun()
        self.segments = self.folder.finished()
        self.begun = self.ended = False
        self.in_flight = 0  # segments that workers have
        self.megapixels: dict[int, float] = {}  # of the input that this run has done, by segment
        self._given: set[int] = set()
        run.done = sum(segment.frames for segment in self.segments.values())
        seconds = run.info.frames / run.info.rate
        self._expected = math.ceil(seconds / (run.grid.ticks * run.info.time_base))

    @property
    def whole(self) -> bool:
        """Whether all segments are there."""
        return self.run.grid.joined(self.segments)[1] is None

    def next_part(self) -> Part | None:
        """Return the next segment that nothing is known of, None where there is none, or none for the moment."""
        missing = self.run.grid.joined(self.segments)[1]
        if missing is None or self.ended:
            return None
        ends = [number for number, segment in self.segments.items() if segment.following is None]
        end = min(ends, default=max(self._expected, missing + 1) if self._expected else math.inf)
        for number in count(missing):
            if number >= end:
                return None
            if number not in self.segments and number not in self._given and not self._is_empty(number):
                self._given.add(number)
                self.in_flight += 1
                return self.run.part(number, self.folder)
        raise AssertionError

    def _is_empty(self, number: int) -> bool:
        """Return whether a segment before ``number`` is followed by a frame behind it."""
        grid = self.run.grid
        return any(
            before.number < number < grid.number(before.following)
            for before in self.segments.values()
            if before.following is not None
        )

    def joined(self) -> ClipOutcome:
        """Return the outcome of the clip, all of whose segments are there. Raises UpscaleError."""
        if not are_consistent(self.run.grid.joined(self.segments)[0]):
            raise InputError(f"The time of {self.run.job.source} jumps back.", "Leave out --ray.")
        try:
            return self.run.joined(self.folder, self.segments, self.model, self.began)
        except OSError as error:
            raise unwritten(self.run.job.target, error) from error

    def progress(self) -> Progress:
        """Return how far the clip is."""
        info = self.run.info
        made = round(sum(self.megapixels.values()) * 1e6 / (info.width * info.height))
        return reached(self.run.job, info, self.run.done, made, time.perf_counter() - self.began)


class _Parts:
    """Hands out the missing segments of ``runs``, and takes what became of them; reports on clips to ``listener``.

    It may have no more for the moment, and have some again once an outcome was taken.
    """

    def __init__(self, runs: Iterator[ClipRun], listener: Listener) -> None:
        self.ended: deque[Ended] = deque()
        self._runs, self._listener = runs, listener
        self._clips: dict[object, _UnderWay] = {}  # by target
        self._first: Part | None = None
        self._first = next(self, None)

    @property
    def any(self) -> bool:
        """Whether there is something to do."""
        return self._first is not None

    def __iter__(self) -> Iterator[Part]:
        return self

    def __next__(self) -> Part:
        if (first := self._first) is not None:
            self._first = None
            return first
        while True:
            for clip in self._clips.values():
                if part := clip.next_part():
                    return part
            self._begin(next(self._runs))

    def _begin(self, run: ClipRun) -> None:
        try:
            clip = _UnderWay(run)
        except UpscaleError as error:
            self.ended.append((run, error))
            return
        except OSError as error:
            self.ended.append((run, unwritten(run.job.target, error)))
            return
        self._clips[run.job.target] = clip
        if clip.whole:
            self._end(clip)

    def take(self, outcome: Outcome) -> None:
        """Take in what became of a part."""
        clip = self._clips[outcome.job.target]
        clip.in_flight -= 1
        if clip.ended:
            self._let_go(clip)
        elif isinstance(outcome, PartOutcome):
            info, segment = clip.run.info, outcome.segment
            clip.segments[segment.number] = segment
            clip.model = outcome.model or clip.model
            clip.megapixels[segment.number] = segment.frames * info.width * info.height / 1e6
            self._listener.progress(clip.progress())
            if clip.whole:
                self._end(clip)
        elif outcome.error is not None:
            self._end(clip, outcome.error)

    def _end(self, clip: _UnderWay, error: UpscaleError | None = None) -> None:
        """Join ``clip``, or report the ``error`` that it ends with, and hand out no more of it."""
        clip.ended = True
        try:
            self.ended.append((clip.run, error or clip.joined()))
        except UpscaleError as failure:
            self.ended.append((clip.run, failure))
        self._let_go(clip)

    def _let_go(self, clip: _UnderWay) -> None:
        """Close the folder of ``clip``, which has ended, once no worker writes to it."""
        if not clip.in_flight:
            self._clips.pop(clip.run.job.target).folder.close()

    def started(self, job: Job) -> None:
        """Report that work on a clip begins."""
        clip = self._clips[job.target]
        if not clip.begun:
            clip.begun, clip.began = True, time.perf_counter()
            self._listener.started(clip.run.job)

    def progress(self, progress: Progress) -> None:
        """Report how far a clip is, from how far one of its segments is."""
        clip = self._clips[progress.job.target]
        if isinstance(progress.job, Part) and not clip.ended:
            number = progress.job.number
            clip.megapixels[number] = max(progress.megapixels, clip.megapixels.get(number, 0.0))
            self._listener.progress(clip.progress())

    def close(self) -> None:
        """Let go of the folders."""
        for clip in self._clips.values():
            clip.folder.close()

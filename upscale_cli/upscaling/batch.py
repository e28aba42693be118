"""Many pictures: while the network works on one, the next is read and the one before is written."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from upscale_cli.errors import OutputError, UpscaleError
from upscale_cli.images import formats
from upscale_cli.images.picture import Animation, Picture
from upscale_cli.images.read import DEFAULT_MAX_MEGAPIXELS, read_image
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import Notice
from upscale_cli.upscaling.comparison import side_by_side
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.targets import Job

WAITING_WRITES = 2  # finished pictures kept in memory while a slow disk takes its time


class PictureUpscaler(Protocol):
    """What ``run`` needs of an Upscaler."""

    name: str

    def upscale_picture(self, picture: Picture, size: Size, on_tile: Callable[[int, int], None] = ...) -> Picture: ...


UpscalerFor = Callable[[Picture], PictureUpscaler]


@dataclass(frozen=True)
class Settings:
    """What holds for every picture of a run."""

    size: Size
    quality: int | None = None
    depth: int | None = None
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS

    def writing(self, path: Path) -> WriteOptions:
        """How to write ``path``, whose extension names a format; of a run's formats the lossy ones take the quality."""
        kind = formats.of_path(path)
        assert kind is not None, "targets are planned with an extension of a known format"
        return WriteOptions(kind, self.quality if kind.lossy else None, self.depth)

    def require_possible(self, jobs: Sequence[Job]) -> None:
        """Raises UsageError where quality or depth fit none, or not all, of the formats to be written."""
        kinds = list(dict.fromkeys(self.writing(job.target).format for job in jobs))
        if kinds and not any(kind.lossy for kind in kinds):
            WriteOptions(kinds[0], self.quality)


@dataclass(frozen=True)
class Outcome:
    """What became of one job. Sizes are (width, height); ``seconds`` are the network's; ``error`` is None when done.

    ``model``: the name of the network, None where it came to none.
    """

    job: Job
    model: str | None = None
    seconds: float = 0.0
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    notices: tuple[Notice, ...] = ()
    error: UpscaleError | None = None


def run(
    jobs: Sequence[Job],
    upscaler_for: UpscalerFor,
    settings: Settings,
    on_start: Callable[[Job], None] = lambda job: None,
    on_tile: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Outcome]:
    """Do all ``jobs``, yielding an Outcome for each once its file is written or it has failed.

    ``upscaler_for`` is asked once for every picture, and for an animation with its first frame. A picture that fails
    does not stop the others. Closing the iterator (Ctrl-C) leaves no partial file behind.
    """
    writes: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        try:
            reads = deque([reader.submit(_read, jobs[0], settings)] if jobs else [])
            for index, job in enumerate(jobs):
                on_start(job)
                image = reads.popleft().result()
                if index + 1 < len(jobs):
                    reads.append(reader.submit(_read, jobs[index + 1], settings))
                result = (
                    image if isinstance(image, Outcome) else _enlarge(job, image, upscaler_for, settings.size, on_tile)
                )
                if isinstance(result, Outcome):
                    yield result
                    continue
                writes.append(writer.submit(_write, *result, settings))
                while len(writes) >= WAITING_WRITES or (writes and writes[0].done()):
                    yield writes.popleft().result()
            while writes:
                yield writes.popleft().result()
        finally:
            reader.shutdown(cancel_futures=True)
            writer.shutdown(cancel_futures=True)


Image = Picture | Animation


def _failure(job: Job, error: Exception) -> Outcome:
    return Outcome(job, error=error if isinstance(error, UpscaleError) else _of_picture(job, error))


def _of_picture(job: Job, error: Exception) -> UpscaleError:
    """The error with the picture it came up with."""
    if isinstance(error, UpscaleError):
        known = type(error)(f"{job.source}: {error.message}", error.hint)
    else:
        known = UpscaleError(f"{job.source}: {type(error).__name__}: {error}.", "Please report this with the picture.")
    known.__cause__ = error
    return known


# What a strange picture can trip in the libraries below us: it must not cost the user the rest of the folder.
_ONE_PICTURES_FAULT = (UpscaleError, OSError, MemoryError, RuntimeError, ValueError)


def _read(job: Job, settings: Settings) -> Image | Outcome:
    try:
        return read_image(job.source, settings.max_megapixels)
    except _ONE_PICTURES_FAULT as error:
        return _failure(job, error)


def _enlarge(
    job: Job, image: Image, upscaler_for: UpscalerFor, size: Size, on_tile: Callable[[int, int], None]
) -> tuple[Image, Image, Outcome] | Outcome:
    """The image, its enlargement, and what is known of the outcome so far."""
    start = time.perf_counter()
    before = _first(image)
    try:
        size.pixels(before.height, before.width)  # an impossible size is refused before anything is trained for it
        upscaler = upscaler_for(before)
        if isinstance(image, Picture):
            result: Image = upscaler.upscale_picture(image, size, on_tile)
        else:
            result = _enlarge_frames(image, upscaler, size, on_tile)
    except _ONE_PICTURES_FAULT as error:
        return _failure(job, _of_picture(job, error))
    after = _first(result)
    seconds = time.perf_counter() - start
    sizes = (before.width, before.height), (after.width, after.height)
    return image, result, Outcome(job, upscaler.name, seconds, *sizes)


def _enlarge_frames(
    animation: Animation, upscaler: PictureUpscaler, size: Size, on_tile: Callable[[int, int], None]
) -> Animation:
    count = len(animation.frames)

    def enlarge(index: int) -> Picture:
        def on_frame(done: int, total: int) -> None:
            on_tile(index * total + done, count * total)

        return upscaler.upscale_picture(animation.frames[index], size, on_frame)

    return replace(animation, frames=tuple(enlarge(index) for index in range(count)))


def _first(image: Image) -> Picture:
    return image if isinstance(image, Picture) else image.frames[0]


def _write(image: Image, result: Image, outcome: Outcome, settings: Settings) -> Outcome:
    job = outcome.job
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        notices = write_image(result, job.target, settings.writing(job.target))
        if job.comparison:
            beside = side_by_side(_first(image), _first(result))
            write_image(beside, job.comparison, settings.writing(job.comparison))
    except OSError as error:
        reason = error.strerror or str(error)
        return _failure(job, OutputError(f"Cannot write {job.target}: {reason}.", "Choose another place with -o."))
    except _ONE_PICTURES_FAULT as error:
        return _failure(job, error)
    return replace(outcome, notices=tuple(notices))

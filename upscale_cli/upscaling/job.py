"""One file: read, enlarge, write. Jobs, options and outcomes can be pickled, so that a job can be done anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from upscale_cli import atomic, remote
from upscale_cli.addresses import Address
from upscale_cli.errors import UpscaleError
from upscale_cli.images import formats
from upscale_cli.images.picture import Image, Pages, Picture
from upscale_cli.images.read import read_image
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import Notice, Notify, ignore, note
from upscale_cli.upscaling.large import read_in_files
from upscale_cli.upscaling.options import Deviations, UpscaleOptions
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.size import Size
from upscale_cli.weights.defaults import CLEAN

Reading = Callable[[Path, float], Image]


@dataclass(frozen=True)
class Job:
    """One picture to be read and the file to be written.

    ``comparison``: the before/after picture beside it; ``reuses_result``: the target exists, only that is written;
    ``replaces``: files that exist when they are written are replaced, otherwise kept, and the job fails.
    """

    source: Path
    target: Path
    comparison: Path | None = None
    reuses_result: bool = False
    replaces: bool = False

    @property
    def remote(self) -> bool:
        """Whether the picture, or its result, is in a store."""
        return isinstance(self.source, Address) or isinstance(self.target, Address)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Every file that doing the job writes."""
        return (self.target,) if self.comparison is None else (self.target, self.comparison)

    def require_size(self, height: int, width: int) -> None:
        """Raise OutputError where the format of a file to be written cannot hold a result of that size."""
        if not self.reuses_result:
            formats.of_target(self.target).require_size(self.target, height, width)
        if self.comparison is not None:  # which shows two beside each other
            formats.of_target(self.comparison).require_size(self.comparison, height, 2 * width)


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Sizes are (width, height); ``seconds`` are the network's; ``model`` is its name, None where it came to none;
    ``megapixels`` went through it, over all passes; ``error`` is None when done. ``kernel``: that of the picture.
    """

    job: Job
    model: str | None = None
    seconds: float = 0.0
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    notices: tuple[Notice, ...] = ()
    error: UpscaleError | None = None
    megapixels: float = 0.0
    kernel: Deviations | None = None


@dataclass(frozen=True)
class Enlarged:
    """A picture before and after, and what is known of the outcome so far."""

    before: Image
    after: Image
    outcome: Outcome


class PictureUpscaler(Protocol):
    """What a job needs of an Upscaler."""

    name: str
    kernel: Deviations | None

    def upscale_picture(self, picture: Picture, size: Size, on_share: OnShare = ...) -> Picture:
        """Return ``picture`` at ``size``."""

    def megapixels(self, picture: Picture, size: Size) -> float:
        """Return how much goes through the network for that, over all passes."""


# Gives the upscaler for a picture, of an animation for its first frame; it may be trained for it, with progress.
UpscalerFor = Callable[[Picture, OnShare], PictureUpscaler]
# Makes that, once for each process; importable by name, so that other processes find it.
Upscalers = Callable[[UpscaleOptions, Notify], UpscalerFor]

POOR_QUALITY = 40  # of JPEG: below, the default networks leave some of the compression
# What a damaged or unusual picture can raise in libraries: the other pictures of the run go on.
ONE_PICTURES_FAULT = (UpscaleError, OSError, MemoryError, RuntimeError, ValueError)


def do(job: Job, options: UpscaleOptions, upscalers: Upscalers) -> Outcome:
    """Return the outcome of ``job``, done in this process with the networks it has made for ``options`` before."""
    upscaler_for, notices = _made(options, upscalers)
    image = read(job, options, notify=notices.append)
    enlarged = image if isinstance(image, Outcome) else enlarge(job, image, options.size, upscaler_for)
    outcome = enlarged if isinstance(enlarged, Outcome) else write(enlarged, options)
    told = tuple(notices)
    notices.clear()
    return replace(outcome, notices=(*told, *outcome.notices))


@cache
def _made(options: UpscaleOptions, upscalers: Upscalers) -> tuple[UpscalerFor, list[Notice]]:
    notices: list[Notice] = []
    return upscalers(options, notices.append), notices


def read(job: Job, options: UpscaleOptions, reading: Reading | None = None, notify: Notify = ignore) -> Image | Outcome:
    """Return the image of ``job``, in files where it is too large for memory, or the outcome where it cannot be read.

    ``reading``: see ``LocalEngine``.
    """
    try:
        in_files = None if job.remote else read_in_files(job, options, notify)
        with remote.fetched(job.source) as source:
            return in_files or (reading or read_image)(source, options.max_megapixels)
    except ONE_PICTURES_FAULT as error:
        return _failure(job, error)


def enlarge(
    job: Job, image: Image, size: Size, upscaler_for: UpscalerFor, on_share: OnShare = lambda share, detail: None
) -> Enlarged | Outcome:
    """Return ``image`` at ``size``, or the outcome where that fails. ``on_share`` gets a share that never falls."""
    frames, reached, kind = image.frames, 0.0, "page" if isinstance(image, Pages) else "frame"

    def preparing(share: float, detail: str) -> None:
        nonlocal reached
        reached = max(reached, share)
        on_share(reached, detail)

    start = time.perf_counter()
    try:
        if job.reuses_result:
            with remote.fetched(job.target) as target:
                return _enlarged(job, image, read_image(target))
        job.require_size(*size.pixels(frames[0].height, frames[0].width))  # before anything is trained
        upscaler = upscaler_for(frames[0], preparing)
        prepared, results = reached, []
        for number, frame in enumerate(frames):

            def of_frame(share: float, detail: str, number: int = number) -> None:
                whole = f"{kind} {number + 1}/{len(frames)}, {detail}" if len(frames) > 1 else detail
                preparing(prepared + (1 - prepared) * (number + share) / len(frames), whole)

            results.append(upscaler.upscale_picture(frame, size, of_frame))
        seconds = time.perf_counter() - start
        after = results[0] if isinstance(image, Picture) else replace(image, frames=tuple(results))
        return enlarged_by(upscaler, job, image, after, size, seconds)
    except ONE_PICTURES_FAULT as error:
        return _failure(job, error, names_file=job.reuses_result)


def enlarged_by(
    upscaler: PictureUpscaler, job: Job, before: Image, after: Image, size: Size, seconds: float
) -> Enlarged:
    """Return what ``upscaler`` made of ``before`` in so many ``seconds``."""
    megapixels = sum(upscaler.megapixels(frame, size) for frame in before.frames)
    enlarged = _enlarged(job, before, after)
    known = replace(enlarged.outcome, model=upscaler.name, seconds=seconds, megapixels=megapixels)
    return replace(enlarged, outcome=replace(known, kernel=upscaler.kernel))


def _enlarged(job: Job, before: Image, after: Image) -> Enlarged:
    first, enlarged = before.frames[0], after.frames[0]
    sizes = (first.width, first.height), (enlarged.width, enlarged.height)
    return Enlarged(before, after, Outcome(job, before=sizes[0], after=sizes[1]))


def write(enlarged: Enlarged, options: UpscaleOptions) -> Outcome:
    """Write the result, and the comparison where the job has one, and return the outcome."""
    job, model = enlarged.outcome.job, enlarged.outcome.model
    try:
        notices = []
        if not job.reuses_result:
            notices = _written(enlarged.after, job.target, write_options(job.target, options), job.replaces)
        if job.comparison:
            from upscale_cli.upscaling.comparison import side_by_side

            beside = side_by_side(enlarged.before.frames[0], enlarged.after.frames[0], model or "result")
            unbounded = write_options(job.comparison, replace(options, max_bytes=None))
            _written(beside, job.comparison, unbounded, job.replaces)
    except OSError as error:
        return Outcome(job, error=atomic.unwritten(job.target, error))
    except ONE_PICTURES_FAULT as error:
        return _failure(job, error)
    enlarged.before.frames[0].storage.remove()
    return replace(enlarged.outcome, notices=(*notices, *_advice(enlarged, options)))


def _written(image: Image, target: Path, options: WriteOptions, replaces: bool) -> list[Notice]:
    """Write ``image`` to ``target``, in a store too. Returns and raises what ``write_image`` does."""
    with remote.written(target, replaces) as file:
        file.parent.mkdir(parents=True, exist_ok=True)
        notices = write_image(image, file, options, replaces)
    return [replace(notice, text=notice.text.replace(str(file), str(target))) for notice in notices]


def _advice(enlarged: Enlarged, options: UpscaleOptions) -> tuple[Notice, ...]:
    """Recommend --restore where the default network enlarged a strongly compressed picture."""
    if enlarged.outcome.model not in CLEAN or options.network is not None:
        return ()
    quality = enlarged.before.frames[0].jpeg_quality
    if quality is None or quality >= POOR_QUALITY:
        return ()
    return (note(f"The input is strongly compressed (JPEG quality below {POOR_QUALITY}): --restore may look cleaner."),)


def write_options(path: Path, options: UpscaleOptions) -> WriteOptions:
    """Return how to write ``path``, whose extension names a format; of a run's formats the lossy ones take quality."""
    kind = formats.of_target(path)
    quality = options.quality if kind.lossy else None
    return WriteOptions(kind, quality, options.depth, options.max_bytes, options.threads)


def require_writable_formats(jobs: Sequence[Job], options: UpscaleOptions) -> None:
    """Raise UsageError where quality or depth fit none, or not all, of the formats to be written."""
    kinds = list(dict.fromkeys(write_options(job.target, options).format for job in jobs))
    if kinds and not any(kind.lossy for kind in kinds):
        WriteOptions(kinds[0], options.quality)


def _failure(job: Job, error: Exception, names_file: bool = True) -> Outcome:
    """Return the outcome of ``job`` where ``error`` ended it, with its picture unless the error names a file."""
    if not isinstance(error, UpscaleError):
        known = UpscaleError(f"{job.source}: {type(error).__name__}: {error}.", "Please report this with the picture.")
    elif names_file:
        return Outcome(job, error=error)
    else:
        known = error.saying(f"{job.source}: {error.message}")
    known.__cause__ = error
    return Outcome(job, error=known)

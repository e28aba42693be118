"""This machine: while pictures are computed, the next is read and the last ones are written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

from upscale_cli.images.picture import Image, Picture
from upscale_cli.notices import Notify
from upscale_cli.remote import TRANSFERS
from upscale_cli.upscaling import job as steps
from upscale_cli.upscaling.engines.engine import Listener, Progress
from upscale_cli.upscaling.engines.read_ahead import MOST_PIXELS, Group, ReadAhead
from upscale_cli.upscaling.job import Enlarged, Job, Outcome, Reading, UpscalerFor, Upscalers
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.together import Grouping, enlarge_together, shape_of

WAITING_WRITES = 2  # finished pictures kept in memory while a slow disk takes its time; small ones as many as WRITERS
WRITERS = 4  # pictures that are encoded at once: a GPU computes several in the time that one takes


class Stopped(BaseException):
    """The run was ended while this picture was computed."""


class LocalEngine:
    """Reads, computes and writes in threads of this process, as many pictures at once as there are devices.

    ``reading`` decodes a file, of at most so many megapixels, in place of ``read_image`` in this process.
    ``together``: how many pictures of one shape that follow each other are computed at once; None: as many as suit the
    device, which is one on a CPU.
    """

    def __init__(self, notify: Notify, reading: Reading | None = None, together: int | None = None) -> None:
        self._notify, self._reading, self._together = notify, reading, together

    def run(
        self, jobs: Iterable[Job], options: UpscaleOptions, upscalers: Upscalers, listener: Listener
    ) -> Generator[Outcome, None, None]:
        """Do all ``jobs`` (see ``Engine``)."""
        at_once = len(options.device.split(","))
        upscaler_for = upscalers(options, self._notify)
        grouping = Grouping(options, upscaler_for, self._together)
        stop = Event()

        def read(job: Job) -> Image | Outcome:
            return steps.read(job, options, self._reading, self._notify)

        def compute(group: Group) -> list[Enlarged | Outcome]:
            return self._computed(group, options, upscaler_for, listener, stop)

        def finish(computed: Future[list[Enlarged | Outcome]], number: int) -> Outcome:
            result = computed.result()[number]
            return result if isinstance(result, Outcome) else steps.write(result, options)

        with ExitStack() as stack:
            reader, writer, fetcher, sender = (
                stack.enter_context(ThreadPoolExecutor(count, name))
                for count, name in (
                    (1, "read"),
                    (WRITERS, "write"),
                    (TRANSFERS, "read remote"),
                    (TRANSFERS, "write remote"),
                )
            )
            computer = stack.enter_context(_Inline() if at_once == 1 else ThreadPoolExecutor(at_once, "compute"))
            stack.callback(_abandon, stop, reader, fetcher, computer, writer, sender)
            reads = ReadAhead(jobs, read, lambda job: fetcher if job.remote else reader, at_once + 1)
            stack.callback(reads.close)
            writes: deque[Future[Outcome]] = deque()

            def begin(group: Group) -> int:  # a function, so that no variable keeps the pictures
                """Compute and write ``group``; returns how many pictures may wait to be written."""
                computed = computer.submit(compute, group)
                for number, (job, _) in enumerate(group):
                    writes.append((sender if job.remote else writer).submit(finish, computed, number))
                return at_once * len(group) + _waiting_writes(group)

            while reads.first():
                most = begin(_next_group(reads, grouping, at_once))
                while len(writes) >= most or (writes and writes[0].done()):
                    yield writes.popleft().result()
            while writes:
                yield writes.popleft().result()

    def _computed(
        self, group: Group, options: UpscaleOptions, upscaler_for: UpscalerFor, listener: Listener, stop: Event
    ) -> list[Enlarged | Outcome]:
        """Return what becomes of the pictures of ``group``: one, or several of one shape."""
        pictures = [(job, image) for job, image in group if not isinstance(image, Outcome)]
        for job, _ in pictures:
            listener.started(job)
        reports = [reporting(job, image, listener.progress, stop) for job, image in pictures]
        if len(group) > 1:
            small = [(job, image) for job, image in pictures if isinstance(image, Picture)]
            return enlarge_together(small, options.size, upscaler_for, reports, self._together)
        ((job, image),) = group
        if isinstance(image, Outcome):
            return [image]
        return [steps.enlarge(job, image, options.size, upscaler_for, reports[0])]


def _next_group(reads: ReadAhead, grouping: Grouping, at_once: int) -> Group:
    """Take the next picture, and those like it that follow, as far as they are best computed together."""
    group = [reads.take()]
    job, image = group[0]
    shape = shape_of(job, image)
    most = grouping.at_once(image) if shape and isinstance(image, Picture) else 1
    reads.expect(max(at_once, most) + (TRANSFERS if job.remote else 0))
    while len(group) < most and (following := reads.first()) and shape_of(*following) == shape:
        group.append(reads.take())
        reads.expect(most)
    return group


def _waiting_writes(group: Group) -> int:
    """Return how many finished pictures like those of ``group`` may be kept in memory: small ones more than large."""
    job, image = group[0]
    if isinstance(image, Outcome):
        return WAITING_WRITES
    pixels = sum(frame.height * frame.width for frame in image.frames)
    return max(WAITING_WRITES, min(TRANSFERS if job.remote else WRITERS, MOST_PIXELS // pixels))


class _Inline(Executor):
    """Runs at once and in the caller's thread, where Ctrl-C ends it between two operations."""

    def submit(self, function: Callable[..., object], /, *args: object, **kwargs: object) -> Future:  # type: ignore[type-arg]
        done: Future[object] = Future()
        done.set_result(function(*args, **kwargs))
        return done


def _abandon(stop: Event, *pools: Executor) -> None:
    """Begin nothing more; what is being written is finished, what is being computed ends with its tile."""
    stop.set()
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)


def reporting(
    job: Job, image: Image, on_progress: Callable[[Progress], None], stop: Event
) -> Callable[[float, str], None]:
    """Return what calls ``on_progress`` with the share of ``job`` that is done, and raises Stopped after ``stop``.

    The share never falls, also where the picture is begun again.
    """
    megapixels, reached = sum(frame.height * frame.width for frame in image.frames) / 1e6, 0.0

    def on_share(share: float, detail: str) -> None:
        nonlocal reached
        if stop.is_set():
            raise Stopped
        reached = max(reached, share)
        on_progress(Progress(job, reached, detail, reached * megapixels))

    return on_share

"""This machine: while pictures are computed, the next is read and the last is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from threading import Event

from upscale_cli.images.picture import Image
from upscale_cli.notices import Notify
from upscale_cli.upscaling import job as steps
from upscale_cli.upscaling.engines.engine import Listener, Progress
from upscale_cli.upscaling.job import Enlarged, Job, Outcome, Reading, Upscalers
from upscale_cli.upscaling.options import UpscaleOptions

WAITING_WRITES = 2  # finished pictures kept in memory while a slow disk takes its time


class Stopped(BaseException):
    """The run was ended while this picture was computed."""


class LocalEngine:
    """Reads, computes and writes in threads of this process, as many pictures at once as there are devices.

    ``reading`` decodes a file, of at most so many megapixels, in place of ``read_image`` in this process.
    """

    def __init__(self, notify: Notify, reading: Reading | None = None) -> None:
        self._notify, self._reading = notify, reading

    def run(
        self, jobs: Iterable[Job], options: UpscaleOptions, upscalers: Upscalers, listener: Listener
    ) -> Generator[Outcome, None, None]:
        """Do all ``jobs`` (see ``Engine``)."""
        at_once = len(options.device.split(","))
        upscaler_for = upscalers(options, self._notify)
        stop = Event()

        def compute(job: Job, image: Image | Outcome) -> Enlarged | Outcome:
            if isinstance(image, Outcome):
                return image
            listener.started(job)
            return steps.enlarge(job, image, options.size, upscaler_for, reporting(job, image, listener.progress, stop))

        def finish(computed: Future[Enlarged | Outcome]) -> Outcome:
            result = computed.result()
            return result if isinstance(result, Outcome) else steps.write(result, options)

        def reads_of(some: Iterable[Job]) -> Iterator[tuple[Job, Future[Image | Outcome]]]:
            return ((job, reader.submit(steps.read, job, options, self._reading, self._notify)) for job in some)

        with ExitStack() as stack:
            reader = stack.enter_context(ThreadPoolExecutor(1, "read"))
            computer = stack.enter_context(_Inline() if at_once == 1 else ThreadPoolExecutor(at_once, "compute"))
            writer = stack.enter_context(ThreadPoolExecutor(1, "write"))
            stack.callback(_abandon, stop, reader, computer, writer)
            coming = iter(jobs)
            reads = deque(reads_of(islice(coming, at_once + 1)))
            writes: deque[Future[Outcome]] = deque()
            while reads:
                job, image = reads.popleft()
                writes.append(writer.submit(finish, computer.submit(lambda j, i: compute(j, i.result()), job, image)))
                reads.extend(reads_of(islice(coming, 1)))
                while len(writes) >= at_once + WAITING_WRITES or (writes and writes[0].done()):
                    yield writes.popleft().result()
            while writes:
                yield writes.popleft().result()


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
    """Return what calls ``on_progress`` with the share of ``job`` that is done, and raises Stopped after ``stop``."""
    megapixels = sum(frame.height * frame.width for frame in image.frames) / 1e6

    def on_share(share: float, detail: str) -> None:
        if stop.is_set():
            raise Stopped
        on_progress(Progress(job, share, detail, share * megapixels))

    return on_share

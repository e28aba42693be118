"""One worker of a Ray cluster: an actor that reads one picture, computes another and writes a third at once.

Of clips it makes segments: the next is opened while one is computed.

It is Ray's only in the cluster: here it is a plain class. What it raises is returned as a value, since only what Ray
itself reports (a worker or node that is gone) is to be seen as the cluster's fault.
"""

from __future__ import annotations

import os
import pickle
import platform
import shutil
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from threading import Event
from typing import TYPE_CHECKING

from upscale_cli import __version__, atomic
from upscale_cli import device as devices
from upscale_cli.errors import DeviceError
from upscale_cli.images.isolated import Decoders
from upscale_cli.images.picture import Image
from upscale_cli.notices import Notice
from upscale_cli.upscaling import job as steps
from upscale_cli.upscaling.clip_job import Part
from upscale_cli.upscaling.engines.engine import Progress
from upscale_cli.upscaling.engines.local import Stopped, reporting
from upscale_cli.upscaling.job import Enlarged, Job, Outcome, UpscalerFor, Upscalers
from upscale_cli.upscaling.options import UpscaleOptions

if TYPE_CHECKING:  # so that pictures need no PyAV
    from upscale_cli.upscaling.clip_part import Streams

PREFIX = "upscale-worker-"
AT_ONCE = 3  # pictures in a worker: one is read, one computed, one written


@dataclass(frozen=True)
class Assignment:
    """What a worker is for.

    ``folder``: where the driver runs, from which relative paths count. ``files``: weights and kernels by name, laid out
    in a folder of the worker's own, which is its cache too. ``clips``: jobs are parts of clips, not pictures.
    """

    options: UpscaleOptions
    upscalers: Upscalers
    folder: Path
    files: Mapping[str, bytes]
    clips: bool = False
    version: str = __version__


@dataclass(frozen=True)
class Done:
    """The outcome of a job, and the notices that networks have given since the last one."""

    outcome: Outcome
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Fault:
    """What was raised: it is the run's and not the picture's."""

    error: BaseException

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        """Return ``error`` as it can be sent, with the place where it was raised."""
        error.add_note("".join(traceback.format_exception(error)))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # noqa: BLE001  (whatever a library's exception lacks to be pickled)
            return cls(RuntimeError(f"{type(error).__name__}: {error}"))
        return cls(error)


class Worker:
    """Does jobs for the driver; its methods are called in several threads."""

    def __init__(self) -> None:
        self._stop, self._notices = Event(), list[Notice]()
        self._computing: Progress | None = None
        self._own: Path | None = None
        self._streams: Streams | None = None
        self._compute = ThreadPoolExecutor(1, "compute")  # one thread, whose own the CPU's threads are

    def prepare(self, assignment: Assignment) -> Fault | None:
        """Make the networks; returns why that is not possible."""
        try:
            if assignment.version != __version__:
                reason = f"A node of the cluster has upscale {__version__}, and this is {assignment.version}."
                raise DeviceError(reason, "Install the same version on every node.")
            if assignment.clips and find_spec("av") is None:
                reason = f"The node {platform.node()} of the cluster has no PyAV, which clips need."
                raise DeviceError(reason, "Run there: pip install 'upscale-cli[video]'")
            with suppress(OSError):  # absolute paths need it not, others fail in a sentence
                os.chdir(assignment.folder)
            devices.keep_freed_memory()
            self._own = own_folder()
            self._options = laid_out(assignment, self._own)
            making = self._compute.submit(assignment.upscalers, self._options, self._notices.append)
            self._upscaler_for: UpscalerFor = making.result()
            self._decoders = Decoders()
            if assignment.clips:
                from upscale_cli.upscaling.clip_part import Streams

                self._streams = Streams()
        except BaseException as error:  # noqa: BLE001  (it is raised again by the driver)
            return Fault.of(error)
        return None

    def do(self, job: Job) -> Done | Fault | None:
        """Return what became of ``job``, None where the run was ended before."""
        try:
            outcome = self._part(job) if isinstance(job, Part) else self._picture(job)
            told = tuple(self._notices)
            del self._notices[: len(told)]
            return Done(outcome, told)
        except Stopped:
            return None
        except BaseException as error:  # noqa: BLE001  (it is raised again by the driver)
            return Fault.of(error)

    def _picture(self, job: Job) -> Outcome:
        image = steps.read(job, self._options, self._decoders.read_image, self._notices.append)
        result: Enlarged | Outcome = image if isinstance(image, Outcome) else self._enlarged(job, image)
        return result if isinstance(result, Outcome) else steps.write(result, self._options)

    def _part(self, part: Part) -> Outcome:
        from upscale_cli.upscaling import clip_part

        listener = _Listener(self._reached, self._stop)
        assert self._streams is not None
        return clip_part.do(part, self._options, self._upscaler_for, self._compute, listener, self._streams)

    def _enlarged(self, job: Job, image: Image) -> Enlarged | Outcome:
        report = reporting(job, image, self._reached, self._stop)
        size, upscaler_for = self._options.size, self._upscaler_for

        def enlarge() -> Enlarged | Outcome:
            if self._stop.is_set():
                raise Stopped
            return steps.enlarge(job, image, size, upscaler_for, report)

        return self._compute.submit(enlarge).result()

    def _reached(self, progress: Progress) -> None:
        self._computing = progress

    def reached(self) -> Progress | None:
        """Return how far the picture is that is computed, or was last."""
        return self._computing

    def stop(self) -> None:
        """Begin nothing more; what is written is finished, what is computed ends with its tile."""
        self._stop.set()

    def close(self) -> None:
        """Remove what was laid out, and end what decodes."""
        if self._streams is not None:
            self._streams.close()
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)


@dataclass(frozen=True)
class _Listener:
    """Keeps how far a part is, and ends it once the run is stopped."""

    reached: Callable[[Progress], None]
    stop: Event

    def started(self, job: Job) -> None:
        if self.stop.is_set():
            raise Stopped

    def progress(self, progress: Progress) -> None:
        self.started(progress.job)
        self.reached(progress)


def own_folder() -> Path:
    """Return a new folder of this process, and remove those of processes that were killed."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        process = folder.name.removeprefix(PREFIX).split("-")[0]
        if process.isdigit() and not atomic.is_running(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def laid_out(assignment: Assignment, place: Path) -> UpscaleOptions:
    """Return the options whose files are those of ``assignment``, written to ``place``; sets the cache to that."""
    os.environ["UPSCALE_CACHE"], os.environ["UPSCALE_OFFLINE"] = str(place), "1"
    for name, data in assignment.files.items():
        (place / name).write_bytes(data)
    options = assignment.options
    if options.model is not None and Path(options.model).name in assignment.files:
        options = replace(options, model=place / Path(options.model).name)
    if isinstance(options.kernel, Path):
        options = replace(options, kernel=place / options.kernel.name)
    return options

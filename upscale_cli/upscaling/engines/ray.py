"""A Ray cluster: jobs go to workers a few at a time; those of workers and nodes that are lost are done by others."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from upscale_cli import atomic
from upscale_cli.errors import DeviceError, DownloadError, UsageError
from upscale_cli.notices import Notify, warning
from upscale_cli.upscaling.engines.engine import Listener
from upscale_cli.upscaling.engines.ray_cluster import Fleet, connected, needs
from upscale_cli.upscaling.engines.ray_worker import AT_ONCE, Assignment, Done, Fault
from upscale_cli.upscaling.forecast import network_of
from upscale_cli.upscaling.job import Job, Outcome, Upscalers
from upscale_cli.upscaling.options import DEFAULT_SCALE, UpscaleOptions
from upscale_cli.upscaling.ray_options import RayOptions
from upscale_cli.weights.defaults import LARGEST_SCALE_BY_X2
from upscale_cli.weights.progress import Progress as DownloadProgress
from upscale_cli.weights.progress import silent
from upscale_cli.weights.transport import files_of

MOST_KILLS = 2  # of workers by one picture
MOST_LOSSES = 5  # of one picture, with nodes and connections
LOAD_OF_PART = 2  # of the room for AT_ONCE pictures: one is computed and the next one opened
WAIT = 0.5  # seconds between looks at the cluster
WATCH_EVERY = 2.0  # seconds between questions to a worker how far it is
GONE = "worker process has died"  # in what Ray says of an actor whose node lives


class RayEngine:
    """Enlarges pictures by the workers of a cluster (see ``Engine``).

    ``upscalers`` are pickled, and made anew by each worker; weights are found here and travel with them. Where jobs
    come to an end they are asked for again after the next outcome. ``clips``: jobs are parts of clips.
    """

    def __init__(
        self, notify: Notify, asked: RayOptions, on_download: DownloadProgress = silent, clips: bool = False
    ) -> None:
        self._notify, self._asked, self._on_download, self._clips = notify, asked, on_download, clips

    def run(
        self, jobs: Iterable[Job], options: UpscaleOptions, upscalers: Upscalers, listener: Listener
    ) -> Generator[Outcome, None, None]:
        """Do all ``jobs`` (see ``Engine``)."""
        require_fitting(options)
        with connected(self._asked) as ray:
            cpus, gpus = needs(ray.nodes(), self._asked)
            files = gathered(options, gpus > 0, self._on_download, self._notify)
            threads = options.threads or (None if gpus else max(1, int(cpus)))
            assignment = Assignment(replace(options, threads=threads), upscalers, Path.cwd(), files, self._clips)
            fleet = Fleet(ray, self._asked, assignment, self._notify)
            load = LOAD_OF_PART if self._clips else 1
            yield from _Run(ray, fleet, iter(jobs), listener, self._notify, load).outcomes()


def gathered(options: UpscaleOptions, gpu: bool, on_download: DownloadProgress, notify: Notify) -> dict[str, bytes]:
    """Return the contents of all weights and kernels that workers open, by name. Raises WeightsError.

    ``gpu``: whether workers have one, for which other networks are the default.
    """
    paths = [options.kernel] if isinstance(options.kernel, Path) else []
    device = "cpu" if options.device == "cpu" or not gpu else "cuda"
    mixed_by = "--alpha" if options.alpha is not None else "--denoise" if options.denoise is not None else None
    factors = [] if options.zero_shot or options.auto else [LARGEST_SCALE_BY_X2, DEFAULT_SCALE]
    known = options.size.scale
    for factor in dict.fromkeys(factors if known is None else [known for _ in factors]):
        network = options.network or network_of(options, factor, device)
        try:
            paths += files_of(network, mixed_by, on_download, notify)
        except DownloadError as error:
            if options.network is not None:
                raise
            notify(warning(f"{error.message} Workers take an embedded network instead."))
    return {path.name: path.read_bytes() for path in paths}


@dataclass(frozen=True)
class Given:
    """A job that a worker has, and the share of its room that it takes (see ``AT_ONCE``)."""

    worker: Any
    job: Job
    load: int


def require_fitting(options: UpscaleOptions) -> None:
    """Raise UsageError where ``options`` name devices: each worker has its own."""
    if options.device not in ("auto", "cpu", "cuda"):
        hint = "Leave out --device; --ray-gpus says how many a worker has."
        raise UsageError(f"--device {options.device} is of one machine, and --ray shares out those of all.", hint)


class _Run:
    """One run: what is given to workers, and what became of it."""

    def __init__(
        self, ray: Any, fleet: Fleet, jobs: Iterator[Job], listener: Listener, notify: Notify, load: int = 1
    ) -> None:
        self._ray, self._fleet, self._jobs, self._listener, self._notify = ray, fleet, jobs, listener, notify
        self._load = load  # of a job (see ``Given``)
        self._under_way: dict[Any, Given] = {}  # by what tells of its end
        self._again = deque[Job]()  # lost with a node or connection
        self._alone = deque[Job]()  # were there when a worker died: done by a worker that has nothing else
        self._kills, self._losses = Counter[Job](), Counter[Job]()
        self._questions: list[Any] = []
        self._asked = time.monotonic()

    def outcomes(self) -> Generator[Outcome, None, None]:
        """Yield the outcome of every job, and end the workers."""
        try:
            while self._give() or self._under_way:
                for told in self._ended():
                    if told in self._under_way:
                        yield from self._received(told)
                    else:
                        self._fleet.take(told)
                self._watch()
        finally:
            self._fleet.disband(list(self._under_way))
            for folder in {job.target.parent for job in self._losses if not job.remote}:
                atomic.remove_leftovers(folder)

    def _give(self) -> bool:
        """Give jobs to all workers that can take one; returns whether there may be more."""
        self._fleet.keep_up()
        while self._alone:
            worker = self._fleet.free(1)
            if worker is None:
                return True
            self._begin(worker, self._alone.popleft(), AT_ONCE)
        while worker := self._fleet.free():
            job = self._again.popleft() if self._again else next(self._jobs, None)
            if job is None:
                return False
            self._begin(worker, job, self._load)
        return True

    def _begin(self, worker: Any, job: Job, load: int) -> None:
        self._listener.started(job)
        self._under_way[self._fleet.give(worker, job, load)] = Given(worker, job, load)

    def _ended(self) -> list[Any]:
        """Return what has ended, jobs and preparations of workers, after a moment in which something may."""
        waited_for = [*self._under_way, *self._fleet.waiting]
        self._ray.wait(waited_for, num_returns=1, timeout=WAIT)
        ended, _ = self._ray.wait(waited_for, num_returns=len(waited_for), timeout=0)
        return list(ended)

    def _received(self, told: Any) -> Iterator[Outcome]:
        """Yield the outcome that ``told`` brings, or plan the job anew where its worker is gone."""
        given = self._under_way.pop(told)
        self._fleet.relieve(given.worker, given.load)
        try:
            done: Done | Fault = self._ray.get(told)
        except self._ray.exceptions.RayError as error:
            self._fleet.drop(given.worker)
            yield from self._lost(given.job, GONE in str(error))
            return
        if isinstance(done, Fault):
            raise done.error
        for notice in done.notices:
            self._notify(notice)
        yield done.outcome

    def _lost(self, job: Job, killed: bool) -> Iterator[Outcome]:
        """Plan ``job`` anew, or yield its failure where that happens too often; ``killed``: only its worker died."""
        self._kills[job] += killed
        self._losses[job] += 1
        if self._kills[job] < MOST_KILLS and self._losses[job] < MOST_LOSSES:
            (self._alone if killed or self._losses[job] > 1 else self._again).append(job)
            return
        reason = "has ended its worker" if killed else "was lost with its node"
        hint = "It may need more memory: give fewer --ray-actors." if killed else "Run the same command again."
        yield Outcome(job, error=DeviceError(f"{job.source} {reason} {self._losses[job]} times.", hint))

    def _watch(self) -> None:
        """Report how far the pictures are that take long."""
        if self._questions:
            ready = self._ray.wait(self._questions, num_returns=len(self._questions), timeout=0)[0]
            under_way = {given.job for given in self._under_way.values()}
            for answer in ready:
                with suppress(self._ray.exceptions.RayError):
                    progress = self._ray.get(answer)
                    if progress is not None and progress.job in under_way:
                        self._listener.progress(progress)
        if time.monotonic() - self._asked > WATCH_EVERY:
            self._asked, self._questions = time.monotonic(), self._fleet.how_far()

"""The way of pictures through the command ``run``: what is listed, done on an engine, and reported."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.addresses import Address
from upscale_cli.atomic import remove_leftovers
from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.pipes import Piped
from upscale_cli.cli.records import PictureRecord
from upscale_cli.upscalers import upscalers, upscalers_of_none

if TYPE_CHECKING:
    from upscale_cli.upscaling.engines.engine import Engine
    from upscale_cli.upscaling.forecast import Speeds
    from upscale_cli.upscaling.job import Job, Outcome, Upscalers
    from upscale_cli.upscaling.naming import Naming
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.upscaling.plan import Plan
    from upscale_cli.upscaling.ray_options import RayOptions

# So many pictures in a row that fail by their place end a run. In stores and on clusters many are under way at once,
# and one short outage fails them all.
PATIENCE, PATIENCE_REMOTE = 8, 64
PLAIN = (".jpg", ".jpeg", ".png")  # decoded billions of times a day


def run_pictures(
    pipes: Piped,
    options: UpscaleOptions,
    naming: Naming,
    dry_run: bool,
    style: Style,
    cluster: RayOptions | None = None,
) -> None:
    """Enlarge the pictures that the paths of ``pipes`` mean, or say what would be done, and report on each."""
    from upscale_cli.upscaling.job import require_writable_formats
    from upscale_cli.upscaling.plan import plan, plans
    from upscale_cli.upscaling.settings import settings_of

    coming = iter((plan(pipes.paths, naming),)) if dry_run else plans(pipes.paths, naming)
    first = next(coming)
    require_writable_formats(first.jobs, options)
    console = Console(style, len(first.jobs), pipes.own_stdout, pipes.names)
    listing = _Listing(console, settings_of(options), naming.existing == "overwrite", not dry_run)
    listing.take(first)
    if dry_run:
        from upscale_cli.cli.dry_run import show

        show(first, options, console)
        return
    enlarge_all(first.jobs, options, console, listing.replaces, cluster, listing.jobs_of(coming))
    console.conclude(first)


class _Listing:
    """What is done about plans before their jobs, and what is reported of them."""

    def __init__(self, console: Console, chosen: dict[str, str], replaces: bool, writes: bool) -> None:
        self.replaces = replaces
        self._console, self._chosen, self._writes = console, chosen, writes
        self._told: set[Path] = set()
        self._kept: set[Path] = set()

    def jobs_of(self, coming: Iterator[Plan]) -> Iterator[Job]:
        """Yield the jobs of plans that are ``coming``, each made when its first job is wanted."""
        for planned in coming:
            self._console.expect(planned)
            self.take(planned)
            yield from planned.jobs

    def take(self, planned: Plan) -> None:
        """Tell what was found, clear and mark the folders of the results, and report on jobs without work."""
        from upscale_cli.upscaling.job import Outcome
        from upscale_cli.upscaling.settings import difference, keep

        self._console.all_listed = planned.complete
        new = [folder for folder in planned.folders if folder not in self._told]
        self._told.update(new)
        unlike = (notice for folder in new for notice in difference(folder, self._chosen) if not self.replaces)
        for notice in (*planned.notices, *unlike):
            self._console.notify(notice)
        if not self._writes:
            return
        for folder in {job.target.parent for job in (*planned.jobs, *planned.skipped)}:
            if not isinstance(folder, Address):
                remove_leftovers(folder)
        for folder in planned.folders if planned.jobs else ():
            if folder not in self._kept:
                keep(folder, self._chosen, self.replaces)
                self._kept.add(folder)
        for job in planned.skipped:
            self._console.record(PictureRecord(str(job.source), str(job.target), "skipped", None))
        for error in planned.unreadable:
            self._console.failures.append(error)
        for job, error in planned.refused:
            self._console.finished(Outcome(job, error=error))


def enlarge_all(
    jobs: Sequence[Job],
    options: UpscaleOptions,
    console: Console,
    replaces: bool,
    cluster: RayOptions | None = None,
    more: Iterable[Job] = (),
) -> None:
    """Do all ``jobs``, and those that ``more`` brings, on this machine or a cluster, and report on each.

    ``replaces``: existing results are written again. Ends with exit code 1 where a full disk or a store out of reach
    fails picture after picture.
    """
    coming = iter(more)
    known = [*jobs, *islice(coming, max(0, 2 - len(jobs)))]  # whether there are several decides how they are decoded
    if not known:
        return
    from upscale_cli.upscaling.forecast import Speeds

    try:
        making: Upscalers = upscalers
        if all(job.reuses_result for job in known):
            known += coming
        if all(job.reuses_result for job in known):  # so no network is needed
            making = upscalers_of_none
        elif cluster is None:
            making = partial(upscalers, on_download=console.download)
        with contextlib.ExitStack() as stack:
            engine = _cluster_engine(cluster, console) if cluster else _local_engine(known, console, stack)
            stack.enter_context(contextlib.closing(console))
            run = engine.run(chain(known, coming), options, making, console)
            speeds = Speeds(options)
            patience = PATIENCE_REMOTE if cluster or known[0].remote else PATIENCE
            lost = _reported(stack.enter_context(contextlib.closing(run)), console, speeds, patience)
            if cluster is None:
                speeds.keep()
    except (KeyboardInterrupt, BrokenPipeError):
        console.ended_early(replaces)
        raise
    if lost:
        reason = f"the last {patience} pictures failed because a disk or store is full, read-only or out of reach"
        console.ended_early(replaces, reason)
        raise click.exceptions.Exit(1)


def _reported(outcomes: Iterable[Outcome], console: Console, speeds: Speeds, patience: int) -> bool:
    """Report on ``outcomes``; True: ``patience`` of them failed by their place in a row, and the others are left."""
    in_a_row = 0
    for outcome in outcomes:
        console.finished(outcome)
        speeds.add(outcome)
        in_a_row = in_a_row + outcome.error.by_place if outcome.error else 0
        if in_a_row == patience:
            return True
    return False


def _local_engine(jobs: Sequence[Job], console: Console, stack: contextlib.ExitStack) -> Engine:
    with nothing_collected():
        from upscale_cli import device as devices
        from upscale_cli.images.isolated import Decoders
        from upscale_cli.upscaling.engines.local import LocalEngine

    devices.keep_freed_memory()
    # A decoder's crash costs its picture alone: in runs of several, and for rare formats.
    isolated = len(jobs) > 1 or jobs[0].source.suffix.lower() not in PLAIN
    decoders = stack.enter_context(Decoders()) if isolated else None
    return LocalEngine(console.notify, decoders.read_image if decoders else None)


@contextlib.contextmanager
def nothing_collected() -> Iterator[None]:
    """Load modules without looking for cycles among their objects, then or later: none of them becomes garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _cluster_engine(cluster: RayOptions, console: Console) -> Engine:
    from upscale_cli.upscaling.engines.ray import RayEngine

    return RayEngine(console.notify, cluster, console.download)

"""``upscale folder/ --watch``: pictures are enlarged as they arrive, until Ctrl-C."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.atomic import remove_leftovers
from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.records import PictureRecord
from upscale_cli.errors import InputError, UpscaleError, UsageError
from upscale_cli.upscalers import upscalers

if TYPE_CHECKING:
    from upscale_cli.upscaling.arrivals import Arrivals
    from upscale_cli.upscaling.engines.local import LocalEngine
    from upscale_cli.upscaling.job import Upscalers
    from upscale_cli.upscaling.naming import Naming
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.upscaling.plan import Plan

LOOK_EVERY = 1000  # milliseconds between looks at files that are not whole yet
LOOKS_WITHOUT_CHANGE = 30  # after so many the folder is listed anyway: not every file system tells of changes


def require_watchable(paths: Sequence[str], others: Mapping[str, object]) -> None:
    """Raise UsageError where ``paths`` are not folders, one of ``others`` is given, or the extra is not installed."""
    for path in paths:
        if not Path(path).is_dir():
            raise UsageError(f"--watch is for folders, and {path} is none.", "Leave it out, or name a folder.")
    for option, given in others.items():
        if given:
            raise UsageError(f"--watch and {option} exclude each other.", "Leave one of them out.")
    if find_spec("watchfiles") is None:
        raise UsageError("Watching a folder needs an extra.", "Run: pip install 'upscale-cli[watch]'")


def changes_in(paths: Sequence[str], recursive: bool) -> Iterator[bool]:
    """Yield, without an end, whether something changed in the folders ``paths`` since the last time."""
    from watchfiles import watch

    settings = {"watch_filter": None, "recursive": recursive, "debounce": 500, "yield_on_timeout": True}
    for changes in watch(*paths, rust_timeout=LOOK_EVERY, **settings):  # type: ignore[arg-type]
        yield bool(changes)


def run_watched(
    paths: Sequence[str], options: UpscaleOptions, naming: Naming, style: Style, changes: Iterable[bool] | None = None
) -> None:
    """Enlarge the pictures in the folders ``paths``, then each that arrives or changes, and report on each.

    ``changes``: see ``changes_in``. Ends with KeyboardInterrupt, or where a folder has gone with InputError.
    """
    from upscale_cli.images.isolated import Decoders
    from upscale_cli.upscaling.arrivals import Arrivals
    from upscale_cli.upscaling.engines.local import LocalEngine

    console = Console("lines" if style == "bar" else style)
    making = lru_cache(1)(partial(upscalers, on_download=console.download))  # one network for all that arrive
    with contextlib.ExitStack() as stack:
        decoders = stack.enter_context(Decoders())
        stack.enter_context(contextlib.closing(console))
        engine = LocalEngine(console.notify, decoders.read_image)
        watched = _Watched(paths, options, naming, console, Arrivals(), engine, making)
        try:
            watched.look()
            console.tell(f"Waiting for pictures in {' and '.join(paths)}; Ctrl-C ends.", err=True)
            watched.follow(changes_in(paths, naming.recursive) if changes is None else changes)
        finally:
            watched.conclude()


class _Watched:
    """Folders, and what was done of them."""

    def __init__(
        self,
        paths: Sequence[str],
        options: UpscaleOptions,
        naming: Naming,
        console: Console,
        arrivals: Arrivals,
        engine: LocalEngine,
        making: Upscalers,
    ) -> None:
        self._paths, self._options, self._naming, self._console = paths, options, naming, console
        self._arrivals, self._engine, self._making = arrivals, engine, making
        self._skipped: set[Path] = set()
        self._refused: set[str] = set()
        self._done = 0

    def follow(self, changes: Iterable[bool]) -> None:
        """Look at the folders whenever something changed, files are not whole yet, or for long nothing was told."""
        quiet = -1  # what arrived before the system was asked to tell of it is found by the first look
        for changed in changes:
            quiet = 0 if changed else quiet + 1
            if changed or self._arrivals.waiting or quiet % LOOKS_WITHOUT_CHANGE == 0:
                self.look()

    def look(self) -> None:
        """Enlarge all pictures that are whole and not done."""
        planned = self._planned()
        if planned is None:
            return
        for job in planned.skipped:
            if job.target not in self._skipped:
                self._skipped.add(job.target)
                self._console.record(PictureRecord(str(job.source), str(job.target), "skipped", None))
        for notice in planned.notices:
            self._console.notify(notice)
        due = self._arrivals.due(planned.jobs)
        if not due:
            return
        self._prepare(planned)
        for outcome in self._engine.run(due, self._options, self._making, self._console):
            if self._arrivals.settles(outcome):
                self._skipped.add(outcome.job.target)
                self._console.finished(outcome)
                if outcome.error:
                    self._console.failure(outcome.error)
                self._done += outcome.error is None

    def _planned(self) -> Plan | None:
        """Return what is to be done, None where nothing is. Reports once why names make it impossible.

        Raises InputError where a folder has gone.
        """
        from upscale_cli.upscaling.plan import plan

        for path in self._paths:
            if not Path(path).is_dir():
                raise InputError(f"The folder {path} has gone.", "Make it again, and start anew.")
        try:
            return plan(self._paths, self._naming)
        except InputError:
            return None  # no picture has come yet
        except UpscaleError as error:
            if str(error) not in self._refused:
                self._refused.add(str(error))
                self._console.failure(error)
            return None

    def _prepare(self, planned: Plan) -> None:
        """Write the settings into the folders of the results, and say where they hold results of others."""
        from upscale_cli.upscaling.settings import difference, keep, settings_of

        chosen, replaces = settings_of(self._options), self._naming.existing == "overwrite"
        for folder in planned.folders:
            for notice in () if replaces else difference(folder, chosen):
                self._console.notify(notice)
            remove_leftovers(folder)
            keep(folder, chosen, replaces)

    def conclude(self) -> None:
        """Report how many pictures are done."""
        failed = f", {len(self._console.failures)} failed" if self._console.failures else ""
        pictures = "picture is" if self._done == 1 else "pictures are"
        self._console.tell(f"{self._done} {pictures} done{failed}. The same command goes on from there.", err=True)

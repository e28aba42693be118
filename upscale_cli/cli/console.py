"""What a command tells: a progress bar on a terminal, plain lines in a log, JSON for programs, or only errors."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import click
from tqdm import tqdm

from upscale_cli.addresses import shared_place
from upscale_cli.cli.bar import LOCK, Bar
from upscale_cli.cli.records import PictureRecord, Record

if TYPE_CHECKING:
    from upscale_cli.errors import UpscaleError
    from upscale_cli.notices import Notice
    from upscale_cli.upscaling.engines.engine import Progress
    from upscale_cli.upscaling.job import Job, Outcome
    from upscale_cli.upscaling.plan import Plan

T = TypeVar("T")
Style = Literal["bar", "lines", "json", "quiet"]

SHARES = 1000  # units of the bar for each job: whole numbers, whose sum never exceeds the total
PIPE = "-"  # the name of standard input and output
LINE_EVERY = 30.0  # seconds between lines on the progress of jobs


class Console:
    """Reports on one command. Results go to stdout, everything else to stderr; each notice is printed once.

    ``jobs``: how many there are to be done. ``own_stdout``: False where stdout takes a picture, so that all goes to
    stderr. ``pipes``: files that stand for standard input or output, and their names in sentences.
    All methods may be called from any thread.
    """

    def __init__(
        self, style: Style = "lines", jobs: int = 1, own_stdout: bool = True, pipes: Mapping[Path, str] | None = None
    ) -> None:
        self.style = style
        self._own_stdout = own_stdout
        self._pipes = pipes or {}
        self.failures: list[UpscaleError] = []
        self.all_listed = True  # False while a large folder may hold more jobs than are known
        self._jobs = jobs
        self._notices: Counter[Notice] = Counter()
        self._running: dict[Job, Progress | None] = {}  # None: just begun
        self._done = 0
        self._folders: set[Path] = set()  # of the results
        self._more = self._skipped = self._ignored = 0  # beside those of the plan that the command concludes with
        self._megapixels = 0.0
        self._began = self._last_line = time.perf_counter()
        self._computing = 0.0
        self._bar: Bar | None = None
        self._download: tuple[str, Bar] | None = None

    def result(self, text: str, record: Record | None = None) -> None:
        """Print what the command was asked for, in every style: as JSON its ``record``, where there is one."""
        self._line(record.to_json() if record and self.style == "json" else text)

    def tell(self, *lines: str, err: bool = False) -> None:
        """Print what was done, in the styles bar and lines."""
        for line in lines if self.style in ("bar", "lines") else ():
            self._line(line, err)

    def record(self, record: Record, *lines: str) -> None:
        """Print one result: as JSON, or as ``lines``."""
        if self.style == "json":
            self._line(record.to_json())
        self.tell(*lines)

    def notify(self, notice: Notice) -> None:
        """Print ``notice``, unless it was printed before."""
        with LOCK:
            self._notices[notice] += 1
            if self._notices[notice] == 1 and self.style != "quiet":
                self._line(f"{notice.severity.capitalize()}: {notice.text}", err=True)

    def failure(self, error: UpscaleError) -> None:
        """Print what failed while the command goes on."""
        self._line(f"Failed: {error}", err=True)

    def named(self, path: Path) -> str:
        """Return the name of a file as the user gave it, - for a pipe."""
        return PIPE if path in self._pipes else str(path)

    def _line(self, text: str, err: bool = False) -> None:
        for path, words in self._pipes.items():
            text = text.replace(json.dumps(str(path)), f'"{PIPE}"').replace(str(path), words)
        with LOCK, tqdm.external_write_mode(nolock=True):
            click.echo(printable(text), err=err or not self._own_stdout)

    def bar(self, total: int, initial: int = 0) -> Bar:
        """Return a bar, a context manager, that is shown on a terminal only."""
        return Bar(total, hidden=self.style != "bar", initial=initial)

    def each(self, items: Sequence[T], name: Callable[[T], str]) -> Iterator[T]:
        """Yield ``items``; a bar counts them and shows the name of the one that is worked on."""
        with self.bar(len(items)) as bar:
            for number, item in enumerate(items):
                bar.show(number, f"{number}/{len(items)}", [name(item)])
                yield item

    def download(self, name: str, done: int, total: int | None) -> None:
        """Report on a download: ``done`` of ``total`` bytes."""
        with LOCK:
            if self._download is None or self._download[0] != name:
                self._end_download()
                self._download = name, Bar(total, hidden=self.style != "bar")
                if self.style in ("lines", "json"):
                    self._line(f"Downloading {name}" + (f" ({total / 1e6:.0f} MB)" if total else ""), err=True)
            of_total = f"/{total / 1e6:.0f}" if total else ""
            self._download[1].show(done, f"{done / 1e6:.0f}{of_total} MB", [name])
            if done == total:
                self._end_download()

    def _end_download(self) -> None:
        if self._download is not None:
            self._download[1].close()
            self._download = None

    def started(self, job: Job) -> None:
        """Report that work on ``job`` begins."""
        with LOCK:
            self._running[job] = None
            self._computing = self._computing or time.perf_counter()
            self._show(now=True)

    def progress(self, progress: Progress) -> None:
        """Report that part of a job is done."""
        with LOCK:
            self._running[progress.job] = progress
            self._show(now=False)
            if self.style == "lines" and time.perf_counter() - self._last_line >= LINE_EVERY:
                self._last_line = time.perf_counter()
                self._line(f"{self.named(progress.job.source)}: {progress.share:.0%}, {progress.detail}", err=True)

    def ended(self, job: Job, megapixels: float = 0.0, error: UpscaleError | None = None) -> None:
        """Report that ``job`` is done, or has failed with ``error``."""
        with LOCK:
            self._running.pop(job, None)
            if error is None:
                self._done += 1
                self._folders.add(job.target.parent)
                self._megapixels += megapixels
            else:
                self.failures.append(error)
            self._show(now=True)

    def finished(self, outcome: Outcome) -> None:
        """Report on a picture that is enlarged, or has failed. Of many they are listed only where no bar shows them."""
        for notice in outcome.notices:
            self.notify(notice)
        job, (width, height), (to_width, to_height) = outcome.job, outcome.before, outcome.after
        self.ended(job, width * height / 1e6, outcome.error)
        source, target = (self.named(path) for path in (job.source, job.target))
        words = f"{source} ({width}x{height}) -> {target} ({to_width}x{to_height}), {outcome.seconds:.1f} s"
        listed = outcome.error is None and (self.style == "lines" or self._jobs == 1)
        self.record(PictureRecord.of(outcome), *[words] * listed)

    def expect(self, plan: Plan) -> None:
        """Count what ``plan`` brings beside the plan that the command concludes with."""
        with LOCK:
            more = len(plan.jobs) + len(plan.refused)
            self._jobs, self._more = self._jobs + more, self._more + more
            self._skipped += len(plan.skipped)
            self._ignored += plan.ignored

    def _show(self, now: bool) -> None:
        """Show the bar of all jobs, with the names of those under way; ``now``: though it changed a moment ago."""
        if self.style != "bar":
            return
        self._bar = self._bar or Bar(SHARES * self._jobs)
        self._bar.extend(SHARES * self._jobs)
        running = [progress for progress in self._running.values() if progress]
        ended = self._done + len(self.failures)
        done = SHARES * ended + sum(round(SHARES * progress.share) for progress in running)
        details = running[0].detail.split(", ") if len(running) == len(self._running) == 1 else []
        if megapixels := self._megapixels + sum(progress.megapixels for progress in running):
            details.append(f"{megapixels / (time.perf_counter() - self._computing):.2f} MP/s")
        names = [printable(Path(self.named(job.source)).name) for job in self._running]
        count = f"{ended}/{self._jobs}" if self._jobs > 1 else ""
        self._bar.show(min(done, SHARES * self._jobs), count, names, [detail for detail in details if detail], now)

    def close(self) -> None:
        """Remove the bars from the terminal."""
        with LOCK:
            self._end_download()
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def conclude(self, plan: Plan) -> None:
        """Report on all jobs together, and end with exit code 1 where some failed.

        Raises the error of a job that was the only one.
        """
        self.close()
        skipped, ignored = len(plan.skipped) + self._skipped, plan.ignored + self._ignored
        single = len(plan.jobs) + self._more + skipped == 1
        for notice, times in self._notices.items():
            if times > 1:
                self.tell(f"{notice.severity.capitalize()}: {times} times: {notice.text}", err=True)
        if not single or skipped or ignored:
            self.tell("; ".join(self._counts(skipped, ignored)) + ".")
        if single and self.failures:
            raise self.failures[0]
        for error in self.failures:
            self.failure(error)
        if self.failures:
            raise click.exceptions.Exit(1)

    def _counts(self, skipped: int, ignored: int) -> Iterator[str]:
        rate = f" at {self._megapixels / self.seconds:.3g} MP/s" if self._megapixels else ""
        place = f", results in {places(self._folders)}" if self._done else ""
        yield f"{self._done} done in {duration(self.seconds)}{rate}{place}" if self._done else "0 done"
        if skipped:
            yield f"{skipped} already there (--overwrite does them again)"
        if self.failures:
            yield f"{len(self.failures)} failed"
        if ignored:
            yield ignored_in_words(ignored)

    @property
    def seconds(self) -> float:
        """How long the command has run."""
        return time.perf_counter() - self._began

    def ended_early(self, replaces: bool, reason: str = "") -> None:
        """Report why (but for Ctrl-C) and how far the jobs came, and how to go on.

        ``replaces``: existing results are written again.
        """
        self.close()
        if self._jobs == 1 and self.all_listed:
            return
        for error in self.failures:
            self.failure(error)
        if reason:
            self._line(f"Stopped: {reason}.", err=True)
        onward = "Without --overwrite the same command" if replaces else "The same command"
        known = f"{self._jobs} pictures" if self.all_listed else f"the {self._jobs} pictures listed so far"
        self._line(f"{self._done} of {known} are done. {onward} goes on from there.", err=True)


def on_terminal() -> bool:
    """Return whether a progress bar can be shown."""
    return sys.stderr.isatty()


def printable(text: str) -> str:
    """Return ``text`` with control characters, which file names may hold, written out as escapes."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)


def duration(seconds: float) -> str:
    """Return ``seconds`` to read: 12.4 s, 02:05, 1:02:05."""
    return f"{seconds:.1f} s" if seconds < 60 else tqdm.format_interval(seconds)


def in_passes(network: str, passes: int) -> str:
    """Return the network's name, and how often it enlarges."""
    return f"{network}, {passes} {'pass' if passes == 1 else 'passes'}"


def ignored_in_words(count: int) -> str:
    """Return that ``count`` files were skipped."""
    return f"{count} file{'s' if count > 1 else ''} skipped: not a picture"


def places(holding: Iterable[Path]) -> str:
    """Return the folders ``holding`` results, without those inside others; of more than two, what they share."""
    folders = sorted(holding)
    roots = [folder for folder in folders if not any(other in folder.parents for other in folders)]
    if len(roots) > 2:
        with suppress(ValueError):  # on several drives, or in several stores
            return str(shared_place(roots))
    return " and ".join(map(str, roots))

"""What a run tells: a progress bar on a terminal, plain lines in a log, JSON for programs, or only errors."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Literal, NoReturn

import click
from tqdm import tqdm

if TYPE_CHECKING:
    from upscale_cli.notices import Notice
    from upscale_cli.upscaling.engines.engine import Progress
    from upscale_cli.upscaling.job import Job, Outcome
    from upscale_cli.upscaling.plan import Plan

Style = Literal["bar", "lines", "json", "quiet"]

LINE_EVERY = 500  # iterations


def in_words(notice: Notice) -> str:
    """The line that tells of ``notice``."""
    return f"{notice.severity.capitalize()}: {notice.text}"


def chosen_style(quiet: bool, as_json: bool) -> Style:
    """JSON and quiet when asked for; else a bar on a terminal and lines elsewhere."""
    if as_json:
        return "json"
    if quiet:
        return "quiet"
    return "bar" if sys.stderr.isatty() else "lines"


class Report:
    """Tells of one run. Results go to stdout, everything else to stderr; each notice is told once."""

    def __init__(self, style: Style, pictures: int) -> None:
        self._style = style
        self._pictures = pictures
        self._told: Counter[Notice] = Counter()
        self._failures: list[Outcome] = []
        self._done = self._megapixels = self._seconds = self._started = 0.0
        self._shares: dict[Job, float] = {}
        self._bar: tqdm[NoReturn] | None = None

    def notify(self, notice: Notice) -> None:
        """A sentence the user should read."""
        self._told[notice] += 1
        if self._told[notice] == 1 and self._style != "quiet":
            self._line(in_words(notice), err=True)

    def started(self, job: Job) -> None:
        """The network begins with the picture of ``job``."""
        self._shares[job] = 0.0
        self._started = self._started or time.perf_counter()
        if self._style != "bar":
            return
        if self._bar is None:
            layout = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total:.0f} pictures [{elapsed}<{remaining}{postfix}]"
            self._bar = tqdm(total=self._pictures, bar_format=layout, file=sys.stderr, dynamic_ncols=True, leave=False)
        self._bar.set_description_str(job.source.name)

    def progress(self, progress: Progress) -> None:
        """Part of a picture is done."""
        before = self._shares.get(progress.job, 0.0)
        self._shares[progress.job] = progress.share
        if self._bar is not None:
            rate = (self._megapixels + progress.megapixels) / max(1e-9, time.perf_counter() - self._started)
            self._bar.set_postfix_str(f"{progress.detail}, {rate:.2f} MP/s", refresh=False)
            self._bar.update(progress.share - before)
        elif self._style == "lines" and "iteration" in progress.detail:
            self._training_line(progress.detail)

    def _training_line(self, detail: str) -> None:
        iteration = int(re.sub(r"\D.*", "", detail.removeprefix("iteration ")))
        if iteration % LINE_EVERY == 0:
            self._line(f"Training: {detail.rsplit(', ', 1)[0]}", err=True)

    def outcome(self, outcome: Outcome) -> None:
        """One picture is done or has failed."""
        for notice in outcome.notices:
            self.notify(notice)
        if outcome.error is not None:
            self._failures.append(outcome)
        else:
            self._done += 1
            self._megapixels += outcome.before[0] * outcome.before[1] / 1e6
            self._seconds += outcome.seconds
        if self._style == "json":
            self._line(json.dumps(_as_json(outcome)))
        elif self._pictures == 1 and outcome.error is not None:
            pass  # it becomes the error of the command
        elif self._style == "lines" or (self._style == "bar" and self._pictures == 1):
            self._line(_in_words(outcome), err=outcome.error is not None)

    def _rate(self) -> float:
        return self._megapixels / self._seconds if self._seconds else 0.0

    def skipped(self, jobs: tuple[Job, ...]) -> None:
        """These are done already."""
        for job in jobs if self._style == "json" else ():
            self._line(json.dumps({"source": str(job.source), "target": str(job.target), "status": "skipped"}))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def summary(self, plan: Plan) -> None:
        """After a run of several pictures: counts, and every failure again."""
        self.close()
        for notice, times in self._told.items():
            if times > 1 and self._style not in ("quiet", "json"):
                self._line(f"Note: {times} times: {notice.text}", err=True)
        if self._style in ("bar", "lines") and (self._pictures > 1 or plan.skipped or plan.ignored):
            self._line(", ".join(self._counts(plan)) + ".")
        if self._pictures > 1:
            for failure in self._failures:
                self._line(f"Failed: {failure.error}", err=True)

    def _counts(self, plan: Plan) -> list[str]:
        counts = [f"{self._done:.0f} done at {self._rate():.3g} MP/s" if self._done else "0 done"]
        counts += [f"{len(plan.skipped)} already there (--overwrite does them again)"] if plan.skipped else []
        counts += [f"{len(self._failures)} failed"] if self._failures else []
        counts += [f"{plan.ignored} files are no pictures"] if plan.ignored else []
        return counts

    def interrupted(self, replaces: bool) -> None:
        """How far it came, and how to go on; ``replaces``: existing results are written again."""
        self.close()
        onward = "Without --overwrite the same command" if replaces else "The same command"
        if self._pictures > 1:
            self._line(
                f"{self._done:.0f} of {self._pictures} pictures are done. {onward} goes on from there.", err=True
            )

    @property
    def failures(self) -> list[Outcome]:
        return self._failures

    def _line(self, text: str, err: bool = False) -> None:
        if self._bar is not None:
            self._bar.clear()
        click.echo(text, err=err)


def _in_words(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"Failed: {outcome.error}"
    (width, height), (to_width, to_height) = outcome.before, outcome.after
    source, target = f"{outcome.job.source} ({width}x{height})", f"{outcome.job.target} ({to_width}x{to_height})"
    return f"{source} -> {target}, {outcome.seconds:.1f} s"


def _as_json(outcome: Outcome) -> dict[str, object]:
    known: dict[str, object] = {
        "source": str(outcome.job.source),
        "target": str(outcome.job.target),
        "status": "failed" if outcome.error else "done",
        "model": outcome.model,
    }
    if outcome.error:
        return known | {"error": str(outcome.error), "code": outcome.error.exit_code}
    return known | {
        "input_size": list(outcome.before),
        "output_size": list(outcome.after),
        "seconds": round(outcome.seconds, 3),
        "notices": [notice.text for notice in outcome.notices],
    }


class DownloadBar:
    """A progress bar for downloads, on a terminal; a line for each elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: tqdm[NoReturn] | None = None
        self._name = ""

    def __call__(self, name: str, done: int, total: int | None) -> None:
        if self._quiet:
            return
        if name != self._name:
            self._name = name
            size = f" ({total / 1e6:.0f} MB)" if total else ""
            if sys.stderr.isatty():
                self._bar = tqdm(total=total, unit="B", unit_scale=True, desc=name, file=sys.stderr, leave=False)
            else:
                click.echo(f"Downloading {name}{size}", err=True)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            if done == total:
                self._bar.close()
                self._bar = None

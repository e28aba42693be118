"""The interface of engines, and the progress that they report."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from upscale_cli.upscaling.job import Job, Outcome, Upscalers
from upscale_cli.upscaling.options import UpscaleOptions


@dataclass(frozen=True)
class Progress:
    """How far one job is: ``share``, 0 to 1 and never falling, what is being done, and input megapixels done."""

    job: Job
    share: float
    detail: str
    megapixels: float


class Listener(Protocol):
    """The callbacks of a run, called from any thread."""

    def started(self, job: Job) -> None:
        """Report that the picture of ``job`` is being computed."""

    def progress(self, progress: Progress) -> None:
        """Report how far a job is."""


class Engine(Protocol):
    """Does jobs and yields an Outcome for each, in any order, once its file is written or it has failed.

    A job that fails does not stop the others. Jobs are taken from the iterable only a few ahead of the outcomes that
    were consumed. Closing the iterator (Ctrl-C) ends the run and leaves no partial file behind.
    """

    def run(
        self, jobs: Iterable[Job], options: UpscaleOptions, upscalers: Upscalers, listener: Listener
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of every job; ``upscalers`` gives the networks, ``listener`` gets progress."""

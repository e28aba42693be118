"""Which pictures that arrive in a folder are whole: programs write files bit by bit, and readers must wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from upscale_cli.errors import InputError
from upscale_cli.upscaling.job import Job, Outcome

SETTLED = 1.0  # seconds without a change after which a file may be whole
PATIENCE = 10.0  # seconds without a change after which one that cannot be read is reported

Version = tuple[int, int]  # size and time of the last change


@dataclass
class _File:
    version: Version
    changed: float
    tried: bool = False


class Arrivals:
    """Remembers what was seen of every file; ``clock`` is that of the files' times, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._files: dict[Path, _File] = {}
        self.waiting = False

    def due(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the jobs whose files have not changed for a while and were not tried as they are.

        Afterwards ``waiting`` says whether others will be due without another change.
        """
        due, self.waiting = [], False
        for job in jobs:
            file = self._seen(job.source)
            if file is None or file.tried:
                continue
            if self._clock() - file.changed >= SETTLED:
                due.append(job)
            else:
                self.waiting = True
        return due

    def _seen(self, path: Path) -> _File | None:
        """Return what is known of the file, None where it has gone again."""
        try:
            status = path.stat()
        except OSError:
            self._files.pop(path, None)
            return None
        version, known = (status.st_size, status.st_mtime_ns), self._files.get(path)
        if known is None or known.version != version:
            # One that was moved here has been whole for long; clocks of other machines may be ahead.
            known = self._files[path] = _File(version, min(self._clock(), status.st_mtime))
        return known

    def settles(self, outcome: Outcome) -> bool:
        """Return whether ``outcome`` is final: a file that cannot be read may still be on its way."""
        file = self._seen(outcome.job.source)
        if file is None:
            return isinstance(outcome.error, InputError)
        early = self._clock() - file.changed < PATIENCE
        if isinstance(outcome.error, InputError) and early:
            self.waiting = True
            return False
        file.tried = True
        return True

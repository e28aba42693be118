"""Files that arrive bit by bit are left alone until they are whole. The clock is the test's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from upscale_cli.errors import InputError, OutputError
from upscale_cli.upscaling.arrivals import PATIENCE, SETTLED, Arrivals
from upscale_cli.upscaling.job import Job, Outcome


class Folder:
    """One file, and a clock."""

    def __init__(self, path: Path) -> None:
        self.now = 1000.0
        self.job = Job(path, path.with_suffix(".out"))
        self.arrivals = Arrivals(lambda: self.now)

    def write(self, text: str) -> None:
        self.job.source.write_text(text, encoding="ascii")
        os.utime(self.job.source, (self.now, self.now))

    def due(self) -> bool:
        return self.arrivals.due([self.job]) == [self.job]

    def settles(self, error: InputError | OutputError | None = None) -> bool:
        return self.arrivals.settles(Outcome(self.job, error=error))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "a.png")


def test_a_file_is_due_when_it_has_not_changed_for_a_while_and_once(folder: Folder) -> None:
    folder.write("first half")
    assert not folder.due()
    assert folder.arrivals.waiting
    folder.now += SETTLED / 2
    folder.write("first half, second half")
    folder.now += SETTLED * 0.9
    assert not folder.due()
    folder.now += SETTLED
    assert folder.due()
    assert folder.settles()
    assert not folder.due()
    assert not folder.arrivals.waiting


def test_a_file_that_was_moved_here_is_due_at_once(folder: Folder) -> None:
    folder.write("whole")
    folder.now += 3600
    assert folder.due()


def test_a_clock_that_is_ahead_does_not_matter(folder: Folder) -> None:
    folder.write("whole")
    os.utime(folder.job.source, (folder.now + 7200, folder.now + 7200))
    assert not folder.due()
    folder.now += SETTLED
    assert folder.due()


def test_what_cannot_be_read_yet_is_tried_again_until_patience_ends(folder: Folder) -> None:
    error = InputError("a.png is cut off.")
    folder.write("first half")
    folder.now += SETTLED
    assert folder.due()
    assert not folder.settles(error)
    assert folder.arrivals.waiting
    folder.now += PATIENCE
    assert folder.due()
    assert folder.settles(error)
    assert not folder.due()
    folder.write("first half, second half")
    folder.now += SETTLED
    assert folder.due()
    assert folder.settles()


def test_other_errors_are_final(folder: Folder) -> None:
    folder.write("whole")
    folder.now += SETTLED
    assert folder.due()
    assert folder.settles(OutputError("The disk is full."))


def test_a_file_that_goes_away_is_forgotten(folder: Folder) -> None:
    folder.write("first half")
    assert not folder.due()
    folder.job.source.unlink()
    folder.now += SETTLED
    assert not folder.due()
    assert not folder.arrivals.waiting

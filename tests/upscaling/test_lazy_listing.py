"""Large folders are listed while pictures are worked on, with the same jobs and the same guarantees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal
from test_plan import touch

from upscale_cli.errors import InputError, UsageError
from upscale_cli.images.formats import by_name
from upscale_cli.upscaling import job as jobs_room
from upscale_cli.upscaling import listing
from upscale_cli.upscaling.naming import Naming
from upscale_cli.upscaling.plan import plan, plans

TREE = Naming("x2", output="out", recursive=True)


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were listed so far."""
    scandir, names = os.scandir, list[str]()

    class Counted:
        def __init__(self, place: Any) -> None:
            self._entries = scandir(place)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return self._counted()

        def __exit__(self, *raised: object) -> None:
            self._entries.close()

        def _counted(self) -> Iterator[os.DirEntry[str]]:
            for entry in self._entries:
                names.append(entry.name)
                yield entry

    monkeypatch.setattr(os, "scandir", Counted)
    return names


def test_a_tree_is_listed_folder_by_folder_in_the_order_of_a_whole_plan(listed: list[str]) -> None:
    touch(*(f"d/{folder}/{number}.png" for folder in "cab" for number in range(3)), "d/x.png", "d/notes.txt")
    whole = plan(["d"], TREE)
    assert [job.source.as_posix() for job in whole.jobs] == [
        "d/x.png",
        *(f"d/{folder}/{number}.png" for folder in "abc" for number in range(3)),
    ]
    listed.clear()
    coming = plans(["d"], TREE, batch=3)
    batches = [next(coming)]
    assert len(listed) == 5 + 3 + 3  # one folder ahead
    batches += coming
    assert tuple(job for batch in batches for job in batch.jobs) == whole.jobs
    assert len(batches) == 3
    assert sum(batch.ignored for batch in batches) == whole.ignored == 1


def test_a_folder_too_large_to_be_sorted_is_listed_in_parts(listed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LARGEST_SORTED", 10)
    touch(*(f"d/{number:03}.png" for number in range(100)), *(f"d/{number:03}_x2.png" for number in range(20)))
    coming = plans(["d"], TREE, batch=5)
    sources = [job.source.name for job in next(coming).jobs]
    assert len(listed) <= 20
    sources += [job.source.name for batch in coming for job in batch.jobs]
    assert sorted(sources) == [f"{number:03}.png" for number in range(100)]  # own results are left out


@pytest.mark.parametrize("largest", [2, 1000])
def test_what_is_wrong_is_named_where_it_is_listed_late_and_refused_at_once_otherwise(
    largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LARGEST_SORTED", largest)
    touch("d/a/1.png", "d/a/2.png", "d/b/1.jpg", "d/b/1.png", "d/b/2.png", "d/A/3.png")
    Path("out/b/2.png").mkdir(parents=True)
    naming = Naming("x2", output="out", recursive=True, format=by_name("png"))
    with pytest.raises(UsageError, match="would both become"):
        plan(["d"], naming)
    refused = [each for batch in plans(["d"], naming, batch=1) for each in batch.refused]
    texts = {str(job.source): error.message for job, error in refused}
    assert "would both become out/b/1.png" in texts.pop(next(name for name in texts if "/b/1" in name))
    assert "is a folder" in texts.pop("d/b/2.png")
    assert set(texts) <= {"d/a/1.png", "d/a/2.png"}  # as d/A where letters' case does not count
    assert all("would both become" in text for text in texts.values())


def test_results_that_could_replace_inputs_are_known_before_any_work(listed: list[str]) -> None:
    touch("d/a/1.jpg", "d/b/1.png", "d/c/1.png")
    naming = Naming("x2", output="d", recursive=True, existing="overwrite")
    with pytest.raises(UsageError, match="would replace the input"):
        next(plans(["d"], naming, batch=1))
    assert len(listed) == 6


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("d/1.png", "d/a/2.png", "d/b/3.png")
    scandir = os.scandir

    def refusing(place: Path) -> Any:
        if place.name == "a":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    batches = list(plans(["d"], TREE, batch=1))
    assert [job.source.name for batch in batches for job in batch.jobs] == ["1.png", "3.png"]
    ((error,),) = [batch.unreadable for batch in batches if batch.unreadable]
    assert isinstance(error, InputError)


def test_the_first_picture_is_worked_on_before_all_are_listed(
    terminal: Terminal, photos: Path, network: str, listed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in "abcdef":
        shutil.copytree(photos, Path("d", folder))
    Path("d/f/0.jpg").write_bytes(Path("d/f/0.png").read_bytes())
    monkeypatch.setattr("upscale_cli.upscaling.plan.plans", partial(plans, batch=1))
    read, at_first = jobs_room.read, list[int]()

    def reading(*arguments: Any) -> Any:
        at_first.append(len(listed))
        return read(*arguments)

    monkeypatch.setattr(jobs_room, "read", reading)
    run = partial(terminal, "d", "-r", "-o", "out", "-m", network, "--format", "png")
    listed.clear()
    said = run()
    assert at_first[0] < len(listed) // 2
    assert said.code == 1
    assert "24 done" in said.out
    assert "; 1 failed." in said.out
    assert "would both become out/f/0.png" in said.err
    assert "0 done; 24 already there (--overwrite does them again); 1 failed." in run().out


def test_only_the_last_plan_says_that_all_is_listed() -> None:
    touch(*(f"d/{folder}/{number}.png" for folder in "ab" for number in range(3)))
    assert [each.complete for each in plans(["d"], TREE, batch=2)] == [False, True]
    assert plan(["d"], TREE).complete

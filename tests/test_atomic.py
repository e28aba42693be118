"""Files are written whole or not at all, and what a killed process leaves is cleaned up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from upscale_cli import atomic
from upscale_cli.errors import OutputError

KILLED = """
import os, pathlib, signal, sys
from upscale_cli import atomic
with atomic.replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def write_to_full_disk(target: Path) -> None:
    with atomic.replacing(target) as temporary:
        temporary.write_bytes(b"ne")
        raise OSError(28, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"Cannot write .*a\.png: No space"):
        write_to_full_disk(target)
    assert (target.read_bytes(), names(tmp_path)) == (b"old", ["a.png"])


@pytest.mark.parametrize("name", ["写" * 83 + ".png", "a" * 251 + ".png"])
def test_a_name_as_long_as_the_file_system_allows_is_written(tmp_path: Path, name: str) -> None:
    atomic.write_bytes(tmp_path / name, b"x")
    assert names(tmp_path) == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_process_left_is_removed_by_the_next_and_what_lives_is_kept(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.png")], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    assert left.startswith(".upscale-")
    foreign = tmp_path / left.replace(atomic.HOST, "another0")
    foreign.touch()
    with atomic.replacing(tmp_path / "b.png") as temporary:
        temporary.touch()
        assert set(names(tmp_path)) == {temporary.name, foreign.name}
        atomic.remove_leftovers(tmp_path)
        atomic.write_bytes(tmp_path / "c.png", b"x")
    assert names(tmp_path) == [foreign.name, "b.png", "c.png"]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_file_that_another_program_has_made_in_the_meantime_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError(1, "Operation not permitted")))
    target = tmp_path / "a.png"

    def write(theirs: bytes | None) -> None:
        with atomic.replacing(target, replaces=False) as temporary:
            temporary.write_bytes(b"ours")
            if theirs is not None:
                target.write_bytes(theirs)

    write(None)
    write(b"ours")  # of a second run of the same command
    with pytest.raises(OutputError, match=r"a\.png was made by another program in the meantime, and is kept\."):
        write(b"theirs")
    assert (target.read_bytes(), names(tmp_path)) == (b"theirs", ["a.png"])


def test_a_file_that_is_kept_by_another_name_is_there_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, former, rename = tmp_path / "last", tmp_path / "previous", Path.replace
    target.write_text("1")
    former.write_text("0")
    seen = []

    def renamed(self: Path, to: Path) -> Path:
        seen.append((target.read_text(), former.read_text()))
        return rename(self, to)

    monkeypatch.setattr(Path, "replace", renamed)
    with atomic.replacing(target, former) as temporary:
        temporary.write_text("2")
    assert seen == [("1", "1")]
    assert (target.read_text(), former.read_text()) == ("2", "1")

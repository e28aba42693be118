"""``--watch``: pictures are enlarged as they arrive. What happens between two looks is the test's choice."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from terminal import Said, Terminal

from upscale_cli.cli import watch
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import picture_header
from upscale_cli.images.write import WriteOptions, write_image


class Watching(Protocol):
    def __call__(self, *arguments: str, events: Iterator[bool]) -> Said: ...


COMMAND = (sys.executable, "-m", "upscale_cli")


def arrive(name: str, height: int = 4, moved: bool = True) -> None:
    """A picture that was made a while ago and is moved into the folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, 6, 3), np.uint8)
    write_image(Picture(pixels), Path("arriving.png"), WriteOptions(by_name("png")))
    if moved:
        os.utime("arriving.png", (1, 1))
    Path("arriving.png").replace(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    return Path("in")


@pytest.fixture
def watching(folder: Path, network: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Watching:
    def run(*arguments: str, events: Iterator[bool]) -> Said:
        monkeypatch.setattr(watch, "changes_in", lambda paths, recursive: events)
        return terminal("in", "--watch", "-o", "in_x2/", "-m", network, *arguments)

    return run


def ended() -> Iterator[bool]:
    raise KeyboardInterrupt
    yield


def test_pictures_that_are_there_come_first_and_then_those_that_arrive(watching: Watching) -> None:
    arrive("in/a.png")
    there = []

    def events() -> Iterator[bool]:
        there.append(sorted(path.name for path in Path("in_x2").glob("*.png")))
        arrive("in/b.png")
        yield True
        there.append(sorted(path.name for path in Path("in_x2").glob("*.png")))
        yield from ended()

    said = watching("--json", events=events())
    assert said.code == 130
    assert there == [["a.png"], ["a.png", "b.png"]]
    records = [json.loads(line) for line in said.out.splitlines()]
    assert [(Path(record["source"]).name, record["status"]) for record in records] == [
        ("a.png", "done"),
        ("b.png", "done"),
    ]


def test_an_empty_folder_is_waited_for_and_results_that_exist_are_left(watching: Watching) -> None:
    def events() -> Iterator[bool]:
        arrive("in/a.png")
        yield True
        yield from ended()

    first = watching(events=events())
    assert first.code == 130
    assert "in/a.png (6x4) -> in_x2/a.png (12x8)" in first.out
    assert "Waiting for pictures in in; Ctrl-C ends." in first.err
    assert "1 picture is done. The same command goes on from there." in first.err
    before = Path("in_x2/a.png").stat().st_mtime_ns
    second = watching("--json", events=ended())
    assert json.loads(second.out)["status"] == "skipped"
    assert Path("in_x2/a.png").stat().st_mtime_ns == before


def test_a_picture_that_changes_is_done_again_with_overwrite(watching: Watching) -> None:
    def events() -> Iterator[bool]:
        arrive("in/a.png", height=4)
        yield True
        yield True  # nothing has changed
        arrive("in/a.png", height=5)
        yield True
        yield from ended()

    said = watching("--overwrite", events=events())
    assert said.out.count("in/a.png") == 2
    assert picture_header(Path("in_x2/a.png")).height == 10


def test_a_file_that_is_no_picture_is_reported_and_the_others_go_on(watching: Watching) -> None:
    def events() -> Iterator[bool]:
        Path("in/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        os.utime("in/bad.png", (1, 1))
        yield True
        arrive("in/a.png")
        yield True
        yield True
        yield from ended()

    said = watching(events=events())
    assert said.err.count("Failed: in/bad.png is damaged") == 1
    assert "1 picture is done, 1 failed." in said.err
    assert said.code == 130


def test_a_folder_that_goes_away_ends_the_watch(watching: Watching) -> None:
    def events() -> Iterator[bool]:
        Path("in").rmdir()
        yield True

    said = watching(events=events())
    assert said.code == 3
    assert "The folder in has gone." in said.err


def test_names_that_collide_are_said_once(watching: Watching) -> None:
    def events() -> Iterator[bool]:
        arrive("in/a.png")
        arrive("in/a.tga")
        yield True
        yield True
        yield from ended()

    said = watching(events=events())
    assert said.err.count("would both become") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["in/a.png"], "--watch is for folders, and in/a.png is none."),
        (["-"], "--watch is for folders, and - is none."),
        (["clip.mp4"], "--watch is for folders, and clip.mp4 is none."),
        (["in", "--dry-run"], "--watch and --dry-run exclude each other."),
        (["in", "--ray"], "--watch and --ray exclude each other."),
        (["in", "--fps", "25"], "--watch is for pictures."),
    ],
)
def test_what_cannot_be_watched_is_refused(folder: Path, terminal: Terminal, arguments: list[str], words: str) -> None:
    arrive("in/a.png")
    said = terminal(*arguments, "--watch")
    assert said.code == 2
    assert words in said.err


def test_without_the_extra_one_sentence_names_it(
    folder: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(watch, "find_spec", lambda name: None if name == "watchfiles" else found(name))
    said = terminal("in", "--watch")
    assert said.err == "Error: Watching a folder needs an extra. Run: pip install 'upscale-cli[watch]'\n"


def test_files_are_found_by_the_system_and_ctrl_c_ends_the_command(folder: Path, network: str) -> None:
    """The command itself, with as much time as it needs."""
    arguments = [*COMMAND, "in", "--watch", "-o", "in_x2/", "-m", network]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while not (line := process.stderr.readline()).startswith("Waiting"):
        assert line, process.wait()
    arrive("in/a.png", moved=False)
    deadline = time.monotonic() + 120
    while not Path("in_x2/a.png").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err

"""Faults in a run over a folder: what is good is done, whole and as always; what is bad is named; nothing is left."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from folder_run import BAD, PICTURES, Folder, faults_of, faults_of_kills
from terminal import Terminal, in_this_process
from tiny_training import save

from upscale_cli import inference
from upscale_cli.atomic import TEMPORARY
from upscale_cli.cli.pictures import PATIENCE
from upscale_cli.images.encode import encode
from upscale_cli.images.picture import Picture
from upscale_cli.inference import DeviceNetwork
from upscale_cli.upscaling import job as jobs_room

Results = Mapping[str, bytes]


@pytest.fixture
def folder(tmp_path: Path, network: str) -> Folder:
    made = Folder(tmp_path, network)
    made.paint()
    return made


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, network: str) -> Results:
    """What an undisturbed run makes."""
    whole = Folder(tmp_path_factory.mktemp("whole"), network)
    whole.paint()
    assert in_this_process(*whole.arguments()) == 1
    results = whole.results()
    assert len(results) == PICTURES - len(BAD)
    return results


def run(terminal: Terminal, folder: Folder, expected: Results, *more: str, bad: tuple[str, ...] = BAD) -> str:
    """Run to the end and return what is wrong, which is nothing, and what was said."""
    said = terminal(*folder.arguments(*more))
    assert faults_of(folder, expected, said.code, said.err, bad) == []
    return said.err


def when_reading(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> None:
    """Do ``act`` before the picture ``name`` is read."""
    read = jobs_room.read

    def reading(job: jobs_room.Job, *more: Any) -> Any:
        if job.source.name == name:
            act()
        return read(job, *more)

    monkeypatch.setattr(jobs_room, "read", reading)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_runs_killed_at_any_moment_are_completed_by_the_next(folder: Folder, expected: Results) -> None:
    assert faults_of_kills(folder, expected, range(3), 0.15) == []


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        MemoryError(),
        RuntimeError("strange"),
        ValueError("odd"),
    ],
)
def test_a_writer_that_fails_fails_one_picture(
    terminal: Terminal, folder: Folder, expected: Results, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def failing(pixels: Any, metadata: Any, file: BinaryIO, kind: Any, quality: int, threads: int | None) -> None:
        if pixels.picture.height == 2 * 51:
            file.write(b"the first bytes")
            raise fault
        encode(pixels, metadata, file, kind, quality, threads)

    with monkeypatch.context() as disturbed:
        disturbed.setattr("upscale_cli.images.write.encode", failing)
        said = terminal(*folder.arguments())
    where = folder.target if isinstance(fault, OSError) else folder.source
    assert said.code == 1
    assert str(where / "11.png") in said.err
    assert folder.results() == {name: data for name, data in expected.items() if name != "11.png"}
    run(terminal, folder, expected)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_nothing_ends_the_run_and_the_same_command_goes_on(
    terminal: Terminal, folder: Folder, expected: Results, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as disturbed:
        disturbed.setattr("upscale_cli.images.write.encode", Mock(side_effect=OSError(number, "Odd")))
        said = terminal(*folder.arguments())
    assert said.code == 1
    assert said.err.count("Odd. Choose another place") == PATIENCE
    assert "Stopped: the last 8 pictures failed" in said.err
    assert f"0 of {PICTURES} pictures are done. The same command goes on from there." in said.err
    run(terminal, folder, expected)


def test_pictures_that_fail_by_themselves_never_end_a_run(
    terminal: Terminal, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale_cli.images.write.encode", Mock(side_effect=RuntimeError("strange")))
    said = terminal(*folder.arguments())
    assert said.code == 1
    assert said.err.count("Failed: ") == PICTURES
    assert "Stopped" not in said.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 kB."""
    place = tmp_path / "out"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_fails_what_has_no_place_and_a_larger_one_takes_it(
    small_disk: Path, terminal: Terminal, folder: Folder, expected: Results
) -> None:
    said = terminal(*folder.arguments())
    results = folder.results()
    assert said.code == 1
    assert "No space left on device" in said.err
    assert 0 < len(results) < len(expected)
    assert results.items() <= expected.items()
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    run(terminal, folder, expected)


def test_a_target_that_becomes_read_only_fails_what_comes_after(
    small_disk: Path, terminal: Terminal, folder: Folder, expected: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)

    def lock() -> None:
        while subprocess.run(
            ["mount", "-o", "remount,ro", str(small_disk)], capture_output=True, check=False
        ).returncode:
            pass  # busy while a file is being written

    with monkeypatch.context() as disturbed:
        when_reading(disturbed, "15.png", lock)
        said = terminal(*folder.arguments())
    assert said.code == 1
    assert "Read-only file system" in said.err
    assert "Stopped: " in said.err
    # a file that was whole, but not yet renamed, cannot be removed from here: the next run removes it
    named = {name: data for name, data in folder.results().items() if not TEMPORARY.fullmatch(name)}
    assert named.items() < expected.items()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    run(terminal, folder, expected)


def test_a_target_that_is_removed_is_made_again(
    terminal: Terminal, folder: Folder, expected: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disturbed:
        when_reading(disturbed, "15.png", lambda: shutil.rmtree(folder.target, ignore_errors=True))
        said = terminal(*folder.arguments())
    assert said.code == 1
    assert folder.results().items() < expected.items()
    run(terminal, folder, expected)


def test_a_target_that_becomes_a_file_is_named_and_kept(
    terminal: Terminal, folder: Folder, expected: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace() -> None:
        while not folder.target.is_file():
            shutil.rmtree(folder.target, ignore_errors=True)
            with suppress(OSError):
                folder.target.write_bytes(b"somebody's")

    with monkeypatch.context() as disturbed:
        when_reading(disturbed, "15.png", replace)
        said = terminal(*folder.arguments())
    assert said.code == 1
    assert f"Cannot write {folder.target / '20.png'}" in said.err
    assert "Internal error" not in said.err
    assert folder.target.read_bytes() == b"somebody's"


def test_a_result_that_another_program_makes_while_the_run_works_is_kept_and_named(
    terminal: Terminal, folder: Folder, expected: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = folder.target / "16.png"
    with monkeypatch.context() as disturbed:
        when_reading(disturbed, "15.png", lambda: theirs.write_bytes(b"somebody's"))
        said = terminal(*folder.arguments())
    assert said.code == 1
    assert f"Failed: {theirs} was made by another program in the meantime, and is kept." in said.err
    assert folder.results() == {**expected, "16.png": b"somebody's"}
    run(terminal, folder, expected, "--overwrite")


def test_inputs_that_change_under_the_run_fail_alone_or_are_taken_as_they_are(
    terminal: Terminal, folder: Folder, expected: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disturb() -> None:
        (folder.source / "20.png").unlink()
        whole = (folder.source / "21.png").read_bytes()
        (folder.source / "21.png").write_bytes(whole[: len(whole) // 2])
        shutil.copy(folder.source / "01.png", folder.source / "22.png")

    when_reading(monkeypatch, "10.png", disturb)
    run(terminal, folder, {**expected, "22.png": expected["01.png"]}, bad=(*BAD, "20.png", "21.png"))


def test_memory_that_does_not_suffice_is_answered_by_smaller_tiles_of_the_same_result(
    terminal: Terminal, folder: Folder, expected: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = DeviceNetwork.compute

    def limited(lane: DeviceNetwork, tiles: torch.Tensor, dtype: Any) -> Any:
        if tiles.shape[1] * tiles.shape[2] > 3000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(lane, tiles, dtype)

    monkeypatch.setattr(DeviceNetwork, "compute", limited)
    assert "tile" in run(terminal, folder, expected)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (MemoryError, "Memory does not suffice"),
        (torch.OutOfMemoryError, "Memory does not suffice"),
        (None, "not finite"),
    ],
)
def test_a_picture_that_no_tile_fits_or_that_becomes_nan_fails_alone(
    terminal: Terminal,
    folder: Folder,
    expected: Results,
    monkeypatch: pytest.MonkeyPatch,
    fault: type[Exception] | None,
    words: str,
) -> None:
    compute = inference._run

    def failing(module: torch.nn.Module, kind: torch.dtype, planes: torch.Tensor) -> torch.Tensor:
        black = not planes.any()
        if black and fault:
            raise fault
        result = compute(module, kind, planes)
        return result * torch.nan if black else result

    save(Picture(np.zeros((30, 30, 3), np.uint8)), folder.source / "11.png")
    monkeypatch.setattr(inference, "_run", failing)
    said = run(terminal, folder, expected, bad=(*BAD, "11.png"))
    assert words in said
    assert "--tile 15 " not in said  # which the command refuses


@pytest.mark.parametrize("options", [("--device", "cpu,cpu"), ("--tile", "32"), ("--tile", "0")])
def test_devices_and_tiles_change_no_byte(
    terminal: Terminal, folder: Folder, expected: Results, options: tuple[str, ...]
) -> None:
    run(terminal, folder, expected, *options)


def test_two_runs_in_one_folder_do_not_disturb_each_other(folder: Folder, expected: Results) -> None:
    both = [subprocess.Popen(folder.command(), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in both]  # until both are done, one has temporary files
    for process, text in zip(both, said, strict=True):
        assert faults_of(folder, expected, process.returncode, text) == []

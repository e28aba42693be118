"""Pictures larger than memory: the same bytes from files as from memory, and a killed run goes on."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale_cli import device as devices
from upscale_cli.errors import OutputError
from upscale_cli.images import libvips, storage
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Metadata, Picture
from upscale_cli.images.storage import FileStorage, folder_of
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.inference import DeviceNetwork
from upscale_cli.notices import Notice
from upscale_cli.tiling import Box
from upscale_cli.upscalers import upscalers
from upscale_cli.upscaling import job as steps
from upscale_cli.upscaling import large
from upscale_cli.upscaling.job import Job, Outcome
from upscale_cli.upscaling.options import UpscaleOptions

pytest.importorskip("pyvips", reason="the extra is not installed: pip install 'upscale-cli[large]'")

HEIGHT, WIDTH, TILE = 60, 83, 32
TILES = 6  # of them
LOOK = {"strength": 0.5, "keep_colors": True, "sharpen": 0.5, "grain": 2.0}


def drawn(channels: int, depth: int) -> Picture:
    """A picture with metadata; its alpha has what is hidden, opaque and between."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    top = 2**depth - 1
    waves = np.stack([np.sin(x / (7 + k) + y / (11 - k)) for k in range(4)], -1) * 0.4 + 0.5
    pixels = (waves * top).astype(np.uint8 if depth == 8 else np.uint16)
    pixels[:20, :30, 3], pixels[40:, :, 3] = 0, top
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    found = Metadata(exif=exif, resolution=(300, 300), xmp=b"<x:xmpmeta/>")
    return Picture(pixels[..., : 1 if channels < 3 else 3], pixels[..., 3] if channels in (2, 4) else None, found)


def written(folder: Path, name: str, channels: int = 3, depth: int = 8) -> Path:
    path = folder / f"scan{by_name(name).extensions[0]}"
    write_image(drawn(channels, depth), path, WriteOptions(by_name(name)))
    return path


def run(source: Path, network: str, format_name: str = "", **options: Any) -> Outcome:
    sized = {"scale", "width", "height", "fit"} & options.keys()
    options = options if sized else {"scale": 2.0, **options}
    target = source.with_name(f"result{by_name(format_name).extensions[0] if format_name else source.suffix}")
    asked, job = UpscaleOptions(network, tile=TILE, **options), Job(source, target, replaces=True)
    notices: list[Notice] = []
    upscaler_for = upscalers(asked, notices.append)
    image = steps.read(job, asked, notify=notices.append)
    enlarged = image if isinstance(image, Outcome) else steps.enlarge(job, image, asked.size, upscaler_for)
    outcome = enlarged if isinstance(enlarged, Outcome) else steps.write(enlarged, asked)
    return replace(outcome, notices=(*notices, *outcome.notices))


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture is too large."""
    monkeypatch.setattr(large, "SHARE_OF_FREE_MEMORY", 0)


@pytest.mark.parametrize(
    ("name", "channels", "depth", "options"),
    [
        ("tiff", 3, 8, {}),
        ("tiff", 4, 16, {"width": 200}),
        ("tiff", 2, 16, {"scale": 3.0, "alpha_upsampler": "bicubic"}),
        ("tiff", 3, 16, {"scale": 1.5, **LOOK}),
        ("png", 4, 8, LOOK),
        ("png", 1, 16, {"fit": (150, 150)}),
        ("jpeg", 3, 8, {"height": 100, "max_bytes": 9000}),
        ("jpeg", 1, 8, {"tileable": "both", "scale": 3.0}),
    ],
)
def test_files_give_the_bytes_of_memory(
    tmp_path: Path,
    network: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    channels: int,
    depth: int,
    options: dict[str, Any],
) -> None:
    source = written(tmp_path, name, channels, depth)
    in_memory = run(source, network, **options)
    expected = in_memory.job.target.read_bytes()
    monkeypatch.setattr(large, "SHARE_OF_FREE_MEMORY", 0)
    in_files = run(source, network, **options)
    assert in_files.error is None
    assert in_files.notices[0].text.endswith(f"they are kept in files in {folder_of(in_files.job.target)}.")
    assert in_files.job.target.read_bytes() == expected
    assert in_files.notices[1:] == in_memory.notices
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"result{source.suffix}", source.name]


KILLED = """
import os, signal, sys
from pathlib import Path
from test_large import run
from upscale_cli.images import storage
from upscale_cli.upscaling import large

def record(self, cores, recorded=storage._FileStep.record, left=[4]):
    recorded(self, cores)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

large.SHARE_OF_FREE_MEMORY = storage.SYNC_SECONDS = 0
storage._FileStep.record = record
run(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, "tiff")
    expected = run(source, network).job.target.read_bytes()
    tests = f"{Path(__file__).parent}{os.pathsep}{Path(__file__).parent.parent}"
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{tests}"}
    command = [sys.executable, "-c", KILLED, str(source), network]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    monkeypatch.setattr(large, "SHARE_OF_FREE_MEMORY", 0)
    computed = count_tiles(monkeypatch)
    outcome = run(source, network)
    assert outcome.notices[0].text.endswith("where an earlier run goes on after 4 tiles.")
    assert len(computed) == TILES - 4
    assert outcome.job.target.read_bytes() == expected
    assert not folder_of(outcome.job.target).exists()


def count_tiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what goes through the network from now on."""
    computed: list[int] = []
    compute = DeviceNetwork.compute

    def counted(self: DeviceNetwork, tiles: Any, dtype: Any) -> Any:
        computed.append(len(tiles))
        return compute(self, tiles, dtype)

    monkeypatch.setattr(DeviceNetwork, "compute", counted)
    return computed


class Killed(BaseException):
    pass


def stopped(monkeypatch: pytest.MonkeyPatch, method: str, times: int, *arguments: Any, **options: Any) -> None:
    """Do a run that ends like a killed one, after so many calls of a step's ``method``."""
    with monkeypatch.context() as patched:
        stop_after(patched, method, times)
        with pytest.raises(Killed):
            run(*arguments, **options)
    gc.collect()  # its lock, which a killed process does not hold


def stop_after(monkeypatch: pytest.MonkeyPatch, method: str, times: int) -> None:
    """Let a run end like a killed one after so many calls of a step's ``method``."""
    called = getattr(storage._FileStep, method)

    def counted(self: Any, *arguments: Any) -> None:
        nonlocal times
        called(self, *arguments)
        times -= 1
        if times == 0:
            raise Killed

    monkeypatch.setattr(storage._FileStep, method, counted)


STOPS = [("record", 5), ("record", 9), ("end", 1), ("end", 4), ("end", 6), ("end", 8)]


@pytest.mark.parametrize(("method", "times"), STOPS)
@pytest.mark.usefixtures("forced")
def test_what_is_done_is_not_done_again_whenever_a_run_stops(
    tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch, method: str, times: int
) -> None:
    source = written(tmp_path, "tiff", 4)
    options: dict[str, Any] = {"width": 190, **LOOK}
    expected = run(source, network, **options).job.target.read_bytes()
    monkeypatch.setattr(storage, "SYNC_SECONDS", 0)
    computed = count_tiles(monkeypatch)
    stopped(monkeypatch, method, times, source, network, **options)
    outcome = run(source, network, **options)
    assert outcome.job.target.read_bytes() == expected
    assert len(computed) <= 2 * TILES + 2  # of colours and alpha, and what was in flight


@pytest.mark.usefixtures("forced")
def test_other_settings_or_another_picture_begin_anew(
    tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path, "png")
    monkeypatch.setattr(storage, "SYNC_SECONDS", 0)
    for change in ({"tta": True}, {"input": True}):
        stopped(monkeypatch, "record", 2, source, network)
        if "input" in change:
            write_image(Picture(255 - drawn(3, 8).color), source, WriteOptions(by_name("png")))
        outcome = run(source, network, tta="tta" in change)
        assert "goes on" not in outcome.notices[0].text
        assert outcome.error is None


def test_a_journal_that_is_torn_counts_as_far_as_it_is_whole(tmp_path: Path) -> None:
    first = FileStorage(tmp_path / "a.png", {"a": "1"})
    step = first.step("color", (4, 4, 1), np.uint8)
    step.begin(16)
    step.pixels[:] = 7
    step.record([Box(0, 0, 4, 4)])
    step.end()
    first._lock.release()
    journal = first.folder / "journal"
    whole = journal.read_bytes()
    for length in range(0, len(whole), 5):
        journal.write_bytes(whole[:length])
        (first.folder / "color").write_bytes(bytes([7] * 16))
        again = FileStorage(tmp_path / "a.png", {"a": "1"})
        known = again.step("color", (4, 4, 1), np.uint8)
        assert not known.complete
        assert set(known.finished) <= {Box(0, 0, 4, 4)}
        assert known.finished == set() or (known.pixels == 7).all()
        again._lock.release()


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format_name": "webp"}, "webp files are not written in strips. Choose --format tiff or png."),
        ({"kernel": "auto", "iterations": 1, "network": None}, "--zssr needs the whole picture in memory."),
        ({"tileable": "x"}, "--tileable with transparency needs the whole picture in memory."),
    ],
)
def test_what_needs_the_whole_picture_is_done_in_memory_or_refused(
    tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], said: str
) -> None:
    source = written(tmp_path, "tiff", 4)
    given = {"network": network, **options}
    if "iterations" not in options:
        outcome = run(source, **given)
        assert outcome.error is None
        assert said in outcome.notices[0].text
    monkeypatch.setattr(devices, "free_memory", lambda device: 0)
    assert said in str(run(source, **given).error)
    assert not folder_of(source.with_name("result.tif")).exists()


@pytest.mark.usefixtures("forced")
def test_without_the_extra_a_sentence_names_it(tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, "tiff")
    monkeypatch.setattr(libvips, "find_spec", lambda name: None)
    said = "Large pictures need an extra. Run: pip install 'upscale-cli[large]'"
    assert said in run(source, network).notices[0].text
    monkeypatch.setattr(devices, "free_memory", lambda device: 0)
    assert said in str(run(source, network).error)


@pytest.mark.usefixtures("forced")
def test_a_disk_that_is_too_small_is_said_before_anything_is_done(
    tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path, "tiff")
    usage = shutil.disk_usage(tmp_path)._replace(free=HEIGHT * WIDTH * 3 * 15)  # too little by the arrays between
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    computed = count_tiles(monkeypatch)
    error = run(source, network, width=200).error
    assert isinstance(error, OutputError)
    assert "of disk space" in error.message
    assert not computed
    assert not folder_of(source.with_name("result.tif")).exists()


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    held = FileStorage(tmp_path / "a.png", {})
    with pytest.raises(OutputError, match="Another run is writing"):
        FileStorage(tmp_path / "a.png", {})
    held.remove()
    assert not folder_of(tmp_path / "a.png").exists()

"""Nothing is lost: a killed run goes on, and the frames are those of an undisturbed one."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import decoded, make, packets, seconds
from filelock import FileLock
from running import Log, network, run

from upscale_cli.errors import OutputError, UpscaleError
from upscale_cli.upscaling import clip
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video import segments
from upscale_cli.video.segments import folder_of

FRAMES = 60  # 2.4 s: twelve segments


class Slow:
    """An upscaler that repeats pixels, and takes its time."""

    name = "slow"

    def frames_at_once(self, height: int, width: int) -> int:
        return 1

    def upscale_frames(self, frames: Any, target: tuple[int, int], dtype: Any, memory: Any) -> Any:
        time.sleep(0.004)
        return [pixels.repeat(2, 0).repeat(2, 1) for pixels in frames]


class Stopping:
    """An upscaler that fails at its frame ``number``."""

    name = "stopping"

    def __init__(self, number: int) -> None:
        self.left = number

    def frames_at_once(self, height: int, width: int) -> int:
        return 1

    def upscale_frames(self, frames: Any, target: tuple[int, int], dtype: Any, memory: Any) -> Any:
        self.left -= 1
        if not self.left:
            raise UpscaleError("Stopped.")
        return [pixels.repeat(2, 0).repeat(2, 1) for pixels in frames]


def enlarge(source: Path, target: Path) -> None:
    """Run in a process of its own."""
    segments.SECONDS = 0.2
    run(source, target, 2, upscaler=Slow(), options=UpscaleOptions(scale=2), preset="ultrafast")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 0.2 seconds."""
    monkeypatch.setattr(segments, "SECONDS", 0.2)


def pixels(path: Path) -> list[bytes]:
    return [frame.to_ndarray().tobytes() for frame in decoded(path)]


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_twenty_kills_change_no_frame(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mp4", count=FRAMES, tone=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["running", "upscale_cli.upscaling.clip"])
    undisturbed, killed = tmp_path / "undisturbed.mp4", tmp_path / "killed.mp4"
    whole = context.Process(target=enlarge, args=(source, undisturbed))
    whole.start()
    whole.join()
    delays = random.Random(0)
    for _ in range(20):
        if killed.exists():  # it came to its end: begin anew
            killed.unlink()
        process = context.Process(target=enlarge, args=(source, killed))
        process.start()
        time.sleep(delays.uniform(0.05, 0.25))
        process.kill()
        process.join()
    last = context.Process(target=enlarge, args=(source, killed))
    last.start()
    last.join()
    assert last.exitcode == 0 or killed.exists()
    assert pixels(killed) == pixels(undisturbed)
    assert seconds(killed) == seconds(source)
    assert packets(killed, "audio") == packets(source, "audio")
    assert not folder_of(killed).exists()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_run_that_failed_goes_on_after_its_last_whole_segment(tmp_path: Path, suffix: str) -> None:
    source = make(tmp_path / f"clip{suffix}", count=FRAMES)
    run(source, tmp_path / "undisturbed.mkv", 2, upscaler=Stopping(-1))
    with pytest.raises(UpscaleError, match="Stopped"):
        run(source, tmp_path / "out.mkv", 2, upscaler=Stopping(33))
    assert not (tmp_path / "out.mkv").exists()
    outcome = run(source, tmp_path / "out.mkv", 2, upscaler=Stopping(-1))
    assert (outcome.frames, outcome.computed) == (FRAMES, FRAMES - 30)
    assert pixels(tmp_path / "out.mkv") == pixels(tmp_path / "undisturbed.mkv")
    assert seconds(tmp_path / "out.mkv") == seconds(tmp_path / "undisturbed.mkv")


@pytest.mark.usefixtures("short")
def test_joining_alone_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = make(tmp_path / "clip.mp4"), tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(clip, "join", lambda *_: (_ for _ in ()).throw(OutputError("The disk is full.")))
        with pytest.raises(OutputError, match="full"):
            run(source, target, 2)
    outcome = run(source, target, 2)
    assert (outcome.computed, outcome.model) == (0, None)
    assert len(decoded(target)) == 10


@pytest.mark.usefixtures("short")
def test_work_of_other_settings_begins_anew_and_says_so(tmp_path: Path) -> None:
    source, target, log = make(tmp_path / "clip.mp4", count=FRAMES), tmp_path / "out.mp4", Log()
    with pytest.raises(UpscaleError, match="Stopped"):
        run(source, target, 2, upscaler=Stopping(33))
    outcome = run(source, target, 2, log, codec="hevc", preset="ultrafast")
    assert outcome.computed == FRAMES
    assert "other settings" in log.notices[0].text


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    source, target = make(tmp_path / "clip.mp4"), tmp_path / "out.mp4"
    folder_of(target).mkdir()
    with FileLock(folder_of(target) / "lock"), pytest.raises(OutputError, match="Another run"):
        run(source, target, 2)


@pytest.mark.usefixtures("short")
def test_a_segment_without_its_record_does_not_count(tmp_path: Path) -> None:
    source, target = make(tmp_path / "clip.mp4", count=FRAMES), tmp_path / "out.mp4"
    with pytest.raises(UpscaleError, match="Stopped"):
        run(source, target, 2, upscaler=Stopping(33))
    (folder_of(target) / "00003.json").write_bytes(b"{")
    assert run(source, target, 2).computed == FRAMES - 5 * 5


def test_frames_of_one_segment_equal_those_of_many_where_nothing_is_lost(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mp4", count=30)
    options = UpscaleOptions(scale=2)
    run(source, tmp_path / "one.mkv", 2, options=options, codec="ffv1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SECONDS", 0.2)
        run(source, tmp_path / "many.mkv", 2, options=options, codec="ffv1", upscaler=network(2))
    assert all(
        np.array_equal(a.to_ndarray(), b.to_ndarray())
        for a, b in zip(decoded(tmp_path / "one.mkv"), decoded(tmp_path / "many.mkv"), strict=True)
    )

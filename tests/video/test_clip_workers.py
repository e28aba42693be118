"""Clips decoded in a process of their own: the same frames, and whatever a decoder does ends its clip alone."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from clips import make
from terminal import Terminal

from upscale_cli.errors import InputError
from upscale_cli.video import isolated
from upscale_cli.video.clip import ClipReader
from upscale_cli.video.info import Wanted
from upscale_cli.video.isolated import IsolatedReader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="time and memory are bounded on Linux only")

# A worker whose decoder does, at the third frame, what the clip's name says.
DOUBLE = """
import os, time
from upscale_cli import isolation
from upscale_cli.video import isolated
from upscale_cli.video.clip import ClipReader

isolation.SECONDS, isolation.PIXELS_PER_SECOND = 2, 10**9

class Double(ClipReader):
    def frames(self, after=None):
        for number, frame in enumerate(super().frames(after)):
            if number == 2 and self._path.stem == "crash":
                os.abort()
            if number == 2 and self._path.stem == "sleep":
                time.sleep(60)
            if number == 2 and self._path.stem == "eat":
                held = b"x" * 2**36
            yield frame

isolated.ClipReader = Double
isolated.main()
"""
COMMAND = (sys.executable, "-c", DOUBLE)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_its_frames_and_facts_are_those_of_the_reader_in_this_process(tmp_path: Path, pix_fmt: str) -> None:
    clip = make(tmp_path / "ä.mp4", count=5, pix_fmt=pix_fmt, rotation=90)
    with closing(ClipReader(clip, Wanted())) as plain, closing(IsolatedReader(clip, Wanted())) as reader:
        assert reader.info == plain.info
        for after in (None, plain.info.start, 10**9):
            expected, found = list(plain.frames(after)), list(reader.frames(after))
            assert len(found) == len(expected)
            for ours, theirs in zip(found, expected, strict=True):
                assert np.array_equal(ours.pixels, theirs.pixels)
                assert ours.pixels.dtype == theirs.pixels.dtype
                assert (ours.pts, ours.duration, ours.repeated) == (theirs.pts, theirs.duration, theirs.repeated)


def test_a_reader_that_is_closed_leaves_no_process(tmp_path: Path) -> None:
    clip = make(tmp_path / "a.mp4", count=30)
    with closing(IsolatedReader(clip, Wanted())) as reader:
        assert len(list(islice(reader.frames(), 2))) == 2
        frames = reader.frames()
        next(frames)
        workers = [worker.pid for worker in reader._workers]
    assert len(workers) == 2
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash", "crashes its decoder"),
        ("sleep", "takes too long to decode"),
        ("eat", "takes too much memory to decode"),
    ],
)
def test_what_a_decoder_does_ends_its_clip_alone(tmp_path: Path, name: str, reason: str) -> None:
    clip = make(tmp_path / f"{name}.mp4", count=5)
    with closing(IsolatedReader(clip, Wanted(), COMMAND)) as reader:
        frames = reader.frames()
        assert len(list(islice(frames, 2))) == 2
        with pytest.raises(InputError, match=rf"{name}\.mp4 {reason}\."):
            next(frames)


def test_what_the_reader_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    clip = make(tmp_path / "a.mp4", count=3)
    with pytest.raises(InputError, match=r"a\.mp4 has 1 picture stream\."):
        IsolatedReader(clip, Wanted(stream=1))
    clip.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"a\.mp4 cannot be opened"):
        IsolatedReader(clip, Wanted())


def test_a_clip_that_crashes_its_decoder_costs_itself_alone(
    terminal: Terminal, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("in").mkdir()
    make(Path("in/a.mp4"), count=3)
    make(Path("in/crash.mp4"), count=5)
    make(Path("in/z.mp4"), count=3)
    monkeypatch.setattr(isolated.IsolatedReader.__init__, "__defaults__", (COMMAND,))
    said = terminal("in/a.mp4", "in/crash.mp4", "in/z.mp4", "-m", network, "-o", "out")
    assert said.code == 1
    assert "in/crash.mp4 crashes its decoder." in said.err
    assert sorted(path.name for path in Path("out").glob("*.mp4")) == ["a.mp4", "z.mp4"]

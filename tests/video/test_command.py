"""Clips on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import decoded, make, packets, seconds
from terminal import Terminal
from test_resume import pixels
from tiny_training import painted, save

from upscale_cli.cli.clip_options import parse_time
from upscale_cli.errors import UsageError

UPSCALE = Path(sys.executable).with_name("upscale.exe" if sys.platform == "win32" else "upscale")


def test_a_clip_becomes_a_clip_beside_it(terminal: Terminal, network: str) -> None:
    make(Path("clip.mp4"), count=5)
    said = terminal("clip.mp4", "-m", network, "-s", "2", "--suffix", "_x2")
    assert said.code == 0, said.err
    assert "clip.mp4 (64x48) -> clip_x2.mp4 (128x96, h264), 5 frames" in said.out
    assert decoded(Path("clip_x2.mp4"))[0].width == 128
    assert sorted(path.name for path in Path().iterdir()) == ["clip.mp4", "clip_x2.mp4"]


def test_a_container_that_is_only_read_becomes_matroska(terminal: Terminal, network: str) -> None:
    make(Path("clip.avi"), count=3, codec="mpeg4", options={}, times=[512 * number for number in range(3)])
    assert terminal("clip.avi", "-m", network, "-s", "2", "--suffix", "_x2").code == 0
    assert Path("clip_x2.mkv").exists()


def test_a_pattern_names_clips(terminal: Terminal, network: str) -> None:
    for name in ("a.mp4", "b.mp4"):
        make(Path(name), count=2)
    assert terminal("?.mp4", "-m", network, "-s", "2", "-o", "out/").code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.mp4", "b.mp4"]
    assert terminal("c*.mp4", "-m", network, "-o", "out/").code == 3


def test_json_has_one_object_per_clip(terminal: Terminal, network: str) -> None:
    make(Path("a.mp4"), count=3)
    Path("b.mp4").write_bytes(b"nothing")
    said = terminal("a.mp4", "b.mp4", "-m", network, "-s", "2", "--json", "-o", "out/")
    records = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 1
    assert [(record["record"], record["status"]) for record in records] == [("clip", "done"), ("clip", "failed")]
    assert records[0]["frames"] == records[0]["computed"] == 3
    assert records[0]["output_size"] == [128, 96]
    assert records[1]["code"] == 3


def test_a_result_that_exists_is_not_replaced_without_asking(terminal: Terminal, network: str) -> None:
    make(Path("clip.mp4"), count=3)
    Path("out.mp4").write_bytes(b"mine")
    said = terminal("clip.mp4", "-m", network, "-o", "out.mp4")
    assert said.code == 4
    assert "out.mp4 exists already" in said.err
    assert terminal("clip.mp4", "-m", network, "-o", "out.mp4", "--skip-existing").code == 0
    assert Path("out.mp4").read_bytes() == b"mine"
    assert terminal("clip.mp4", "-m", network, "-o", "out.mp4", "--overwrite").code == 0
    assert len(decoded(Path("out.mp4"))) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["photo.png", "--codec", "hevc"], "--codec is for clips"),
        (["photo.png", "--no-reuse"], "--no-reuse is for clips"),
        (["photo.png", "clip.mp4"], "clip.mp4 is a clip, and photo.png is not"),
        (["clip.mp4", "--format", "png"], "--format is for pictures"),
        (["clip.mp4", "--depth", "16"], "--depth is for pictures"),
        (["clip.mp4", "--tileable", "x"], "--tileable is for pictures"),
        (["clip.mp4", "--strength", "0.5"], "--strength is for pictures"),
        (["clip.mp4", "--keep-colors"], "--keep-colors is for pictures"),
        (["clip.mp4", "-r"], "--recursive is for pictures"),
        (["clip.mp4", "--start", "soon"], "'soon' is no time"),
        (["clip.mp4", "-o", "out.wmv"], "out.wmv has no extension of a container"),
        (["clip.mp4", "-o", "clip.mp4", "--overwrite"], "clip.mp4 would be replaced"),
        (["clip.mp4", "--codec", "theora"], "There is no codec theora"),
    ],
)
def test_options_that_do_not_fit_are_refused(terminal: Terminal, network: str, arguments: list[str], said: str) -> None:
    make(Path("clip.mp4"), count=2)
    save(painted(0, 8, 8), Path("photo.png"))
    told = terminal(*arguments, "-m", network)
    assert told.code == 2
    assert said in told.err


def test_a_missing_clip_is_named(terminal: Terminal, network: str) -> None:
    said = terminal("gone.mp4", "-m", network)
    assert (said.code, "no file gone.mp4" in said.err) == (3, True)


def test_without_the_extra_one_sentence_names_it(
    terminal: Terminal, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale_cli.video.kinds.find_spec", lambda name: None)
    make(Path("clip.mp4"), count=2)
    said = terminal("clip.mp4", "-m", network)
    assert said.code == 2
    assert said.err == "Error: Video needs an extra. Run: pip install 'upscale-cli[video]'\n"


@pytest.mark.parametrize(("text", "expected"), [("80", 80), ("1:20", 80), ("1:02:03.5", 3723.5), ("0.25", 0.25)])
def test_times_are_read_as_people_write_them(text: str, expected: float) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["", "1:", "-3", "1:2:3:4", "soon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no time"):
        parse_time(text)


def test_a_part_begins_and_ends_where_asked(terminal: Terminal, network: str) -> None:
    make(Path("clip.mp4"), count=50, tone=True)
    said = terminal("clip.mp4", "-m", network, "-s", "2", "--start", "0:01", "--duration", "0.4", "-o", "part.mp4")
    assert said.code == 0, said.err
    assert seconds(Path("part.mp4")) == seconds(Path("clip.mp4"))[:10]
    assert 0.3 < len(packets(Path("part.mp4"), "audio")) * 1024 / 48000 < 0.5
    terminal("clip.mp4", "-m", network, "-s", "2", "--codec", "ffv1", "-o", "whole.mkv")
    terminal("clip.mp4", "-m", network, "-s", "2", "--codec", "ffv1", "--start", "1", "-o", "end.mkv")
    assert pixels(Path("end.mkv")) == pixels(Path("whole.mkv"))[25:]


@pytest.mark.skipif(not UPSCALE.exists(), reason="the package is not installed in this environment")
def test_the_installed_command_enlarges_a_clip_with_the_embedded_network(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mp4", count=4, tone=True, rotation=90)
    done = subprocess.run(
        [str(UPSCALE), "clip.mp4", "-s", "2", "--quality", "90"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = tmp_path / "clip_x2.mp4"
    frames = decoded(result)
    assert (len(frames), frames[0].width, frames[0].rotation) == (4, 128, 90)
    assert packets(result, "audio") == packets(source, "audio")
    small = frames[1].to_ndarray(format="gray").reshape(48, 2, 64, 2).mean((1, 3))
    assert np.abs(small - decoded(source)[1].to_ndarray(format="gray")).mean() < 5

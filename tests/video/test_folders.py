"""Frames as numbered pictures, in and out; estimates; comparisons."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import decoded, make, moving, seconds
from terminal import Terminal
from test_kept import rgb

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image


@pytest.fixture
def frames(terminal: Terminal) -> Path:
    """A folder of eight numbered pictures, of which number 5 is missing."""
    folder = Path("frames")
    folder.mkdir()
    for number in (1, 2, 3, 4, 6, 7, 8, 9, 10):
        write_image(Picture(moving(number)), folder / f"shot2_{number}.png", WriteOptions(by_name("png")))
    (folder / "notes.txt").write_text("no frame")
    return folder


@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize(("fps", "rate"), [("24", Fraction(24)), ("29.97", Fraction(2997, 100))])
def test_a_folder_of_numbered_pictures_becomes_a_clip_in_the_order_of_numbers(
    terminal: Terminal, network: str, fps: str, rate: Fraction
) -> None:
    exact = ["--quality", "100", "--pix-fmt", "yuv444p"]
    said = terminal("frames", "--fps", fps, "-m", network, "-s", "2", "-o", "out.mp4", *exact)
    assert said.code == 0, said.err
    assert all(abs(at - number / rate) < Fraction(1, 10000) for number, at in enumerate(seconds(Path("out.mp4"))))
    assert len(decoded(Path("out.mp4"))) == 9
    terminal("frames/shot2_10.png", "-m", network, "-s", "2", "-o", "last.png")
    assert np.abs(rgb(Path("out.mp4"))[8].astype(int) - read_picture(Path("last.png")).color)[8:-8, 8:-8].mean() < 4


@pytest.mark.usefixtures("frames")
def test_part_of_a_folder_is_taken_by_time(terminal: Terminal, network: str) -> None:
    terminal("frames", "--fps", "10", "-m", network, "--start", "0.2", "--duration", "0.3", "-o", "out.mp4")
    assert len(decoded(Path("out.mp4"))) == 3


@pytest.mark.usefixtures("frames")
def test_a_frame_of_another_size_is_named(terminal: Terminal, network: str) -> None:
    write_image(Picture(moving(0, 32, 32)), Path("frames/shot2_4.png"), WriteOptions(by_name("png")))
    said = terminal("frames", "--fps", "24", "-m", network, "-o", "out.mp4")
    assert (said.code, "shot2_4.png has 32x32, not 64x48" in said.err) == (3, True)


def test_a_clip_is_written_as_numbered_pictures(terminal: Terminal, network: str) -> None:
    make(Path("clip.mp4"), count=4)
    said = terminal("clip.mp4", "-m", network, "-s", "2", "-o", "out/%04d.png")
    assert said.code == 0, said.err
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["0001.png", "0002.png", "0003.png", "0004.png"]
    Path("frame.png").unlink(missing_ok=True)
    write_image(Picture(rgb(Path("clip.mp4"))[2]), Path("frame.png"), WriteOptions(by_name("png")))
    terminal("frame.png", "-m", network, "-s", "2", "-o", "frame_x2.png")
    assert np.array_equal(read_picture(Path("out/0003.png")).color, read_picture(Path("frame_x2.png")).color)


def test_numbered_pictures_that_exist_are_kept_and_the_rest_is_made(terminal: Terminal, network: str) -> None:
    make(Path("clip.mp4"), count=4)
    terminal("clip.mp4", "-m", network, "-s", "2", "-o", "out/%d.png")
    before = {path.name: path.read_bytes() for path in Path("out").glob("*.png")}
    Path("out/2.png").unlink()
    Path("out/3.png").write_bytes(b"mine")
    assert "4 frames" in terminal("clip.mp4", "-m", network, "-s", "2", "-o", "out/%d.png").out
    assert Path("out/2.png").read_bytes() == before["2.png"]
    assert Path("out/3.png").read_bytes() == b"mine"
    other = terminal("clip.mp4", "-m", network, "-s", "4", "-o", "out/%d.png")
    assert (other.code, "other settings" in other.err) == (4, True)


def test_ten_bits_become_pictures_of_sixteen(terminal: Terminal, network: str) -> None:
    make(Path("clip.mkv"), count=2, pix_fmt="yuv420p10le")
    assert terminal("clip.mkv", "-m", network, "-o", "out/%d.png").code == 0
    assert read_picture(Path("out/1.png")).depth == 16


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clip.mp4", "-o", "out/%d.mp5"], "no extension of a container"),
        (["clip.mp4", "-o", "out/%d.png", "--codec", "hevc"], "are pictures"),
        (["clip.mp4", "--fps", "24"], "--fps is for folders"),
        (["frames", "--fps", "0"], "out of range"),
        (["empty", "--fps", "24"], "no numbered pictures"),
    ],
)
@pytest.mark.usefixtures("frames")
def test_what_does_not_fit_is_refused(terminal: Terminal, network: str, arguments: list[str], said: str) -> None:
    make(Path("clip.mp4"), count=2)
    Path("empty").mkdir()
    told = terminal(*arguments, "-m", network)
    assert told.code in (2, 3)
    assert said in told.err


def test_a_dry_run_says_sizes_frames_codecs_time_and_bytes_and_writes_nothing(terminal: Terminal, network: str) -> None:
    make(Path("clip.mp4"), count=50)
    said = terminal("clip.mp4", "-m", network, "-s", "2", "--dry-run")
    pattern = r"clip\.mp4 \(64x48, h264\) -> clip_x2_tiny-x2\.mp4 \(128x96, h264 yuv420p\): "
    pattern += r"tiny-x2, 1 pass, 50 frames, about [\d.]+ s and [\d.]+ MB"
    assert re.fullmatch(pattern, said.out.strip()), said.out
    assert [path.name for path in Path().iterdir()] == ["clip.mp4"]
    row = json.loads(terminal("clip.mp4", "-m", network, "-s", "2", "--dry-run", "--json").out)
    assert (row["status"], row["model"], row["passes"], row["frames"]) == ("planned", "tiny-x2", 1, 50)
    assert row["estimated_seconds"] > 0
    assert row["estimated_bytes"] > 0
    terminal("clip.mp4", "-m", network, "-s", "2", "-o", "out.mp4")
    estimated = float(said.out.split()[-2]) * 1e6
    assert 0.4 < estimated / Path("out.mp4").stat().st_size < 2.5


def test_a_dry_run_of_pictures_writes_nothing(terminal: Terminal, network: str) -> None:
    make(Path("clip.mp4"), count=3)
    said = terminal("clip.mp4", "-m", network, "-s", "2", "-o", "out/%d.png", "--dry-run")
    assert "3 frames of 128x96" in said.out
    assert not Path("out").exists()


def test_the_comparison_shows_input_and_result_side_by_side(terminal: Terminal, network: str) -> None:
    make(Path("clip.mp4"), count=5, tone=True)
    said = terminal("clip.mp4", "-m", network, "-s", "2", "-o", "out.mp4", "--compare", "--quality", "100")
    assert said.code == 0, said.err
    both, result = rgb(Path("out_compare.mp4")), rgb(Path("out.mp4"))
    assert both[0].shape[1] == 2 * 128 + 8
    assert seconds(Path("out_compare.mp4")) == seconds(Path("clip.mp4"))
    right = both[3][: result[3].shape[0], 128 + 8 :].astype(int)
    assert np.abs(right - result[3])[8:-8, 8:-8].mean() < 4
    assert np.abs(right - result[0])[8:-8, 8:-8].mean() > 8, "it is the result of the same frame"

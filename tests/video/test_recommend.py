"""Networks for clips are small ones, by what three of their frames show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clips import make
from terminal import Terminal

from upscale_cli.images.read import read_picture
from upscale_cli.picture_kind import kind_of
from upscale_cli.recommendation import measured, suggestions_for

SAMPLE = Path(__file__).parents[2] / "docs" / "pictures" / "sample.png"


def drawn(number: int) -> np.ndarray:
    """Return flat shapes with outlines, one of which moves."""
    y, x = np.mgrid[:144, :176]
    frame = np.full((144, 176, 3), 255, np.uint8)
    for index in range(8):
        distance = np.hypot(y - 20 - 15 * index, x - 20 - 17 * index - number)
        frame[distance < 22] = (0, 0, 0)
        frame[distance < 19] = (200 - 20 * index, 40 + 20 * index, 90)
    return frame


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_animation_and_photographs_are_told_apart(tmp_path: Path, suffix: str) -> None:
    photograph = read_picture(SAMPLE).color[:144, :176]
    clips = {"animation": [drawn(number) for number in range(6)], "clean photograph": [photograph] * 6}
    for kind, frames in clips.items():
        path = make(tmp_path / f"{kind}{suffix}", frames=frames, pix_fmt="yuv444p")
        assert kind_of(measured(path))[0] == kind
    assert suggestions_for(path, "animation")[0].model == "realesr-animevideov3"


def test_the_command_takes_clips(terminal: Terminal) -> None:
    make(Path("clip.mp4"), frames=[drawn(number) for number in range(6)], pix_fmt="yuv444p")
    records = list(map(json.loads, terminal("models", "recommend", "clip.mp4", "--json").out.splitlines()))
    assert [record["kind"] for record in records] == ["animation"] * 3
    assert records[0]["model"] == "realesr-animevideov3"

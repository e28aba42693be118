"""Clips with bytes changed and ends cut off are enlarged, or answered in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make
from running import run

from upscale_cli.errors import InputError, UpscaleError
from upscale_cli.upscaling.options import UpscaleOptions

CASES = 90


class Doubling:
    """An upscaler that repeats pixels, without PyTorch."""

    name = "doubling"

    def frames_at_once(self, height: int, width: int) -> int:
        return 1

    def upscale_frames(self, frames: Any, target: tuple[int, int], dtype: Any, memory: Any) -> Any:
        return [pixels.repeat(2, 0).repeat(2, 1).astype(dtype) for pixels in frames]


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """Return ``data`` with a few bytes of all, or of the headers, changed, or without its end."""
    way = rng.integers(0, 4)
    if way == 0:
        return data[: rng.integers(1, len(data))]
    changing = bytearray(data)
    for _ in range(rng.integers(1, 40)):
        changing[rng.integers(0, len(data) if way < 3 else min(len(data), 1500))] = rng.integers(0, 256)
    return bytes(changing)


def test_ninety_hostile_clips_are_enlarged_or_answered_in_a_sentence(tmp_path: Path) -> None:
    sources = [
        make(tmp_path / "a.mp4", count=6, tone=True, subtitles=True, chapters=True),
        make(tmp_path / "b.mkv", count=6, tone=True, subtitles=True),
        make(tmp_path / "c.ts", count=6),
        make(tmp_path / "d.avi", count=6, codec="mpeg4", options={}),
        make(tmp_path / "e.mkv", count=4, codec="ffv1", options={}),
        make(tmp_path / "f.webm", count=4, codec="libvpx-vp9", options={"cpu-used": "8"}),
    ]
    originals = [source.read_bytes() for source in sources]
    rng, done, said = np.random.default_rng(0), 0, []
    options = UpscaleOptions(scale=2, max_megapixels=4)
    for case in range(CASES):
        source = sources[case % len(sources)]
        source.write_bytes(changed(originals[case % len(sources)], rng))
        target = tmp_path / f"{case}.mkv"
        try:
            skip = bool(rng.integers(0, 2))
            run(source, target, upscaler=Doubling(), options=options, preset="ultrafast", skip_damaged=skip)
            done += 1
        except UpscaleError as error:
            said.append(str(error))
    assert done > CASES / 4
    assert len(said) > CASES / 4
    assert all("\n" not in text and len(text) < 300 for text in said)


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {0}\n"])
@pytest.mark.parametrize("address", ["other.ts", "http://127.0.0.1:9/other.ts"])
def test_a_playlist_that_passes_for_a_clip_opens_nothing_else(tmp_path: Path, text: str, address: str) -> None:
    make(tmp_path / "other.ts", count=3)
    source = tmp_path / "clip.mp4"
    source.write_text(text.format(address))
    with pytest.raises(InputError, match=r"clip\.mp4 cannot be opened"):
        run(source, tmp_path / "out.mkv", upscaler=Doubling(), options=UpscaleOptions(scale=2))


def test_names_that_look_like_protocols_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = make(tmp_path / "clip.mp4", count=3).rename("concat:a|b %03d.mp4")
    assert run(source, Path("data:out.mp4"), upscaler=Doubling(), options=UpscaleOptions(scale=2)).frames == 3

"""What passes for a clip opens nothing else, and names that look like addresses are names."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import make
from running import Doubling, run

from upscale_cli.errors import InputError
from upscale_cli.upscaling.options import UpscaleOptions


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

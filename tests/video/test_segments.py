"""Segments lie on a grid of timestamps: each can be made alone, and has the frames that a whole run gives it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Recipe, decoded, encoded, make, moving, seconds
from running import run
from test_errors import damaged
from test_resume import Stopping, pixels, short  # noqa: F401  (a fixture)

from upscale_cli.errors import OutputError, UpscaleError
from upscale_cli.video.clip import ClipReader
from upscale_cli.video.info import Frame, Wanted
from upscale_cli.video.segments import Grid, Segment, SegmentFolder, SegmentWriter, are_consistent, folder_of


def interlaced(path: Path, count: int) -> Path:
    """Write a clip of ``count`` frames of two fields each, with a key frame at every fifth."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"x264-params": "tff=1:keyint=5", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            woven = moving(2 * number)
            woven[1::2] = moving(2 * number + 1)[1::2]
            out.mux(stream.encode(encoded(woven, Recipe(), number * 512)))
        out.mux(stream.encode(None))
    return path


def same(found: Sequence[Frame], expected: Sequence[Frame]) -> bool:
    told = [[(f.pts, f.duration, f.repeated) for f in frames] for frames in (found, expected)]
    return told[0] == told[1] and all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize(
    "kind", ["closed", "open", "interlaced", "damaged"], ids=["key frames", "open groups", "fields", "damage"]
)
def test_reading_from_any_frame_on_gives_what_reading_all_gives(tmp_path: Path, kind: str, suffix: str) -> None:
    source, wanted = tmp_path / f"clip{suffix}", Wanted()
    if kind == "interlaced":
        interlaced(source, 24)
        wanted = Wanted(deinterlace=True)
    else:
        groups = {"x264-params": f"keyint=6:min-keyint=6:scenecut=0:bframes=2:open-gop={int(kind == 'open')}"}
        make(source, count=24, options={"crf": "10", **groups})
    if kind == "damaged":
        damaged(source)
        wanted = Wanted(skip_damaged=True)
    with closing(ClipReader(source, wanted)) as reader:
        whole = list(reader.frames())
        assert len(whole) >= 23
        for number in range(0, len(whole), 1 if kind == "interlaced" else 3):
            assert same(list(reader.frames(whole[number].pts - 1)), whole[number:]), number


@pytest.mark.usefixtures("short")
def test_only_segments_that_are_missing_are_made_whatever_their_order(tmp_path: Path) -> None:
    source, target = make(tmp_path / "clip.mp4", count=60), tmp_path / "out.mkv"
    run(source, tmp_path / "undisturbed.mkv", 2, upscaler=Stopping(-1))
    with pytest.raises(UpscaleError, match="Stopped"):
        run(source, target, 2, upscaler=Stopping(48))
    for number in (0, 3, 4, 7):
        (folder_of(target) / f"{number:05}.json").unlink()
    outcome = run(source, target, 2, upscaler=Stopping(-1))
    assert (outcome.frames, outcome.computed) == (60, 4 * 5 + 15)
    assert pixels(target) == pixels(tmp_path / "undisturbed.mkv")
    assert seconds(target) == seconds(tmp_path / "undisturbed.mkv")


@pytest.mark.usefixtures("short")
def test_a_frame_that_is_shown_for_long_leaves_segments_without_any(tmp_path: Path) -> None:
    times = [512 * number for number in (0, 1, 2, 30, 31, 32, 33, 60)]
    source = make(tmp_path / "clip.mkv", frames=[moving(n) for n in range(8)], times=times)
    run(source, tmp_path / "out.mkv", 2, upscaler=Stopping(-1))
    assert seconds(tmp_path / "out.mkv") == seconds(source)
    run(source, tmp_path / "part.mkv", 2, upscaler=Stopping(-1), start=0.2)  # begins where there is none
    assert len(decoded(tmp_path / "part.mkv")) == 5


def segment(number: int, first: int, following: int | None, frames: int = 5) -> Segment:
    return Segment(number, frames, first, first, 1, following)


def test_segments_are_joined_by_what_follows_them() -> None:
    grid = Grid(100, 10)
    made = [segment(0, 100, 111), segment(1, 111, 145), segment(4, 145, None), segment(5, 150, None, frames=0)]
    assert grid.joined({}) == ([], 0)
    assert grid.joined({s.number: s for s in made}) == (made[:3], None)
    assert grid.joined({0: made[0], 4: made[2]}) == (made[:1], 1)
    assert grid.joined({0: segment(0, 110, 141, frames=0)}) == ([], 4)
    assert are_consistent(made[:3])
    assert not are_consistent([made[0], segment(1, 113, 145)])


@pytest.mark.usefixtures("short")
def test_segments_that_do_not_follow_each_other_are_made_anew(tmp_path: Path) -> None:
    source, target = make(tmp_path / "clip.mp4", count=20), tmp_path / "out.mkv"
    with pytest.raises(UpscaleError, match="Stopped"):
        run(source, target, 2, upscaler=Stopping(13))
    record = folder_of(target) / "00001.json"
    record.write_bytes(record.read_bytes().replace(b'"following":5120', b'"following":5632'))
    assert run(source, target, 2, upscaler=Stopping(-1)).computed == 20


def test_the_segment_of_a_run_with_other_settings_does_not_count(tmp_path: Path) -> None:
    with SegmentFolder(tmp_path / "out.mkv", {"a": "1"}) as folder:
        late = SegmentWriter(folder.path, 0, folder.settings)
        late.finish(segment(0, 0, None))
        assert folder.finished() == {0: segment(0, 0, None)}
        lost = SegmentWriter(folder.path, 1, folder.settings)
    with SegmentFolder(tmp_path / "out.mkv", {"a": "2"}) as folder:
        with pytest.raises(OutputError, match="Another run has begun"):
            lost.finish(segment(1, 0, None))
        lost.abandon()
        assert folder.finished() == {}
        assert sorted(path.name for path in folder.path.iterdir()) == ["lock", "settings.json"]

"""What is wrong with a clip, or asked too much, is said in one sentence before work is lost."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Recipe, encoded, make, moving
from running import Log, run
from test_resume import pixels

from upscale_cli.errors import InputError, OutputError, UpscaleError, UsageError
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video import segments
from upscale_cli.video.segments import folder_of


def damaged(path: Path) -> Path:
    """Overwrite one packet in the middle of the clip ``path``, beyond its first bytes."""
    with av.open(str(path)) as source:
        middle: Any = [packet for packet in source.demux(video=0) if packet.size][11]
        place, size = middle.pos, middle.size
    data = bytearray(path.read_bytes())
    data[place + 6 : place + size] = b"\xa5" * (size - 6)
    path.write_bytes(data)
    return path


def test_a_damaged_packet_is_named_with_its_time(tmp_path: Path) -> None:
    source = damaged(make(tmp_path / "clip.mp4", count=24, options={"crf": "1", "bf": "0", "g": "6"}))
    with pytest.raises(InputError, match=r"clip\.mp4 is damaged at 0\.44 s.*--skip-damaged"):
        run(source, tmp_path / "out.mp4", 2)
    assert not (tmp_path / "out.mp4").exists()


def test_skipping_damage_repeats_the_last_good_frame_and_counts(tmp_path: Path) -> None:
    source = damaged(make(tmp_path / "clip.mp4", count=24, options={"crf": "1", "bf": "0", "g": "6"}))
    outcome = run(source, tmp_path / "out.mkv", 2, codec="ffv1", skip_damaged=True, options=UpscaleOptions(scale=2))
    assert (outcome.frames, outcome.repeated) == (24, 1)
    frames = pixels(tmp_path / "out.mkv")
    assert frames[11] == frames[10] != frames[9]


def test_a_truncated_clip_is_said_to_be_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SECONDS", 0.2)
    source = make(tmp_path / "clip.mov", count=75, options={"crf": "1"})
    data = source.read_bytes()
    with av.open(str(source)) as whole:
        fragments = av.open(str(tmp_path / "front.mp4"), "w", options={"movflags": "faststart"})
        stream = fragments.add_stream_from_template(whole.streams.video[0], opaque=True)
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                fragments.mux(packet)
        fragments.close()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((tmp_path / "front.mp4").read_bytes()[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.mp4 (ends at|is damaged)"):
        run(cut, tmp_path / "out.mp4", 2)
    assert list(folder_of(tmp_path / "out.mp4").glob("*.packets")), "finished segments are kept"


def test_a_clip_without_its_index_cannot_be_opened(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mp4")
    source.write_bytes(source.read_bytes()[:-1500])
    with pytest.raises(InputError, match=r"clip\.mp4 cannot be opened"):
        run(source, tmp_path / "out.mp4", 2)


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    source = tmp_path / "sound.mkv"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("flac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), "s16", "stereo")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(InputError, match="no picture stream"):
        run(source, tmp_path / "out.mkv", 2)


def test_a_stream_that_is_not_there_is_refused_with_the_count(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 picture stream"):
        run(make(tmp_path / "clip.mp4"), tmp_path / "out.mp4", 2, stream=1)


def test_a_clip_that_changes_its_size_is_refused_where_it_does(tmp_path: Path) -> None:
    source = tmp_path / "clip.ts"
    both = io.BytesIO()
    for number, (height, width) in enumerate([(48, 64), (64, 96)]):
        frames = [moving(n, height, width) for n in range(6)]
        times = [6400 * number + 512 * n for n in range(6)]
        part = make(tmp_path / f"{number}.ts", frames=frames, times=times, options={"bf": "0"})
        both.write(part.read_bytes())
    source.write_bytes(both.getvalue())
    with pytest.raises(InputError, match="from 64x48 to 96x64"):
        run(source, tmp_path / "out.mp4", 2)


def interlaced(path: Path) -> Path:
    """Write a clip whose frames are made of two fields each."""
    with av.open(str(path), "w") as out:
        recipe = Recipe()
        stream: Any = out.add_stream("libx264", rate=25, options={"x264-params": "tff=1", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(8):
            woven = moving(2 * number)
            woven[1::2] = moving(2 * number + 1)[1::2]
            out.mux(stream.encode(encoded(woven, recipe, number * 512)))
        out.mux(stream.encode(None))
    return path


def test_interlaced_clips_are_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"interlaced.*--deinterlace"):
        run(interlaced(tmp_path / "clip.mp4"), tmp_path / "out.mp4", 2)


def test_deinterlacing_makes_one_frame_of_two_fields(tmp_path: Path) -> None:
    outcome = run(interlaced(tmp_path / "clip.mp4"), tmp_path / "out.mp4", 2, deinterlace=True)
    assert outcome.frames == 8
    with av.open(str(tmp_path / "out.mp4")) as out:
        frames: Any = list(out.decode(video=0))
    assert not frames[0].interlaced_frame
    rows = frames[4].to_ndarray(format="gray").astype(int)
    assert np.abs(np.diff(rows[::2], axis=0)).mean() < 12  # fields that are woven differ from row to row


@pytest.mark.parametrize(
    ("changes", "target", "said"),
    [
        ({"codec": "wmv"}, "out.mp4", "There is no codec wmv"),
        ({"codec": "ffv1"}, "out.mp4", "do not hold ffv1"),
        ({"codec": "h264"}, "out.webm", "do not hold h264"),
        ({"codec": "h264", "preset": "p7"}, "out.mp4", "h264 has no preset p7"),
        ({"codec": "prores", "preset": "slow"}, "out.mov", "prores has no preset"),
        ({"pix_fmt": "yuv411p"}, "out.mp4", "h264 does not write yuv411p"),
        ({"pix_fmt": "what"}, "out.mp4", "no pixel format what"),
        ({"start": 60.0}, "out.mp4", "no frame in the part"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, changes: dict[str, Any], target: str, said: str
) -> None:
    with pytest.raises((UsageError, InputError), match=said):
        run(make(tmp_path / "clip.mp4"), tmp_path / target, 2, options=UpscaleOptions(scale=2), **changes)
    assert not (tmp_path / target).exists()


def test_quality_for_a_lossless_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ffv1 takes no --quality"):
        run(make(tmp_path / "clip.mp4"), tmp_path / "out.mkv", 2, codec="ffv1")


def test_sizes_beyond_a_codec_are_refused_with_one_that_holds_them(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mp4", frames=[moving(0, 16, 640)] * 2)
    with pytest.raises(UsageError, match=r"10240x256 is beyond what h264 holds: 8192.*--codec hevc or av1"):
        run(source, tmp_path / "out.mp4", options=UpscaleOptions(scale=16))


def test_a_full_disk_is_said_and_finished_segments_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SECONDS", 0.2)
    source, target = make(tmp_path / "clip.mp4", count=30), tmp_path / "out.mp4"
    written = 0
    write = segments.SegmentWriter.finish

    def finish(self: Any, segment: Any) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise self._failure(OSError(errno.ENOSPC, "No space left on device"))
        write(self, segment)

    with monkeypatch.context() as patch:
        patch.setattr(segments.SegmentWriter, "finish", finish)
        with pytest.raises(OutputError, match=r"No space left on device.*the same command"):
            run(source, target, 2)
    assert run(source, target, 2).computed == 20


def test_an_encoder_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from upscale_cli.video import codecs

    monkeypatch.setattr(codecs, "codecs_available", set())
    with pytest.raises(UsageError, match="no encoder for h264"):
        run(make(tmp_path / "clip.mp4"), tmp_path / "out.mp4", 2)


def test_transparency_is_left_out_and_named(tmp_path: Path) -> None:
    log = Log()
    frames = [moving(n) for n in range(3)]
    source = tmp_path / "clip.mkv"
    with av.open(str(source), "w") as out:
        stream: Any = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        for number, frame in enumerate(frames):
            made = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuva420p")
            made.pts = number
            out.mux(stream.encode(made))
        out.mux(stream.encode(None))
    run(source, tmp_path / "out.mp4", 2, log)
    assert "transparency" in log.notices[0].text


def test_every_error_is_one_of_ours(tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"\0" * 1000)
    with pytest.raises(UpscaleError):
        run(source, tmp_path / "out.mp4", 2)


def test_a_truncated_matroska_file_is_said_to_be_truncated(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mkv", count=75, tone=True)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    with pytest.raises(InputError, match=r"clip\.mkv ends at 1\.\d of 3\.0 s: it is truncated"):
        run(source, tmp_path / "out.mkv", 2)
    assert run(source, tmp_path / "out.mkv", 2, skip_damaged=True).frames < 60


def test_a_disk_that_is_full_at_the_end_keeps_all_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = make(tmp_path / "clip.mp4"), tmp_path / "out.mp4"

    def full(*_: Any, **__: Any) -> Any:
        raise av.error.OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("upscale_cli.video.join.heapq.merge", full)
        with pytest.raises(OutputError, match=r"out\.mp4: No space left on device.*all segments are kept"):
            run(source, target, 2)
    assert not target.exists()
    assert run(source, target, 2).computed == 0

"""What of a clip is the same afterwards: time, colour, streams, tags."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.filter import Graph
from av.stream import Disposition
from clips import TICK, bars, decoded, make, moving, packets, seconds
from running import Log, run

from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video.codecs import CODECS
from upscale_cli.video.colour import PLACES, ToRgb, _place, colour_of

EMPTY = b"\0\0"  # what MP4 holds between two subtitles
UNEVEN = [0, 512, 700, 1536, 1600, 3000, 3001, 9000, 9512, 12000]


def rgb(path: Path) -> list[Any]:
    """Return the pixels of all frames as this package reads them."""
    frames = decoded(path)
    colour = colour_of(frames[0], str(path))
    convert = ToRgb(colour, max(part.bits for part in frames[0].format.components) > 8)
    return [convert(frame) for frame in frames]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9"])
def test_every_timestamp_is_kept(tmp_path: Path, codec: str) -> None:
    source = make(tmp_path / "clip.mp4", times=UNEVEN)
    run(source, tmp_path / "out.mp4", codec=codec)
    assert seconds(tmp_path / "out.mp4") == seconds(source) == [pts * TICK for pts in UNEVEN]


@pytest.mark.parametrize(("codec", "target"), [("prores", "out.mov"), ("ffv1", "out.mkv"), ("h264", "out.mkv")])
def test_other_containers_keep_timestamps_to_their_clock(tmp_path: Path, codec: str, target: str) -> None:
    source = make(tmp_path / "clip.mp4", times=UNEVEN)
    run(source, tmp_path / target, codec=codec, options=UpscaleOptions(scale=1))
    clock = Fraction(1, 1000) if target.endswith("mkv") else 0
    assert all(abs(a - b) <= clock for a, b in zip(seconds(tmp_path / target), seconds(source), strict=True))


def test_duration_is_kept_to_a_frame(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mp4", times=UNEVEN)
    run(source, tmp_path / "out.mp4")
    lengths = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as clip:
            stream = clip.streams.video[0]
            assert stream.duration is not None
            assert stream.time_base is not None
            lengths.append(stream.duration * stream.time_base)
    assert abs(lengths[0] - lengths[1]) <= Fraction(1, 25)


def test_a_late_start_and_an_edit_list_stay(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mp4", times=[6400 + 512 * number for number in range(10)], tone=True)
    run(source, tmp_path / "out.mp4")
    assert seconds(tmp_path / "out.mp4") == seconds(source)
    assert seconds(source)[0] == Fraction(1, 2)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_is_copied_byte_for_byte(tmp_path: Path, suffix: str) -> None:
    source = make(tmp_path / f"clip{suffix}", tone=True)
    run(source, tmp_path / f"out{suffix}")
    assert packets(tmp_path / f"out{suffix}", "audio") == packets(source, "audio")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_subtitles_chapters_metadata_and_dispositions_are_copied(tmp_path: Path, suffix: str) -> None:
    source = make(
        tmp_path / f"clip{suffix}", tone=True, subtitles=True, chapters=True, metadata={"title": "Bars", "artist": "We"}
    )
    run(source, tmp_path / f"out{suffix}")
    known = []
    for path in (source, tmp_path / f"out{suffix}"):
        with av.open(str(path)) as clip:
            words = clip.streams.subtitles[0]
            tags = {name.lower(): clip.metadata[name] for name in clip.metadata}
            kinds = [(stream.type, stream.name, stream.disposition) for stream in clip.streams]
            chapters = [(c["start"], c["end"], c["metadata"]) for c in clip.chapters()]
            known.append((words.language, tags["title"], tags["artist"], kinds, chapters))
    assert known[0] == known[1]
    assert known[1][4]
    before, after = packets(source, "subtitle"), packets(tmp_path / f"out{suffix}", "subtitle")
    assert [item for item in after if item[1] != EMPTY] == [item for item in before if item[1] != EMPTY]


def test_what_a_container_cannot_hold_is_named(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mp4", tone=True)
    log = Log()
    run(source, tmp_path / "out.webm", log=log)
    assert [notice.text for notice in log.notices] == [
        ".webm files do not hold the audio stream 1 (aac): it is left out."
    ]
    assert len(decoded(tmp_path / "out.webm")) == 10


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize(("matrix", "full"), [(1, 1), (1, 2), (6, 1), (6, 2), (9, 1)])
def test_colour_bars_come_back_within_two_levels(tmp_path: Path, matrix: int, full: int, pix_fmt: str) -> None:
    source = make(tmp_path / "clip.mkv", frames=[bars()] * 3, matrix=matrix, range=full, pix_fmt=pix_fmt)
    run(source, tmp_path / "out.mkv")
    frame = decoded(tmp_path / "out.mkv")[0]
    name = frame.format.name.replace("yuvj", "yuv")
    assert (frame.colorspace, frame.color_range, name) == (matrix, full, pix_fmt)
    columns = np.arange(112) % 16
    inside = (columns >= 5) & (columns < 11)  # 4:2:0 cannot keep the edges between bars
    before, after = (rgb(path)[1][8:-8, inside].astype(int) for path in (source, tmp_path / "out.mkv"))
    assert np.abs(after - before).max() <= 2
    assert np.abs(after - bars()[8:-8, inside]).max() <= 4


def test_a_clip_without_a_matrix_is_read_as_players_do_and_says_so_afterwards(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mkv", frames=[bars()] * 3, matrix=6, codec="ffv1", options={})
    with av.open(str(source)) as clip:
        assert next(clip.decode(video=0)).colorspace in (2, 6)
    run(source, tmp_path / "out.mp4", scale=2)
    assert decoded(tmp_path / "out.mp4")[0].colorspace == 6


def test_ten_bits_stay_ten_bits(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(8000, 50000, 64).astype(np.uint16)[None, :, None], (48, 64, 3)).copy()
    source = make(tmp_path / "clip.mkv", frames=[ramp] * 3, pix_fmt="yuv420p10le", options={"crf": "1"})
    outcome = run(source, tmp_path / "out.mkv", options=UpscaleOptions(scale=1, quality=100))
    assert outcome.codec == "hevc"
    assert decoded(tmp_path / "out.mkv")[0].format.name == "yuv420p10le"
    after = rgb(tmp_path / "out.mkv")[1][..., 1]
    assert len(np.unique(after >> 6)) > 64 * 0.8  # more levels than 8 bits have there
    assert np.abs(after.astype(int) - rgb(source)[1][..., 1]).max() < 4 * 65535 / 1023


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_the_tags_of_hdr_pass_through(tmp_path: Path, transfer: int, name: str) -> None:
    data = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    source = make(
        tmp_path / "clip.mkv",
        codec="libx265",
        pix_fmt="yuv420p10le",
        matrix=9,
        primaries=9,
        transfer=transfer,
        options={"x265-params": f"log-level=none:{data}"},
    )
    run(source, tmp_path / "out.mp4")
    known = []
    for path in (source, tmp_path / "out.mp4"):
        frame = decoded(path)[0]
        light = {str(data.type): bytes(data) for data in frame.side_data if "SEI" not in str(data.type)}
        known.append((frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range, light))
    assert known[0] == known[1]
    assert len(known[1][4]) == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rotation_and_pixel_aspect_are_kept(tmp_path: Path, suffix: str) -> None:
    source = make(tmp_path / f"clip{suffix}", rotation=90, sample_aspect=Fraction(4, 3))
    run(source, tmp_path / f"out{suffix}", scale=2)
    frame = decoded(tmp_path / f"out{suffix}")[0]
    with av.open(str(tmp_path / f"out{suffix}")) as clip:
        assert clip.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    assert (frame.rotation, frame.width, frame.height) == (90, 128, 96)


@pytest.mark.parametrize("place", PLACES.values())
def test_the_place_of_chroma_samples_is_found(place: str) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    graph = Graph()
    source = graph.add_buffer(width=64, height=48, format=frame.format, time_base=TICK)
    graph.link_nodes(source, graph.add("setparams", chroma_location=place), graph.add("buffersink")).configure()
    frame.pts, frame.time_base = 0, TICK
    graph.vpush(frame)
    assert _place(graph.vpull()) == place


@pytest.mark.parametrize("place", ["left", "center", "topleft"])
def test_chroma_does_not_move(tmp_path: Path, place: str) -> None:
    """A chroma edge, enlarged by repeating pixels and averaged back, lies where it lay."""
    frame = np.full((48, 64, 3), 128, np.uint8)
    frame[:, :, 2] = np.clip((np.arange(64) - 28) * 12 + 128, 60, 200)[None]
    frame[:, :, 0] = np.clip((np.arange(48) - 20) * 12 + 128, 60, 200)[:, None]
    options = {"crf": "1", "chroma_sample_location": place}
    source = make(tmp_path / "clip.mp4", frames=[frame] * 3, options=options)
    run(source, tmp_path / "out.mp4", scale=2)
    before, after = rgb(source)[1].astype(float), rgb(tmp_path / "out.mp4")[1].astype(float)
    back = after.reshape(48, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(back - before)[4:-4, 4:-4].mean() < 1.5
    assert _place(decoded(tmp_path / "out.mp4")[0]) == place


def test_odd_sizes_become_even_where_the_format_asks_for_it(tmp_path: Path) -> None:
    source = make(tmp_path / "clip.mkv", frames=[moving(n, 45, 63) for n in range(3)], pix_fmt="yuv444p")
    log = Log()
    run(source, tmp_path / "out.mp4", pix_fmt="yuv420p", log=log)
    assert decoded(tmp_path / "out.mp4")[0].width == 64
    assert "63x45" in log.notices[0].text


def test_attachments_and_further_picture_streams_are_copied(tmp_path: Path) -> None:
    font = bytes(range(256)) * 8
    source = tmp_path / "clip.mkv"
    with av.open(str(make(tmp_path / "plain.mkv"))) as plain, av.open(str(source), "w") as out:
        streams = [out.add_stream_from_template(plain.streams.video[0], opaque=True) for _ in range(2)]
        out.add_attachment("font.ttf", "application/x-truetype-font", font)
        for packet in plain.demux(video=0):
            for stream in streams if packet.size else ():
                packet.stream = stream
                out.mux(packet)
    run(source, tmp_path / "out.mkv", 2, stream=1)
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert [stream.width for stream in out.streams.video] == [128, 64]
        assert [(item.name, item.data) for item in out.streams.attachments] == [("font.ttf", font)]
    log = Log()
    run(source, tmp_path / "out.mp4", 2, log)
    assert any("attachment" in notice.text for notice in log.notices)


def with_cover(path: Path) -> Path:
    """Write a clip with a cover picture."""
    cover = av.VideoFrame.from_ndarray(moving(0, 32, 32), "rgb24")
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 32, 32, "rgb24", TICK
    with av.open(str(make(path.with_name("plain.mp4"), count=4))) as plain, av.open(str(path), "w") as out:
        picture = out.add_stream_from_template(plain.streams.video[0], opaque=True)
        stream: Any = out.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.disposition = 32, 32, "rgb24", Disposition.attached_pic
        packet: Any = av.Packet(bytes(encoder.encode(cover)[0]))
        packet.stream, packet.pts, packet.dts, packet.time_base, packet.is_keyframe = stream, 0, 0, TICK, True
        out.mux(packet)
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = picture
                out.mux(packet)
    return path


@pytest.mark.parametrize("start", [0.0, 0.04])
def test_a_cover_picture_is_kept_and_is_not_the_clip(tmp_path: Path, start: float) -> None:
    source = with_cover(tmp_path / "clip.mp4")
    run(source, tmp_path / "out.mp4", 2, start=start)
    covers = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as clip:
            streams = [stream for stream in clip.streams.video if stream.disposition & Disposition.attached_pic]
            covers.append([bytes(packet) for packet in clip.demux(streams[0]) if packet.size])
    assert covers[0] == covers[1]
    assert len(covers[0]) == 1
    assert decoded(tmp_path / "out.mp4")[0].width == 128


PAIRS = [(name, suffix) for name, codec in CODECS.items() if "nvenc" not in name for suffix in codec.containers]


@pytest.mark.parametrize(("codec", "suffix"), PAIRS)
def test_every_codec_can_be_written_to_each_of_its_containers(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make(tmp_path / "clip.mp4", count=3, sample_aspect=Fraction(4, 3))
    log = Log()
    run(source, tmp_path / f"out{suffix}", 2, log, codec=codec, options=UpscaleOptions(scale=2))
    frame = decoded(tmp_path / f"out{suffix}")[1]
    known = frame.width, frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
    assert known == (128, 1, 1, 1, 1)
    with av.open(str(tmp_path / f"out{suffix}")) as clip:
        next(clip.decode(video=0))  # some codecs hold it in their frames
        kept = clip.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    assert kept != any("pixel aspect 4/3" in notice.text for notice in log.notices)
    assert kept or suffix in (".mkv", ".webm")

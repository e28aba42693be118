"""The finished clip: packets of all segments, and everything of the source but the picture stream, copied."""

from __future__ import annotations

import heapq
import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av import Packet
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream

from upscale_cli import atomic
from upscale_cli.errors import OutputError
from upscale_cli.notices import Notify, note
from upscale_cli.video.clip import opened
from upscale_cli.video.codecs import CODECS
from upscale_cli.video.encoder import Encoding
from upscale_cli.video.info import ClipInfo
from upscale_cli.video.segments import Segment, SegmentFolder

if TYPE_CHECKING:
    Timed = tuple[Fraction, int, Packet[Any]]  # seconds at which it is decoded, stream, packet

# What a container or an encoder says of itself, and no longer holds.
OWN_TAGS = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration", "vendor_id")
OWN_PREFIXES = ("bps", "number_of_", "_statistics_")
REORDERING = 1  # second by which decoding runs ahead, where the source does not say how far
CHAPTERS = "bin_data"  # the name of the stream that MP4 keeps chapters in


@dataclass(frozen=True)
class Timing:
    """When packets are decoded and how long frames are shown, from all timestamps in the order of showing."""

    shown: Sequence[int]
    delay: int
    last_duration: int

    @classmethod
    def of(cls, folder: SegmentFolder, segments: Sequence[Segment]) -> Timing:
        """Return the timing of all packets: ``delay`` is by how many frames decoding runs ahead of showing."""
        decoded = folder.timestamps(segments)
        shown = sorted(decoded)
        delay = max((number - bisect_right(shown, pts) + 1 for number, pts in enumerate(decoded)), default=0)
        return cls(shown, max(0, delay), segments[-1].last_duration)

    def dts(self, number: int) -> int:
        """Return the decoding timestamp of packet ``number``."""
        if number >= self.delay:
            return self.shown[number - self.delay]
        step = self.shown[1] - self.shown[0] if len(self.shown) > 1 else 1
        return self.shown[0] - (self.delay - number) * step

    def duration(self, pts: int) -> int:
        """Return how long the frame at ``pts`` is shown."""
        following = bisect_right(self.shown, pts)
        return self.shown[following] - pts if following < len(self.shown) else self.last_duration


def join(
    folder: SegmentFolder,
    segments: Sequence[Segment],
    info: ClipInfo,
    encoding: Encoding,
    notify: Notify,
    replaces: bool = True,
) -> None:
    """Write the clip of ``segments`` to the folder's target, whole or not at all. Raises OutputError.

    ``replaces``: see ``atomic.replacing``.
    """
    target = folder.target
    with atomic.replacing(target, replaces=replaces) as temporary:
        try:
            with ExitStack() as stack:
                source = None
                if info.index is not None:
                    source = stack.enter_context(opened(info.path))
                _write(temporary, source, folder, segments, info, encoding, notify)
        except FFmpegError as error:
            full = isinstance(error, OSError)
            hint = "Make room and run the same command: all segments are kept." if full else "Choose another -o."
            raise OutputError(f"Cannot write {target}: {error.strerror or error}.", hint) from error
    folder.remove()


def _write(
    temporary: Path,
    source: InputContainer | None,
    folder: SegmentFolder,
    segments: Sequence[Segment],
    info: ClipInfo,
    encoding: Encoding,
    notify: Notify,
) -> None:
    form = "mp4" if temporary.suffix.lower() == ".m4v" else None  # by that name FFmpeg writes fewer codecs
    with av.open(f"file:{temporary}", "w", form) as out:
        picture = _picture_stream(out, info, encoding)
        timing = Timing.of(folder, segments)
        others: Iterator[Timed] = iter(())
        if source is not None and info.index is not None:
            picture.metadata.update(_kept(source.streams[info.index].metadata))
            picture.disposition = source.streams[info.index].disposition
            copied = _copied_streams(source, out, folder.target, info, notify)
            out.metadata.update(_kept(source.metadata))
            _copy_chapters(source, out, info)
            others = _copied_packets(source, copied, info, (timing.shown[-1] + timing.last_duration) * info.time_base)
        frames = _picture_packets(folder, segments, timing, info, picture)
        refused = 0
        for _, index, packet in heapq.merge(frames, others, key=lambda item: item[:2]):
            try:
                out.mux(packet)
            except FFmpegError as error:
                if index == picture.index or isinstance(error, OSError):
                    raise
                refused += 1
    if refused:
        notify(note(f"{refused} damaged packets of sound or subtitles were left out of {folder.target}."))


def _picture_stream(out: OutputContainer, info: ClipInfo, encoding: Encoding) -> Stream:
    codec = CODECS[encoding.codec]
    stream = out.add_stream(codec.encoder, rate=encoding.rate, time_base=encoding.time_base)
    assert isinstance(stream, av.VideoStream)
    encoding.configure(stream.codec_context)
    if codec.tag and not out.format.name.startswith("matroska"):
        stream.codec_context.codec_tag = codec.tag
    if info.rotation:
        stream.set_display_matrix(info.rotation)
    return stream


def _copied_streams(
    source: InputContainer, out: OutputContainer, target: Path, info: ClipInfo, notify: Notify
) -> dict[int, Stream]:
    """Add a stream to ``out`` for each of ``source`` but the picture stream; name those that find no place."""
    copied: dict[int, Stream] = {}
    for stream in source.streams:
        name = getattr(stream, "name", None)  # streams of unknown codecs have none
        if stream.index == info.index or (name == CHAPTERS and source.chapters()):
            continue
        try:
            _require_place(stream, out)
            new = out.add_stream_from_template(stream, opaque=True)
        except (ValueError, FFmpegError):
            named = f"{stream.type} stream {stream.index}" + (f" ({name})" if name else "")
            notify(note(f"{target.suffix} files do not hold the {named}: it is left out."))
            continue
        new.metadata.update(_kept(stream.metadata))
        new.disposition = stream.disposition
        copied[stream.index] = new
    return copied


def _require_place(stream: Stream, out: OutputContainer) -> None:
    """Raise ValueError or FFmpegError where the container has no place for ``stream``, or its header is damaged."""
    iso = not out.format.name.startswith(("matroska", "webm"))
    if stream.type in ("data", "unknown") or (stream.type == "attachment" and (iso or out.format.name == "webm")):
        raise ValueError
    if stream.disposition & Disposition.attached_pic and out.format.name != "mp4":
        raise ValueError
    if stream.type != "attachment":
        with av.open(io.BytesIO(), "w", out.format.name) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in metadata.items()
        if name.lower() not in OWN_TAGS and not name.lower().startswith(OWN_PREFIXES)
    }


def _copy_chapters(source: InputContainer, out: OutputContainer, info: ClipInfo) -> None:
    chapters = []
    for chapter in source.chapters():
        base = chapter["time_base"] or Fraction(1, av.time_base)
        start, end = (max(0, chapter[name] - round(info.shift / base)) for name in ("start", "end"))
        if end > start:
            chapters.append({**chapter, "start": start, "end": end})
    if chapters:
        out.set_chapters(chapters)  # type: ignore[arg-type]


def _picture_packets(
    folder: SegmentFolder, segments: Sequence[Segment], timing: Timing, info: ClipInfo, stream: Stream
) -> Iterator[Timed]:
    shift = round(info.shift / info.time_base)
    for number, stored in enumerate(folder.packets(segments)):
        packet: Packet[Any] = Packet(stored.data)
        packet.stream = stream
        packet.time_base = info.time_base
        packet.pts, packet.dts = stored.pts - shift, timing.dts(number) - shift
        packet.duration = timing.duration(stored.pts)
        packet.is_keyframe = stored.is_keyframe
        yield packet.dts * info.time_base, stream.index, packet


def _copied_packets(
    source: InputContainer, streams: dict[int, Stream], info: ClipInfo, end: Fraction
) -> Iterator[Timed]:
    """Yield the packets of ``streams`` between the first and the last frame's time, or of the whole clip.

    Where the source has no time of decoding, as Matroska has none, or one that does not grow, it gets one that does.
    """
    if not streams:
        return
    least: dict[int, int] = {}  # what the next time of decoding has to be, by stream
    for packet in source.demux(*[source.streams[index] for index in streams]):
        if packet.size == 0:
            continue
        base, stream = packet.time_base, streams[packet.stream_index]
        cover = bool(stream.disposition & Disposition.attached_pic)  # it has no time
        shown = round(info.shift / base) if cover else packet.dts if packet.pts is None else packet.pts
        if shown is None or (info.is_part and not info.shift <= shown * base < end):
            continue
        early = round(REORDERING / base) if stream.type == "video" else 0
        decoded = packet.dts if packet.dts is not None else least.get(stream.index, shown - early)
        decoded = max(decoded, least.get(stream.index, decoded))
        equals = stream.container.format.name.startswith(("matroska", "webm"))  # which allow equal times
        least[stream.index] = decoded if equals and stream.type != "video" else decoded + 1
        shift = round(info.shift / base)
        packet.dts, packet.pts = decoded - shift, max(shown, decoded) - shift
        packet.stream = stream
        yield decoded * base - info.shift, stream.index, packet

"""A clip as it is read: what is known of its picture stream, and its frames as pixels with their timestamps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av import VideoFrame
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.stream import Disposition

from upscale_cli.errors import InputError
from upscale_cli.video.colour import ToRgb, colour_of
from upscale_cli.video.info import ClipInfo, Frame, Wanted, side_data

# By FFmpeg's names. Playlists (HLS, DASH, concat) are not among them: they make FFmpeg open other files and servers.
DEMUXERS = (
    "mov,matroska,avi,mpeg,mpegvideo,mpegts,vob,asf,flv,ogg,mxf,yuv4mpegpipe,nut,dv,rm,h264,hevc,m4v,ivf,obu,av1,gif"
)
SEEKABLE = ("mov,", "matroska,")  # the beginnings of the names of containers whose index is exact
CLOCKED = ("mpegts", "mpeg")  # containers whose clock begins anywhere
MOST_SEEKS = 4  # key frames before a frame that are tried, until one can be decoded
SHORT_BY = 1.0  # seconds that may lack at the end of a clip that is whole
RESTORE = "Restore the file, or add --skip-damaged to repeat the last good frame."


def opened(path: Path) -> InputContainer:
    """Return the open container ``path``, which cannot lead to other files or servers. Raises FFmpegError."""
    limits = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    return av.open(f"file:{path}", container_options=limits, metadata_errors="replace")


class ClipReader:
    """Reads the picture stream of the clip ``path``. Raises InputError."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._path, self._wanted = path, wanted
        self._open()
        try:
            first = next(self._decoded(), None)
            if first is None:
                raise InputError(f"{path} has no frame that can be decoded.", "Is the file damaged?")
            self._refuse_interlaced(first)
            self.info = self._described(first)
        except BaseException:
            self._container.close()
            raise
        self._to_rgb = ToRgb(self.info.colour, self.info.depth > 8)

    def _open(self) -> None:
        try:
            self._container = opened(self._path)
        except (FFmpegError, UnicodeError) as error:
            raise InputError(f"{self._path} cannot be opened: {_reason(error)}.", "Is the file whole?") from error
        streams = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
        if len(streams) <= self._wanted.stream:
            self._container.close()
            count = (
                f"{len(streams)} picture stream{'s' if len(streams) > 1 else ''}" if streams else "no picture stream"
            )
            raise InputError(f"{self._path} has {count}.", "Choose one with --stream." if streams else "")
        self._stream = streams[self._wanted.stream]
        if self._stream.codec_context is None:
            self._container.close()
            raise InputError(f"{self._path} has a codec for which there is no decoder.")
        self._stream.codec_context.options = {"err_detect": "+explode"}
        self._stream.thread_type = "SLICE"  # errors belong to the packet that is decoded
        self._graph: Graph | None = None
        self._deinterlaced_base = self._time_base

    @property
    def _time_base(self) -> Fraction:
        assert self._stream.time_base is not None
        return self._stream.time_base

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, after: int | None = None) -> Iterator[Frame]:
        """Yield the frames wanted, of those with timestamps greater than ``after``. Raises InputError."""
        info = self.info
        self._reopen()
        first = max(info.start, after + 1 if after is not None else info.start)
        end = None if self._wanted.duration is None else info.start + round(self._wanted.duration / info.time_base)
        usual = max(1, round(1 / info.rate / info.time_base))
        good: VideoFrame | None = None
        shown: int | None = None
        for frame, pts in self._timed(self._from(first)):
            if end is not None and pts >= end:
                return
            if frame is None and (good is None or pts < first):
                continue
            if frame is not None:
                self._require_size(frame, pts)
                good = frame
            assert good is not None
            duration = frame.duration or usual if frame is not None else usual
            shown = pts + duration
            if pts >= first:
                yield Frame(self._to_rgb(good), pts, duration, repeated=frame is None)
        self._require_whole(shown)

    def _from(self, first: int) -> Iterator[VideoFrame | int]:
        """Yield what ``_decoded`` does, where the container's index is exact from the key frame before ``first`` on."""
        if self.info.exact and (first > self.info.start or self._wanted.start):
            # The deinterlacing filter looks at the frame before, and that may stand for one that is damaged.
            latest = first - (self._wanted.deinterlace or self._wanted.skip_damaged)
            place: int | None = latest
            for _ in range(MOST_SEEKS):
                shown, place = self._seek(place) if place is not None else (None, None)
                if shown is None or shown > latest:
                    continue
                begun = self._decoded()
                item = next(begun, None)
                if isinstance(item, VideoFrame) and item.pts is not None and item.pts <= latest:
                    yield item
                    yield from begun
                    return
                self._reopen()
            self._reopen()
        yield from self._decoded()

    def _seek(self, place: int) -> tuple[int | None, int | None]:
        """Go to the key frame that the container has at ``place``; returns when it is shown, and a place before it."""
        try:
            self._container.seek(place, stream=self._stream)
            packet = next(self._container.demux(self._stream), None)
            self._container.seek(place, stream=self._stream)
        except FFmpegError:
            return None, None
        if packet is None or packet.pts is None:
            return None, None
        return packet.pts, (packet.pts if packet.dts is None else packet.dts) - 1

    def _reopen(self) -> None:
        self._container.close()
        self._open()

    def _decoded(self) -> Iterator[Any]:
        """Yield frames in the order they are shown, and in place of damaged ones the timestamp they had."""
        lost: list[int] = []
        begun = False
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except FFmpegError as error:
                    if begun and not self._wanted.skip_damaged:
                        at = float((packet.pts or 0) * self._time_base)
                        raise InputError(
                            f"{self._path} is damaged at {at:.2f} s: {_reason(error)}.", RESTORE
                        ) from error
                    lost += [packet.pts] if begun and packet.pts is not None else []
                    continue
                for frame in frames:
                    begun = True
                    while lost and frame.pts is not None and min(lost) < frame.pts:
                        yield lost.pop(lost.index(min(lost)))
                    yield from self._progressive(frame)
            yield from self._progressive(None) if self._graph else ()
        except FFmpegError as error:
            if not begun or not self._wanted.skip_damaged:
                raise InputError(f"{self._path} cannot be read on: {_reason(error)}.", RESTORE) from error
        yield from sorted(lost)

    def _progressive(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Yield ``frame`` as it is, or what the deinterlacing filter makes of it; None: what it still holds."""
        if not self._wanted.deinterlace:
            yield from [frame] if frame is not None else []
            return
        if self._graph is None:
            assert frame is not None
            self._graph = Graph()
            source = self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=self._time_base
            )
            bwdif = self._graph.add("bwdif", mode="send_frame", deint="all")
            self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()
        self._graph.vpush(frame)
        while True:
            try:
                made = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if made.pts is not None and made.time_base is not None:
                made.pts = round(made.pts * made.time_base / self._time_base)
            yield made

    def _timed(self, decoded: Iterator[Any]) -> Iterator[tuple[VideoFrame | None, int]]:
        """Yield frames (None: damaged) with strictly increasing timestamps; streams without any get even ones."""
        last: int | None = None
        step = max(1, round(1 / self.info.rate / self.info.time_base))
        for item in decoded:
            frame = None if isinstance(item, int) else item
            pts = item if isinstance(item, int) else item.pts
            if pts is None:
                pts = self.info.start if last is None else last + step
            elif last is not None and pts <= last:
                if frame is None:
                    continue
                pts = last + 1
            last = pts
            yield frame, pts

    def _refuse_interlaced(self, frame: VideoFrame) -> None:
        if frame.interlaced_frame and not self._wanted.deinterlace:
            raise InputError(f"{self._path} is interlaced.", "Add --deinterlace.")

    def _require_size(self, frame: VideoFrame, pts: int) -> None:
        info = self.info
        if (frame.width, frame.height) != (info.width, info.height):
            at = float(pts * info.time_base)
            sizes = f"from {info.width}x{info.height} to {frame.width}x{frame.height}"
            raise InputError(f"{self._path} changes its size {sizes} at {at:.2f} s.", "Do its parts by --start.")

    def _require_whole(self, end: int | None) -> None:
        """Raise InputError where the clip, whose last frame is shown until ``end``, should be much longer."""
        if end is None or not self.info.seconds or self._wanted.skip_damaged or self._wanted.duration is not None:
            return
        begin = self._stream.start_time or 0
        came = float((end - begin) * self.info.time_base)
        if came < self.info.seconds - SHORT_BY:
            raise InputError(f"{self._path} ends at {came:.1f} of {self.info.seconds:.1f} s: it is truncated.", RESTORE)

    def _described(self, frame: VideoFrame) -> ClipInfo:
        stream, container, status = self._stream, self._container, self._path.stat()
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        begin = frame.pts or 0
        start, shift = begin, Fraction(0)
        if self._wanted.start:
            start = begin + round(self._wanted.start / self._time_base)
            shift = start * self._time_base
        elif container.format.name.startswith(CLOCKED):
            shift = Fraction(container.start_time or 0, av.time_base)
        seconds = self._seconds()
        components = frame.format.components
        return ClipInfo(
            path=self._path,
            version=f"{status.st_size} bytes of {status.st_mtime_ns}",
            index=stream.index,
            exact=container.format.name.startswith(SEEKABLE),
            codec=stream.codec_context.name,
            width=frame.width,
            height=frame.height,
            rate=rate,
            time_base=self._time_base,
            start=start,
            shift=shift,
            is_part=bool(self._wanted.start or self._wanted.duration is not None),
            frames=self._expected(seconds, float(rate)),
            seconds=seconds,
            pix_fmt=frame.format.name,
            depth=max(part.bits for part in components),
            alpha=any(part.is_alpha for part in components),
            colour=colour_of(frame, str(self._path)),
            sample_aspect=stream.sample_aspect_ratio or None,
            **side_data(frame),
        )

    def _seconds(self) -> float:
        """Return how long the stream is by its container, 0 where that does not tell. Matroska says so in a tag."""
        stream = self._stream
        if stream.duration:
            return float(stream.duration * self._time_base)
        tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
        if tag:
            return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        alone = len(self._container.streams) == 1
        return (self._container.duration or 0) / av.time_base if alone else 0.0

    def _expected(self, seconds: float, rate: float) -> int:
        """Return how many frames are wanted, as far as the container tells; 0 where it does not."""
        length = seconds or (self._container.duration or 0) / av.time_base
        wanted = max(0.0, length - self._wanted.start)
        if self._wanted.duration is not None:
            wanted = min(wanted, self._wanted.duration) if length else self._wanted.duration
        elif not self._wanted.start and self._stream.frames:
            return self._stream.frames
        return round(wanted * rate)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)

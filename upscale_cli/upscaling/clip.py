"""One clip: while a frame is computed, the next is decoded and the last encoded, in segments that outlast a crash."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from upscale_cli import __version__
from upscale_cli.errors import InputError, UpscaleError
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.notices import Notify, note
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.engines.engine import Listener, Progress
from upscale_cli.upscaling.job import Job, UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.reuse import FrameMemory
from upscale_cli.upscaling.settings import settings_of
from upscale_cli.video import codecs
from upscale_cli.video.clip import ClipInfo, ClipReader, Frame, Wanted
from upscale_cli.video.encoder import Encoder, Encoding
from upscale_cli.video.join import join
from upscale_cli.video.segments import SECONDS, Segment, SegmentFolder, SegmentWriter, Settings

AHEAD = 3  # frames decoded before they are needed, and as many that wait for the encoder
ENCODER_SHARE = 4  # one thread of so many encodes where the network runs on the CPU


@dataclass(frozen=True)
class ClipOutcome:
    """What became of a clip.

    Sizes are (width, height); ``seconds`` are those of this run, in which ``computed`` of its ``frames`` were made;
    ``repeated`` frames stand for damaged ones; ``reused`` is the share of input pixels that were taken over.
    """

    job: Job
    model: str | None
    codec: str
    before: tuple[int, int]
    after: tuple[int, int]
    frames: int
    computed: int
    repeated: int
    reused: float
    seconds: float


class ClipRun:
    """Enlarges the clip of ``job``. Raises UpscaleError of all kinds; the segments that are finished stay."""

    def __init__(self, job: Job, options: UpscaleOptions, clip: ClipOptions, notify: Notify) -> None:
        self.job, self._options, self._clip, self._notify = job, options, clip, notify
        wanted = Wanted(clip.stream, clip.start, clip.duration, clip.deinterlace, clip.skip_damaged)
        self._reader = ClipReader(job.source, wanted)
        self.info = self._reader.info
        self.size = options.size.pixels(self.info.height, self.info.width)
        self.encoding = _encoding(self.info, job.target, self.size, options, clip, notify)

    def __enter__(self) -> ClipRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    def run(self, upscaler_for: UpscalerFor, listener: Listener) -> ClipOutcome:
        """Make the clip, going on after the segments that an earlier run has finished."""
        begun = time.perf_counter()
        self.job.target.parent.mkdir(parents=True, exist_ok=True)
        with SegmentFolder(self.job.target, self._settings()) as folder:
            if folder.discarded:
                self._notify(note(f"The unfinished work on {self.job.target} had other settings: it begins anew."))
            segments = folder.finished()
            before = sum(segment.frames for segment in segments)
            maker = _Maker(self, folder, segments, upscaler_for, listener)
            maker.make()
            if not segments:
                raise InputError(f"{self.job.source} has no frame in the part that is wanted.", "Check --start.")
            join(folder, segments, self.info, self.encoding, self._notify)
        frames = sum(segment.frames for segment in segments)
        return ClipOutcome(
            self.job,
            maker.model,
            self.encoding.codec,
            (self.info.width, self.info.height),
            (self.encoding.width, self.encoding.height),
            frames,
            frames - before,
            sum(segment.repeated for segment in segments),
            sum(segment.reused for segment in segments) / max(1, sum(segment.pixels for segment in segments)),
            time.perf_counter() - begun,
        )

    @property
    def reader(self) -> ClipReader:
        """The clip."""
        return self._reader

    @property
    def reuse(self) -> bool:
        """Whether what has not changed is taken over."""
        return self._clip.reuse

    def _settings(self) -> Settings:
        """Return all that the frames depend on: work that was begun with the same goes on."""
        status = self.job.source.stat()
        model = self._options.network
        weights = Path(model).stat().st_mtime_ns if model is not None and Path(model).is_file() else ""
        exact = {name: getattr(self._options, name) for name in ("tile", "tile_pad", "precision")}
        part = {name: value for name, value in asdict(self._clip).items() if name != "reuse"}
        known = settings_of(self._options) | exact | part
        return {name: str(value) for name, value in known.items()} | {
            "source": f"{status.st_size} bytes of {status.st_mtime_ns}",
            "weights": str(weights),
            "encoding": str(self.encoding),
            "version": __version__,
        }


class _Maker:
    """The work on the segments of one clip: ``segments`` grows by each that is finished."""

    def __init__(
        self,
        run: ClipRun,
        folder: SegmentFolder,
        segments: list[Segment],
        upscaler_for: UpscalerFor,
        listener: Listener,
    ) -> None:
        self._run, self._folder, self._segments = run, folder, segments
        self._upscaler_for, self._listener = upscaler_for, listener
        self._upscaler: Any = None
        self._memory = FrameMemory() if run.reuse else None
        self._begun = time.perf_counter()
        self._made = 0
        self._ticks = round(SECONDS / run.info.time_base)

    @property
    def model(self) -> str | None:
        """The network's name, None where none was needed."""
        return self._upscaler.name if self._upscaler else None

    def make(self) -> None:
        """Make all segments that are not there yet."""
        self._listener.started(self._run.job)
        after = self._segments[-1].last if self._segments else None
        part: _Part | None = None
        with ExitStack() as stack:
            reader = stack.enter_context(ThreadPoolExecutor(1, "decode"))
            writer = stack.enter_context(ThreadPoolExecutor(1, "encode"))
            writes: deque[Future[None]] = deque()
            try:
                for frame in _ahead(self._run.reader.frames(after), reader):
                    if part is not None and frame.pts >= part.first + self._ticks:
                        writes.append(writer.submit(self._finish, part))
                        part = None
                    if part is None:
                        part = _Part(self._run.encoding, self._folder, self._number(writes), frame.pts)
                    result = self._enlarged(frame, part)
                    writes.append(writer.submit(part.add, frame, result))
                    while len(writes) > AHEAD or (writes and writes[0].done()):
                        writes.popleft().result()
                if part is not None:
                    writes.append(writer.submit(self._finish, part))
                    part = None
                while writes:
                    writes.popleft().result()
            finally:
                for pool in (reader, writer):
                    pool.shutdown(wait=True, cancel_futures=True)
                if part is not None:
                    part.abandon()

    def _number(self, writes: deque[Future[None]]) -> int:
        """Return the number of the next segment, once the last one is finished."""
        while writes:
            writes.popleft().result()
        return len(self._segments)

    def _finish(self, part: _Part) -> None:
        self._segments.append(part.finish())

    def _enlarged(self, frame: Frame, part: _Part) -> Pixels:
        encoding = self._run.encoding
        if self._upscaler is None:
            self._upscaler = self._upscaler_for(Picture(frame.pixels), lambda share, detail: None)
            self._begun = time.perf_counter()
        reused, pixels = self._memory.counts if self._memory else (0, 0)
        dtype = np.uint16 if codecs.depth_of(encoding.pix_fmt) > 8 else np.uint8
        target = self._run.size
        result: Pixels = self._upscaler.upscale_frame(frame.pixels, target, dtype, self._memory)
        if target != (encoding.height, encoding.width):
            more = encoding.height - target[0], encoding.width - target[1]
            result = np.pad(result, ((0, more[0]), (0, more[1]), (0, 0)), "edge")
        counts = self._memory.counts if self._memory else (0, frame.pixels.shape[0] * frame.pixels.shape[1])
        part.reused += counts[0] - reused
        part.pixels += counts[1] - pixels
        self._report(frame)
        return result

    def _report(self, frame: Frame) -> None:
        self._made += 1
        info = self._run.info
        number = sum(segment.frames for segment in self._segments) + self._made
        total = max(info.frames, number)
        rate = self._made / max(1e-9, time.perf_counter() - self._begun)
        detail = f"frame {number}/{info.frames or '?'}, {rate:.1f} frames/s"
        if self._memory and (counts := self._memory.counts)[0]:
            detail += f", {counts[0] / counts[1]:.0%} reused"
        share = number / total if info.frames else 0.0
        megapixels = self._made * info.width * info.height / 1e6
        self._listener.progress(Progress(self._run.job, share, detail, megapixels))


class _Part:
    """A segment that is being encoded, in the thread of the encoder but for the two counts."""

    def __init__(self, encoding: Encoding, folder: SegmentFolder, number: int, first: int) -> None:
        self.first, self.reused, self.pixels = first, 0, 0
        self._encoder = Encoder(encoding)
        self._number, self._frames, self._repeated = number, 0, 0
        self._last: Frame | None = None
        self._file: SegmentWriter = folder.begin(number)

    def add(self, frame: Frame, result: Pixels) -> None:
        """Encode ``result``, the enlarged ``frame``."""
        self._file.write(self._encoder.encode(result, frame.pts))
        self._frames, self._last = self._frames + 1, replace(frame, pixels=np.empty(0))
        self._repeated += frame.repeated

    def finish(self) -> Segment:
        """Write what the encoder still holds, and make the segment count."""
        assert self._last is not None
        counts = self._repeated, self.reused, self.pixels
        segment = Segment(self._number, self._frames, self.first, self._last.pts, self._last.duration, *counts)
        try:
            self._file.write(self._encoder.flush())
            self._file.finish(segment)
        except UpscaleError:
            self.abandon()
            raise
        return segment

    def abandon(self) -> None:
        """Delete what was written."""
        self._file.abandon()


def _ahead(frames: Iterator[Frame], pool: ThreadPoolExecutor) -> Iterator[Frame]:
    """Yield ``frames``, of which the next few are decoded in ``pool`` meanwhile."""
    coming = deque(pool.submit(next, frames, None) for _ in range(AHEAD))
    while (frame := coming.popleft().result()) is not None:
        coming.append(pool.submit(next, frames, None))
        yield frame


def _encoding(
    info: ClipInfo, target: Path, size: tuple[int, int], options: UpscaleOptions, clip: ClipOptions, notify: Notify
) -> Encoding:
    """Return how frames of ``size`` (height, width) are written. Raises UsageError where the codec cannot."""
    container = target.suffix.lower()
    name = codecs.choose(clip.codec, container, codecs.depth_of(clip.pix_fmt) if clip.pix_fmt else info.depth)
    rates = codecs.rate_options(name, options.quality, clip.preset)
    pix_fmt = codecs.pixel_format(name, clip.pix_fmt, info.pix_fmt, info.depth)
    if info.width * info.height > options.max_megapixels * 1e6:
        raise InputError(f"{info.path} has more than {options.max_megapixels:g} megapixels.", "Use --max-megapixels.")
    height, width = size
    across, down = codecs.subsampling(pix_fmt)
    even = -(-height // down) * down, -(-width // across) * across
    if even != (height, width):
        notify(note(f"{pix_fmt} holds even sizes only: the last pixels of {width}x{height} are doubled."))
    codecs.require_size(name, even[1], even[0])
    if info.alpha:
        notify(note(f"The transparency of {info.path} is left out."))
    if (info.mastering or info.light) and not codecs.CODECS[name].hdr10:
        notify(note(f"The HDR10 mastering data of {info.path} is left out: {name} does not take it here."))
    colour = info.colour.as_yuv()
    if (across, down) == (2, 2):
        colour = replace(colour, place=colour.place or "left")
    return Encoding(
        codec=name,
        options=tuple(rates.items()),
        pix_fmt=pix_fmt,
        width=even[1],
        height=even[0],
        rate=info.rate,
        time_base=info.time_base,
        colour=colour,
        sample_aspect=info.sample_aspect,
        threads=max(1, (os.cpu_count() or 1) // ENCODER_SHARE),
        mastering=info.mastering,
        light=info.light,
    )

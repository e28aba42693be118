"""One clip: while a frame is computed, the next is decoded and the last encoded, in segments that outlast a crash."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from upscale_cli import __version__
from upscale_cli.errors import InputError, UpscaleError
from upscale_cli.images.picture import Pixels
from upscale_cli.notices import Notify, note
from upscale_cli.upscaling.clip_encoding import encoding_of
from upscale_cli.upscaling.clip_frames import FrameMaker, padded, threads
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.engines.engine import Listener
from upscale_cli.upscaling.job import Job, UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.settings import settings_of
from upscale_cli.video import codecs
from upscale_cli.video.clip import ClipReader
from upscale_cli.video.encoder import Encoder, Encoding
from upscale_cli.video.info import Frame, FrameReader, Wanted
from upscale_cli.video.isolated import IsolatedReader
from upscale_cli.video.join import join
from upscale_cli.video.segments import SECONDS, Segment, SegmentFolder, Settings

MEASURED = 6  # frames that an estimate is made from
KEY_EVERY = 250  # frames from one key frame to the next, as encoders have it by default


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


@dataclass(frozen=True)
class Estimate:
    """What a clip will take: ``frames`` (0: the container does not tell), ``seconds`` and ``bytes`` per frame.

    ``model`` enlarges each in ``passes``.
    """

    model: str
    passes: int
    frames: int
    seconds: float
    bytes: float


def reader_of(source: Path, clip: ClipOptions, isolated: bool = True) -> FrameReader:
    """Return the reader of the clip ``source``, which decodes in a process of its own. Raises InputError."""
    wanted = Wanted(clip.stream, clip.start, clip.duration, clip.deinterlace, clip.skip_damaged)
    return IsolatedReader(source, wanted) if isolated else ClipReader(source, wanted)


class ClipRun:
    """Enlarges the frames of ``reader`` into the clip of ``job``. Raises UpscaleError; finished segments stay.

    ``size``: (height, width) of the result, None for that of ``options``. ``done``: frames of an earlier run.
    """

    def __init__(
        self,
        job: Job,
        reader: FrameReader,
        options: UpscaleOptions,
        clip: ClipOptions,
        notify: Notify,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.job, self.info = job, reader.info
        self._reader, self._options, self._clip, self._notify = reader, options, clip, notify
        self.size, self.done = size or options.size.pixels(self.info.height, self.info.width), 0
        self.encoding = encoding_of(self.info, job.target, self.size, options, clip, notify)

    def run(self, upscaler_for: UpscalerFor, listener: Listener) -> ClipOutcome:
        """Make the clip, going on after the segments that an earlier run has finished."""
        begun = time.perf_counter()
        self.job.target.parent.mkdir(parents=True, exist_ok=True)
        with SegmentFolder(self.job.target, self._settings()) as folder:
            if folder.discarded:
                self._notify(note(f"The unfinished work on {self.job.target} had other settings: it begins anew."))
            segments = folder.finished()
            self.done = sum(segment.frames for segment in segments)
            maker = self.maker(upscaler_for, listener)
            self._make(maker, folder, segments)
            if not segments:
                raise InputError(f"{self.job.source} has no frame in the part that is wanted.", "Check --start.")
            join(folder, segments, self.info, self.encoding, self._notify, self.job.replaces)
        frames = sum(segment.frames for segment in segments)
        return ClipOutcome(
            self.job,
            maker.model,
            self.encoding.codec,
            (self.info.width, self.info.height),
            (self.encoding.width, self.encoding.height),
            frames,
            frames - self.done,
            sum(segment.repeated for segment in segments),
            sum(segment.reused for segment in segments) / max(1, frames * self.info.width * self.info.height),
            time.perf_counter() - begun,
        )

    def estimate(self, upscaler_for: UpscalerFor, listener: Listener) -> Estimate:
        """Return what the clip will take, measured on its first frames; writes nothing."""
        maker = self.maker(upscaler_for, listener)
        encoder, sizes = Encoder(self.encoding), []
        begun = time.perf_counter()
        for number, frame in enumerate(islice(self._reader.frames(), MEASURED)):
            packets = encoder.encode(self._fitted(maker.enlarged([frame])[0]), frame.pts)
            sizes += [packet.size for packet in packets]
            begun = time.perf_counter() if number == 0 else begun  # the first one prepares the network
        sizes += [packet.size for packet in encoder.flush()]
        if not sizes:
            raise InputError(f"{self.job.source} has no frame in the part that is wanted.", "Check --start.")
        others = sizes[1:] or sizes
        mean = sum(others) / len(others) + sizes[0] / KEY_EVERY
        return Estimate(*maker.network, self.info.frames, (time.perf_counter() - begun) / max(1, len(sizes) - 1), mean)

    def maker(self, upscaler_for: UpscalerFor, listener: Listener) -> FrameMaker:
        """Return what enlarges the frames that are not there yet."""
        dtype = np.uint16 if codecs.depth_of(self.encoding.pix_fmt) > 8 else np.uint8
        where = self.job, self.info, self.size, dtype
        return FrameMaker(*where, upscaler_for, listener, reuse=self._clip.reuse, done=self.done)

    def _make(self, maker: FrameMaker, folder: SegmentFolder, segments: list[Segment]) -> None:
        """Make all segments that are not there yet, and add them to ``segments``."""
        ticks = round(SECONDS / self.info.time_base)
        part: _Part | None = None
        try:
            with threads() as (decoder, encoder):
                frames = self._reader.frames(segments[-1].last if segments else None)
                for frame, result in maker.results(frames, decoder):
                    if part is not None and frame.pts >= part.first + ticks:
                        part.reused = maker.counts[0] - part.reused
                        encoder.submit(lambda ending: segments.append(ending.finish()), part)
                        encoder.wait()
                        part = None
                    part = part or _Part(self.encoding, folder, len(segments), frame.pts, maker.counts[0])
                    encoder.submit(part.add, frame, self._fitted(result))
                encoder.wait()
            if part is not None:
                part.reused = maker.counts[0] - part.reused
                segments.append(part.finish())
        except BaseException:
            if part is not None:
                part.abandon()
            raise

    def _fitted(self, pixels: Pixels) -> Pixels:
        return padded(pixels, self.encoding.height, self.encoding.width)

    def _settings(self) -> Settings:
        """Return all that the frames depend on: work that was begun with the same goes on."""
        model = self._options.network
        weights = Path(model).stat().st_mtime_ns if model is not None and Path(model).is_file() else ""
        exact = {name: getattr(self._options, name) for name in ("tile", "tile_pad", "precision")}
        part = {name: value for name, value in asdict(self._clip).items() if name != "reuse"}
        known = settings_of(self._options) | exact | part | {"result": self.size}
        return {name: str(value) for name, value in known.items()} | {
            "source": self.info.version,
            "weights": str(weights),
            "encoding": str(self.encoding),
            "version": __version__,
        }


class _Part:
    """A segment that is being encoded; ``reused`` are input pixels that were taken over before it, and then in it."""

    def __init__(self, encoding: Encoding, folder: SegmentFolder, number: int, first: int, reused: int) -> None:
        self.first, self.reused = first, reused
        self._encoder = Encoder(encoding)
        self._number, self._frames, self._repeated = number, 0, 0
        self._last = first, 1
        self._file = folder.begin(number)

    def add(self, frame: Frame, result: Pixels) -> None:
        """Encode ``result``, the enlarged ``frame``."""
        self._file.write(self._encoder.encode(result, frame.pts))
        self._frames, self._last = self._frames + 1, (frame.pts, frame.duration)
        self._repeated += frame.repeated

    def finish(self) -> Segment:
        """Write what the encoder still holds, and make the segment count."""
        segment = Segment(self._number, self._frames, self.first, *self._last, self._repeated, self.reused)
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

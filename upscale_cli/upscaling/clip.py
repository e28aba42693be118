"""One clip: while a frame is computed, the next is decoded and the last encoded, in segments that outlast a crash."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from upscale_cli import __version__, atomic
from upscale_cli.errors import InputError, OutputError
from upscale_cli.notices import Notify, note
from upscale_cli.upscaling.clip_encoding import encoding_of
from upscale_cli.upscaling.clip_frames import Coming, FrameMaker, padded, threads
from upscale_cli.upscaling.clip_job import Part
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.clip_segment import SegmentMaker, levels
from upscale_cli.upscaling.engines.engine import Listener
from upscale_cli.upscaling.job import Job, UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.settings import settings_of
from upscale_cli.video.clip import ClipReader
from upscale_cli.video.encoder import Encoder
from upscale_cli.video.info import FrameReader, Wanted
from upscale_cli.video.isolated import IsolatedReader
from upscale_cli.video.join import join
from upscale_cli.video.segments import Grid, Segment, SegmentFolder, Settings, are_consistent

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


def unwritten(target: Path, error: OSError) -> OutputError:
    """Return ``error`` as what a user reads of a clip that could not be written."""
    return atomic.unwritten(target, error, "Make room, or use -o.")


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
        self.grid = Grid.of(self.info)

    def begun(self) -> SegmentFolder:
        """Return the folder of the segments, those of an earlier run among them, to be closed."""
        self.job.target.parent.mkdir(parents=True, exist_ok=True)
        folder = SegmentFolder(self.job.target, self._settings())
        if folder.discarded:
            self._notify(note(f"The unfinished work on {self.job.target} had other settings: it begins anew."))
        return folder

    def run(self, upscaler_for: UpscalerFor, listener: Listener) -> ClipOutcome:
        """Make the clip, with the segments that an earlier run has finished."""
        begun = time.perf_counter()
        with self.begun() as folder:
            segments = folder.finished()
            self.done = sum(segment.frames for segment in segments.values())
            maker = self.maker(upscaler_for, listener)
            while (number := self.grid.joined(segments)[1]) is not None:
                self._make(maker, folder, number, segments)
                if not are_consistent(self.grid.joined(segments)[0]):
                    segments.clear()  # read from the beginning on, they are
                    self.done = 0
            return self.joined(folder, segments, maker.model, begun)

    def joined(
        self, folder: SegmentFolder, made: Mapping[int, Segment], model: str | None, begun: float
    ) -> ClipOutcome:
        """Join the segments that were ``made``, which are all, since ``begun``. Raises InputError, OutputError."""
        segments, _ = self.grid.joined(made)
        if not segments:
            raise InputError(f"{self.job.source} has no frame in the part that is wanted.", "Check --start.")
        join(folder, segments, self.info, self.encoding, self._notify, self.job.replaces)
        frames = sum(segment.frames for segment in segments)
        return ClipOutcome(
            self.job,
            model,
            self.encoding.codec,
            (self.info.width, self.info.height),
            (self.encoding.width, self.encoding.height),
            frames,
            frames - self.done,
            sum(segment.repeated for segment in segments),
            sum(segment.reused for segment in segments) / max(1, frames * self.info.width * self.info.height),
            time.perf_counter() - begun,
        )

    def part(self, number: int, folder: SegmentFolder) -> Part:
        """Return the job of making segment ``number`` elsewhere."""
        return Part(
            self.job.source,
            self.job.target,
            number=number,
            first=self.grid.first(number),
            end=self.grid.first(number + 1),
            size=self.size,
            clip=self._clip,
            encoding=self.encoding,
            version=self.info.version,
            settings=folder.settings,
        )

    def estimate(self, upscaler_for: UpscalerFor, listener: Listener) -> Estimate:
        """Return what the clip will take, measured on its first frames; writes nothing."""
        maker = self.maker(upscaler_for, listener)
        encoder, sizes = Encoder(self.encoding), []
        begun = time.perf_counter()
        for number, frame in enumerate(islice(self._reader.frames(), MEASURED)):
            fitted = padded(maker.enlarged([frame])[0], self.encoding.height, self.encoding.width)
            packets = encoder.encode(fitted, frame.pts)
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
        where = self.job, self.info, self.size, levels(self.encoding)
        return FrameMaker(*where, upscaler_for, listener, reuse=self._clip.reuse, done=self.done)

    def _make(self, maker: FrameMaker, folder: SegmentFolder, number: int | None, segments: dict[int, Segment]) -> None:
        """Make segment ``number`` and those after it, up to one that is there already, and add them to ``segments``."""
        after = self.grid.first(number) - 1 if number else None
        with threads() as (decoder, encoder):
            coming = Coming(self._reader.frames(after), decoder)
            while number is not None and number not in segments:
                segment = SegmentMaker(folder.path, folder.settings, number, self.grid.first(number + 1), self.encoding)
                segment.make(coming, maker, encoder)
                segments[number] = segment.finish()
                following = segments[number].following
                number = None if following is None else self.grid.number(following)

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

"""One part of a clip, done by a worker: opened and decoded while the part before it is computed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

from upscale_cli.errors import InputError, UpscaleError
from upscale_cli.upscaling.clip import unwritten
from upscale_cli.upscaling.clip_frames import Coming, FrameMaker, Pending
from upscale_cli.upscaling.clip_job import Part, PartOutcome
from upscale_cli.upscaling.clip_segment import SegmentMaker, levels
from upscale_cli.upscaling.engines.engine import Listener
from upscale_cli.upscaling.frame_folder import reader_for
from upscale_cli.upscaling.job import Outcome, UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video.segments import folder_of


class Stream:
    """A clip that is open, its frames from the beginning of ``part`` on."""

    def __init__(self, part: Part, max_megapixels: float) -> None:
        self.part = part  # the last one
        self._reader = reader_for(part.source, part.clip, max_megapixels)
        self.info = self._reader.info
        self._decoder = ThreadPoolExecutor(1, "decode")
        self.coming = Coming(self._reader.frames(part.first - 1 if part.number else None), self._decoder)

    def leads_to(self, part: Part) -> bool:
        """Return whether ``part`` comes later in the same clip."""
        before = self.part
        same = (before.source, before.version, before.clip) == (part.source, part.version, part.clip)
        return same and before.end <= part.first

    def close(self) -> None:
        """Read no more."""
        self._decoder.shutdown(wait=True, cancel_futures=True)
        self._reader.close()


class Streams:
    """The open clips of a worker. One that can only be read from its beginning is read on for the next part."""

    def __init__(self) -> None:
        self._idle: list[Stream] = []
        self._lock = Lock()

    @contextmanager
    def at(self, part: Part, max_megapixels: float) -> Iterator[Stream]:
        """Yield the frames from ``part`` on. Raises InputError."""
        stream = self._read_on(part) or Stream(part, max_megapixels)
        try:
            if stream.info.version != part.version:
                raise InputError(f"{part.source} is another file on a node.", "Every node has to see the same files.")
            for _ in stream.coming.before(part.first):
                pass
            yield stream
        except BaseException:
            stream.close()
            raise
        if stream.info.exact:
            stream.close()
        else:
            with self._lock:
                self._idle.append(stream)

    def _read_on(self, part: Part) -> Stream | None:
        """Return the stream that leads to ``part``, if there is one; those of other clips are closed."""
        with self._lock:
            others = [stream for stream in self._idle if stream.part.source != part.source]
            leading = [stream for stream in self._idle if stream.leads_to(part)]
            found = max(leading, key=lambda stream: stream.part.end, default=None)
            self._idle = [stream for stream in self._idle if stream is not found and stream not in others]
        for stream in others:
            stream.close()
        if found is not None:
            found.part = part
        return found

    def close(self) -> None:
        """Close all that no part uses."""
        with self._lock:
            for stream in self._idle:
                stream.close()
            self._idle.clear()


def do(
    part: Part,
    options: UpscaleOptions,
    upscaler_for: UpscalerFor,
    computer: Executor,
    listener: Listener,
    streams: Streams,
) -> Outcome:
    """Return what became of ``part``, whose frames are enlarged in ``computer``, one part after another."""
    try:
        with streams.at(part, options.max_megapixels) as stream:
            return _made(part, stream, upscaler_for, computer, listener)
    except UpscaleError as error:
        return Outcome(part, error=error)
    except OSError as error:
        return Outcome(part, error=unwritten(part.target, error))


def _made(part: Part, stream: Stream, upscaler_for: UpscalerFor, computer: Executor, listener: Listener) -> PartOutcome:
    levels_of = levels(part.encoding)
    maker = FrameMaker(part, stream.info, part.size, levels_of, upscaler_for, listener, reuse=part.clip.reuse)
    stream.coming.following()  # which is decoded while another part is computed
    segment = SegmentMaker(folder_of(part.target), part.settings, part.number, part.end, part.encoding)
    with ThreadPoolExecutor(1, "encode") as encoder:
        computer.submit(segment.make, stream.coming, maker, Pending(encoder)).result()
    return PartOutcome(part, maker.model, segment=segment.finish())

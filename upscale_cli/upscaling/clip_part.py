"""One part of a clip, done by a worker: opened and decoded while the part before it is computed."""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import closing

from upscale_cli.errors import InputError, UpscaleError
from upscale_cli.upscaling.clip import unwritten
from upscale_cli.upscaling.clip_frames import AHEAD, Coming, FrameMaker, threads
from upscale_cli.upscaling.clip_job import Part, PartOutcome
from upscale_cli.upscaling.clip_segment import SegmentMaker, levels
from upscale_cli.upscaling.engines.engine import Listener
from upscale_cli.upscaling.frame_folder import reader_for
from upscale_cli.upscaling.job import Outcome, UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video.info import FrameReader
from upscale_cli.video.segments import folder_of


def do(
    part: Part, options: UpscaleOptions, upscaler_for: UpscalerFor, computer: Executor, listener: Listener
) -> Outcome:
    """Return what became of ``part``, whose frames are enlarged in ``computer``, one part after another."""
    try:
        with closing(reader_for(part.source, part.clip, options.max_megapixels)) as reader:
            return _made(part, reader, upscaler_for, computer, listener)
    except UpscaleError as error:
        return Outcome(part, error=error)
    except OSError as error:
        return Outcome(part, error=unwritten(part.target, error))


def _made(
    part: Part, reader: FrameReader, upscaler_for: UpscalerFor, computer: Executor, listener: Listener
) -> PartOutcome:
    if reader.info.version != part.version:
        raise InputError(f"{part.source} is another file on a node.", "Every node has to see the same files.")
    maker = FrameMaker(
        part, reader.info, part.size, levels(part.encoding), upscaler_for, listener, reuse=part.clip.reuse
    )
    with threads() as (decoder, encoder):
        frames = reader.frames(part.first - 1 if part.number else None)
        coming = Coming(frames, decoder, lambda: AHEAD + maker.at_once)
        coming.following()
        segment = SegmentMaker(folder_of(part.target), part.settings, part.number, part.end, part.encoding)
        computer.submit(segment.make, coming, maker, encoder).result()
    return PartOutcome(part, maker.model, segment=segment.finish())

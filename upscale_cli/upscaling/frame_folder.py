"""Frames as numbered pictures: a folder of them read as a clip, and a clip written as a folder of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from upscale_cli.errors import InputError, OutputError, UsageError
from upscale_cli.images import formats
from upscale_cli.images.convert import displayed, over_white
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import write_image
from upscale_cli.upscaling.clip import ClipOutcome, reader_of
from upscale_cli.upscaling.clip_frames import FrameMaker, ahead, threads
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.engines.engine import Listener
from upscale_cli.upscaling.job import Job, UpscalerFor, write_options
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.settings import difference, keep, settings_of
from upscale_cli.video.colour import FULL, RGB, Colour
from upscale_cli.video.info import ClipInfo, Frame, FrameReader
from upscale_cli.video.kinds import PATTERN


class FolderReader:
    """Reads the numbered pictures of ``folder`` as frames, in the order of their numbers. Raises InputError."""

    def __init__(self, folder: Path, clip: ClipOptions, max_megapixels: float) -> None:
        assert clip.fps is not None
        self._folder, self._max_megapixels = folder, max_megapixels
        rate = Fraction(clip.fps).limit_denominator(1001)
        numbered = sorted((number, path) for path in folder.iterdir() if (number := _number(path)) is not None)
        first = round(clip.start * rate)
        last = None if clip.duration is None else first + max(1, round(clip.duration * rate))
        self._paths = [path for _, path in numbered][first:last]
        if not self._paths:
            raise InputError(f"{folder} has no numbered pictures in the part that is wanted.", "Name them 000001.png.")
        picture = self._read(self._paths[0])
        newest = max(path.stat().st_mtime_ns for path in self._paths)
        self.info = ClipInfo(
            path=folder,
            version=f"{len(self._paths)} pictures, the newest of {newest}",
            index=None,
            exact=True,
            codec=self._paths[0].suffix.lstrip("."),
            width=picture.width,
            height=picture.height,
            rate=rate,
            time_base=1 / rate,
            start=0,
            shift=Fraction(0),
            is_part=False,
            frames=len(self._paths),
            seconds=float(len(self._paths) / rate),
            pix_fmt="rgb24" if picture.depth == 8 else "rgb48le",
            depth=picture.depth,
            alpha=picture.alpha is not None,
            colour=Colour(RGB, FULL),
        )

    def frames(self, after: int | None = None) -> Iterator[Frame]:
        """Yield the frames whose number, from 0, is greater than ``after``. Raises InputError."""
        first = 0 if after is None else after + 1
        for number, path in enumerate(self._paths[first:], first):
            picture = self._read(path)
            if (picture.width, picture.height) != (self.info.width, self.info.height):
                sizes = f"{picture.width}x{picture.height}, not {self.info.width}x{self.info.height}"
                raise InputError(f"{path} has {sizes} as the first frame.", "Frames of a clip have one size.")
            yield Frame(picture.color, number, 1)

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, path: Path) -> Picture:
        """Return the RGB picture in ``path``, its transparency laid over white."""
        picture = displayed(read_picture(path, self._max_megapixels))
        color: Pixels = picture.color if picture.alpha is None else over_white(picture.color, picture.alpha)
        return Picture(color.repeat(3, 2) if color.shape[2] == 1 else color)


def reader_for(source: Path, clip: ClipOptions, max_megapixels: float) -> FrameReader:
    """Return the reader of the clip, or of the folder of numbered pictures, ``source``. Raises InputError."""
    return FolderReader(source, clip, max_megapixels) if source.is_dir() else reader_of(source, clip)


def _number(path: Path) -> int | None:
    """Return the last number in the name of a visible picture, None for other files."""
    found = re.findall(r"\d+", path.stem)
    is_picture = formats.of_path(path) is not None and not path.name.startswith(".")
    return int(found[-1]) if found and is_picture else None


def enlarge_to_pictures(
    job: Job,
    reader: FrameReader,
    options: UpscaleOptions,
    clip: ClipOptions,
    upscaler_for: UpscalerFor,
    listener: Listener,
) -> ClipOutcome:
    """Write the frames of ``reader`` to the pattern that is the target of ``job``, numbered from 1.

    Frames that exist are kept, unless the job replaces them. Raises OutputError where they have other settings.
    """
    if clip.codec or clip.preset or clip.pix_fmt:
        raise UsageError(f"{job.target} are pictures.", "Leave out --codec, --preset and --pix-fmt.")
    info, begun = reader.info, time.perf_counter()
    height, width = options.size.pixels(info.height, info.width)
    dtype = np.uint8 if info.depth == 8 else np.uint16
    maker = FrameMaker(job, info, (height, width), dtype, upscaler_for, listener, reuse=clip.reuse)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    settings = settings_of(options) | {"clip": f"{info.version}, {clip}"}
    if not job.replaces and (differences := difference(job.target.parent, settings)):
        raise OutputError(differences[0].text, "Choose another folder with -o.")
    keep(job.target.parent, settings, job.replaces)
    how = write_options(job.target, options)
    number = made = repeated = 0
    with threads() as (decoder, writer):
        for number, frame in enumerate(ahead(reader.frames(), decoder), 1):
            path = job.target.with_name(_numbered(job.target.name, number))
            repeated += frame.repeated
            if job.replaces or not path.exists():
                made += 1
                writer.submit(write_image, Picture(maker.enlarged([frame])[0]), path, how, job.replaces)
        writer.wait()
    counts = number, made, repeated, maker.counts[0] / max(1, maker.counts[1]), time.perf_counter() - begun
    kind = job.target.suffix.lstrip(".")
    return ClipOutcome(job, maker.model, kind, (info.width, info.height), (width, height), *counts)


def _numbered(pattern: str, number: int) -> str:
    """Return the name that ``pattern``, such as %06d.png, has for ``number``."""
    return PATTERN.sub(lambda match: f"{number:0{match[1] or 0}}", pattern, count=1)

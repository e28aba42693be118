"""``upscale clip.mp4``: the options of clips, and their way through the command ``run``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from upscale_cli.cli.options import as_one
from upscale_cli.cli.outputs import require_file
from upscale_cli.cli.records import ClipRecord
from upscale_cli.cli.upscalers import upscalers
from upscale_cli.errors import InputError, OutputError, UpscaleError, UsageError
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.video.kinds import WRITTEN, container_for, is_clip, require_pyav

if TYPE_CHECKING:
    from upscale_cli.cli.console import Console
    from upscale_cli.upscaling.clip import ClipOutcome
    from upscale_cli.upscaling.job import Job
    from upscale_cli.upscaling.options import UpscaleOptions


@dataclass(frozen=True)
class Placing:
    """Where results go, and what becomes of those that exist."""

    label: str
    output: str | None
    suffix: str | None
    overwrite: bool
    skip_existing: bool


def parse_time(text: str) -> float:
    """Return the seconds of ``80``, ``1:20`` or ``1:02:03.5``. Raises UsageError."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise UsageError(f"{text!r} is no time.", "Write it as 80, 1:20 or 1:02:03.5.")
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


_OPTIONS = {
    "start": click.option("--start", type=parse_time, default="0", metavar="TIME", help="Begin here: 80 or 1:20."),
    "duration": click.option("--duration", type=parse_time, metavar="TIME", help="End after so long."),
    "codec": click.option(
        "--codec",
        help="h264, hevc, av1, vp9, prores, ffv1, h264_nvenc, hevc_nvenc or av1_nvenc."
        "  [default: h264; 10-bit: hevc; webm: vp9]",
    ),
    "preset": click.option("--preset", help="The encoder's: ultrafast to veryslow, 0 to 13, p1 to p7."),
    "pix_fmt": click.option("--pix-fmt", help="Pixel format, such as yuv420p10le.  [default: near the input's]"),
    "stream": click.option("--stream", type=click.IntRange(0), default=0, help="Which picture stream, from 0."),
    "deinterlace": click.option("--deinterlace", is_flag=True, help="Make frames of fields (bwdif)."),
    "skip_damaged": click.option(
        "--skip-damaged", is_flag=True, help="Repeat the last good frame where one is damaged."
    ),
    "reuse": click.option(
        "--no-reuse", "reuse", is_flag=True, flag_value=False, default=True, help="Compute what has not changed, too."
    ),
}
NAMES = tuple(_OPTIONS)
clip_options = as_one("clip", ClipOptions, _OPTIONS)


def are_clips(paths: Sequence[str]) -> bool:
    """Return whether ``paths`` are clips. Raises UsageError where they are clips and pictures."""
    clips = [is_clip(Path(path)) for path in paths]
    if any(clips) and not all(clips):
        clip, other = paths[clips.index(True)], paths[clips.index(False)]
        raise UsageError(f"{clip} is a clip, and {other} is not.", "Do them in two runs.")
    return any(clips)


def refuse_for_pictures(clip: ClipOptions) -> None:
    """Raise UsageError where options of clips are given for pictures."""
    plain = ClipOptions()
    for field in fields(clip):
        if getattr(clip, field.name) != getattr(plain, field.name):
            name = "no-reuse" if field.name == "reuse" else field.name.replace("_", "-")
            raise UsageError(f"--{name} is for clips.", "Leave it out for pictures.")


def refuse_for_clips(options: UpscaleOptions, of_pictures: dict[str, object]) -> None:
    """Raise UsageError where options of pictures are given for clips; ``of_pictures`` are those beside ``options``."""
    names = {"--kernel": options.kernel, "--depth": options.depth} | of_pictures
    if options.alpha_upsampler != "network":
        names["--alpha-upsampler"] = options.alpha_upsampler
    for name, value in names.items():
        if value:
            hints = {"--format": "Name the container with -o.", "--depth": "Choose it by --pix-fmt."}
            raise UsageError(f"{name} is for pictures.", hints.get(name, "Leave it out for clips."))


def run_clips(
    paths: Sequence[str], options: UpscaleOptions, clip: ClipOptions, placing: Placing, console: Console
) -> None:
    """Enlarge the clips ``paths`` one after another, and report on each."""
    require_pyav()
    from upscale_cli.upscaling.plan import Plan

    jobs, skipped = _planned(paths, placing)
    for job in skipped:
        console.record(ClipRecord(str(job.source), str(job.target), "skipped", None))
    making = partial(upscalers, notify=console.notify, on_download=console.download)
    upscaler_for = making(options) if jobs else None
    try:
        for job in jobs:
            assert upscaler_for is not None
            try:
                _finished(_enlarged(job, options, clip, upscaler_for, console), console)
            except UpscaleError as error:
                console.ended(job, error=error)
                name, place = str(job.source), str(job.target)
                console.record(ClipRecord(name, place, "failed", None, error=str(error), code=error.exit_code))
    except KeyboardInterrupt:
        console.close()
        console.tell("The same command goes on after the last finished segment.", err=True)
        raise
    console.conclude(Plan(tuple(jobs), tuple(skipped)))


def _planned(paths: Sequence[str], placing: Placing) -> tuple[list[Job], list[Job]]:
    """Return the jobs to do, and those whose targets exist. Raises InputError, UsageError, OutputError."""
    from upscale_cli.upscaling.job import Job

    jobs = [Job(source, target) for source, target in _targets(paths, placing)]
    targets = [job.target.resolve() for job in jobs]
    if len(set(targets)) < len(targets):
        raise UsageError("Two clips would become the same file.", "Do them in two runs.")
    for job in jobs:
        if job.target.resolve() in [other.source.resolve() for other in jobs]:
            raise UsageError(f"{job.target} would replace an input.", "Use another -o or --suffix.")
    there = [job for job in jobs if job.target.exists()]
    if not placing.overwrite and (placing.skip_existing or len(jobs) > 1):
        return [job for job in jobs if job not in there], there
    for job in jobs:
        require_file(job.target, placing.overwrite, makes_folder=True)
    return jobs, []


def _targets(paths: Sequence[str], placing: Placing) -> Iterator[tuple[Path, Path]]:
    output = Path(placing.output) if placing.output is not None else None
    for text in paths:
        source = Path(text)
        if not source.is_file():
            raise InputError(f"There is no file {source}.", "Check the path.")
        suffix = placing.suffix if placing.suffix is not None else f"_{placing.label}"
        name = f"{source.stem}{suffix}{container_for(source)}"
        if output is None:
            yield source, source.with_name(name)
        elif output.suffix and not output.is_dir() and not str(placing.output).endswith("/"):
            if output.suffix.lower() not in WRITTEN:
                raise UsageError(f"{output} has no extension of a container.", f"Known are: {', '.join(WRITTEN)}.")
            if len(paths) > 1:
                raise UsageError(f"{output} is one clip, but several are to be made.", "Name a folder with -o.")
            yield source, output
        else:
            yield source, output / (name if placing.suffix is not None else f"{source.stem}{container_for(source)}")


def _enlarged(job: Job, options: UpscaleOptions, clip: ClipOptions, upscaler_for: Any, console: Console) -> ClipOutcome:
    from upscale_cli.upscaling.clip import ClipRun

    try:
        with ClipRun(job, options, clip, console.notify) as run:
            return run.run(upscaler_for, console)
    except OSError as error:
        raise OutputError(f"Cannot write {job.target}: {error.strerror or error}.", "Make room, or use -o.") from error


def _finished(outcome: ClipOutcome, console: Console) -> None:
    job, (width, height), (to_width, to_height) = outcome.job, outcome.before, outcome.after
    console.ended(job, outcome.computed * width * height / 1e6)
    words = f"{job.source} ({width}x{height}) -> {job.target} ({to_width}x{to_height}, {outcome.codec}), "
    words += f"{outcome.frames} frames in {outcome.seconds:.1f} s"
    if outcome.computed < outcome.frames:
        words += f", {outcome.frames - outcome.computed} of them from an earlier run"
    if outcome.reused:
        words += f", {outcome.reused:.0%} reused"
    if outcome.repeated:
        words += f", {outcome.repeated} damaged frames replaced by the ones before"
    console.record(ClipRecord.of(outcome), words)

"""``upscale clip.mp4``: the way of clips through the command ``run``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.cli.outputs import require_file
from upscale_cli.cli.records import ClipRecord
from upscale_cli.errors import InputError, UpscaleError, UsageError
from upscale_cli.upscalers import upscalers
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.video.kinds import WRITTEN, container_for, is_pattern, require_pyav

if TYPE_CHECKING:
    from upscale_cli.cli.console import Console
    from upscale_cli.upscaling.clip import ClipOutcome, ClipRun, Estimate
    from upscale_cli.upscaling.job import Job, UpscalerFor
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.upscaling.ray_options import RayOptions
    from upscale_cli.video.info import FrameReader


@dataclass(frozen=True)
class Placing:
    """Where results go, and what becomes of those that exist."""

    label: str
    output: str | None
    suffix: str | None
    overwrite: bool
    skip_existing: bool
    compare: bool
    dry_run: bool


def run_clips(
    paths: Sequence[str],
    options: UpscaleOptions,
    clip: ClipOptions,
    placing: Placing,
    console: Console,
    cluster: RayOptions | None = None,
) -> None:
    """Enlarge the clips ``paths`` one after another, on this machine or a cluster, and report on each."""
    require_pyav()
    from upscale_cli.upscaling.plan import Plan

    named = [source for text in paths for source in _expanded(text)]
    jobs, skipped = _planned(named, placing)
    for job in skipped:
        console.record(ClipRecord(str(job.source), str(job.target), "skipped", None))
    try:
        if cluster and not placing.dry_run:
            _do_on_cluster(jobs, options, clip, cluster, console)
        elif jobs:
            from upscale_cli import device as devices

            devices.keep_freed_memory()
            upscaler_for = upscalers(options, console.notify, console.download)
            for job in jobs:
                try:
                    _do(job, options, clip, upscaler_for, placing, console)
                except UpscaleError as error:
                    _failed(job, error, console)
    except (KeyboardInterrupt, BrokenPipeError):
        console.close()
        console.tell("The same command goes on with the segments that are missing.", err=True)
        raise
    console.conclude(Plan(tuple(jobs), tuple(skipped)))


def _expanded(text: str) -> list[Path]:
    """Return the clip, or those that a pattern names. Raises InputError."""
    path = Path(text)
    matches = [path] if path.exists() else sorted(Path().glob(text)) if not path.is_absolute() else []
    if not matches:
        raise InputError(f"There is no file {text}.", "Check the path.")
    return matches


def _planned(sources: Sequence[Path], placing: Placing) -> tuple[list[Job], list[Job]]:
    """Return the jobs to do, and those whose targets exist. Raises UsageError, OutputError."""
    from upscale_cli.upscaling.job import Job

    jobs = []
    for source, target in _targets(sources, placing):
        beside = target.with_name(f"{target.stem}_compare{target.suffix}") if placing.compare else None
        jobs.append(Job(source, target, beside, replaces=placing.overwrite))
    outputs = [output.resolve() for job in jobs for output in job.outputs]
    if len(set(outputs)) < len(outputs):
        raise UsageError("Two clips would become the same file.", "Do them in two runs.")
    for job in jobs:
        if job.source.resolve() in outputs:
            raise UsageError(f"{job.source} would be replaced by a result.", "Use another -o or --suffix.")
    there = [job for job in jobs if job.target.exists()]
    if not placing.overwrite and (placing.skip_existing or len(jobs) > 1):
        jobs = [job for job in jobs if job not in there]
    else:
        there = []
    for output in (output for job in jobs for output in job.outputs):
        require_file(output, placing.overwrite, makes_folder=True)
    return jobs, there


def _targets(sources: Sequence[Path], placing: Placing) -> Iterator[tuple[Path, Path]]:
    """Yield each input and its target. Raises UsageError."""
    from upscale_cli.images import formats

    output = Path(placing.output) if placing.output is not None else None
    for source in sources:
        suffix = f"_{placing.label}" if placing.suffix is None and output is None else placing.suffix or ""
        name = f"{source.resolve().stem}{suffix}{container_for(source)}"
        if output is None:
            yield source, source.with_name(name)
        elif output.suffix and not output.is_dir() and not str(placing.output).endswith("/"):
            if not (formats.of_path(output) if is_pattern(str(output)) else output.suffix.lower() in WRITTEN):
                raise UsageError(f"{output} has no extension of a container.", f"Known are: {', '.join(WRITTEN)}.")
            if len(sources) > 1:
                raise UsageError(f"{output} is one clip, but several are to be made.", "Name a folder with -o.")
            yield source, output
        else:
            yield source, output / name


def _do(
    job: Job,
    options: UpscaleOptions,
    clip: ClipOptions,
    upscaler_for: UpscalerFor,
    placing: Placing,
    console: Console,
) -> None:
    """Do ``job``, or with --dry-run say what it would take, and report on it. Raises UpscaleError."""
    from upscale_cli.upscaling.clip import ClipRun, unwritten
    from upscale_cli.upscaling.frame_folder import enlarge_to_pictures, reader_for

    try:
        with closing(reader_for(job.source, clip, options.max_megapixels)) as reader:
            if is_pattern(str(job.target)):
                if placing.dry_run:
                    height, width = options.size.pixels(reader.info.height, reader.info.width)
                    frames = reader.info.frames
                    before, after = (reader.info.width, reader.info.height), (width, height)
                    names, kind = (str(job.source), str(job.target)), job.target.suffix.lstrip(".")
                    line = f"{job.source} -> {job.target}, {frames or 'all'} frames of {width}x{height}"
                    console.result(line, ClipRecord(*names, "planned", None, kind, before, after, frames or None))
                    return
                outcome = enlarge_to_pictures(job, reader, options, clip, upscaler_for, console)
                _finished(outcome, console)
                return
            run = ClipRun(job, reader, options, clip, console.notify)
            if placing.dry_run:
                _show(run, run.estimate(upscaler_for, console), console)
                return
            outcome = run.run(upscaler_for, console)
            _compare(run, reader, options, clip, outcome, console)
            _finished(outcome, console)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritten(job.target, error) from error


def _compare(
    run: ClipRun,
    reader: FrameReader,
    options: UpscaleOptions,
    clip: ClipOptions,
    outcome: ClipOutcome,
    console: Console,
) -> None:
    """Make the comparison of the clip that ``run`` has made, where the job has one. Raises UpscaleError."""
    if run.job.comparison is not None:
        from upscale_cli.upscaling.clip_compare import compare

        compare(run, reader, options, clip, outcome.model or "result", console)


def _do_on_cluster(
    jobs: Sequence[Job], options: UpscaleOptions, clip: ClipOptions, cluster: RayOptions, console: Console
) -> None:
    """Do all ``jobs`` on a cluster, and report on each. Raises UsageError, and what ends the whole run."""
    from upscale_cli.upscaling.clip import unwritten
    from upscale_cli.upscaling.clip_cluster import enlarge
    from upscale_cli.upscaling.engines.ray import RayEngine, require_fitting
    from upscale_cli.upscaling.frame_folder import reader_for

    if jobs and is_pattern(str(jobs[0].target)):
        raise UsageError(f"--ray writes clips, and {jobs[0].target} are pictures.", "Name a clip with -o.")
    require_fitting(options)
    engine = RayEngine(console.notify, cluster, console.download, clips=True)
    with closing(enlarge(_runs(jobs, options, clip, console), engine, options, upscalers, console)) as ended:
        for run, outcome in ended:
            try:
                if isinstance(outcome, UpscaleError):
                    raise outcome
                if run.job.comparison is not None:
                    with closing(reader_for(run.job.source, clip, options.max_megapixels)) as reader:
                        _compare(run, reader, options, clip, outcome, console)
                _finished(outcome, console)
            except UpscaleError as error:
                _failed(run.job, error, console)
            except BrokenPipeError:
                raise
            except OSError as error:
                _failed(run.job, unwritten(run.job.target, error), console)


def _runs(jobs: Sequence[Job], options: UpscaleOptions, clip: ClipOptions, console: Console) -> Iterator[ClipRun]:
    """Yield each job as a run, when it is wanted; report on those that cannot be read."""
    from upscale_cli.upscaling.clip import ClipRun
    from upscale_cli.upscaling.frame_folder import reader_for

    for job in jobs:
        try:
            with closing(reader_for(job.source, clip, options.max_megapixels)) as reader:
                run = ClipRun(job, reader, options, clip, console.notify)
        except UpscaleError as error:
            _failed(job, error, console)
        else:
            yield run


def _failed(job: Job, error: UpscaleError, console: Console) -> None:
    console.ended(job, error=error)
    name, place = str(job.source), str(job.target)
    console.record(ClipRecord(name, place, "failed", None, error=str(error), code=error.exit_code))


def _show(run: ClipRun, estimate: Estimate, console: Console) -> None:
    """Print what a clip would take."""
    from upscale_cli.cli.console import duration, in_passes

    info, encoding, job = run.info, run.encoding, run.job
    line = f"{job.source} ({info.width}x{info.height}, {info.codec}) -> {job.target} "
    line += f"({encoding.width}x{encoding.height}, {encoding.codec} {encoding.pix_fmt}): "
    line += f"{in_passes(estimate.model, estimate.passes)}, "
    sizes = (info.width, info.height), (encoding.width, encoding.height)
    names, codec = (str(job.source), str(job.target)), encoding.codec
    record = ClipRecord(*names, "planned", estimate.model, codec, *sizes, passes=estimate.passes)
    console.close()
    if not estimate.frames:
        console.result(f"{line}{estimate.seconds:.2f} s and {estimate.bytes / 1e3:.0f} kB per frame", record)
        return
    seconds, size = estimate.frames * estimate.seconds, estimate.frames * estimate.bytes
    record = replace(record, frames=estimate.frames, estimated_seconds=round(seconds, 3), estimated_bytes=round(size))
    console.result(f"{line}{estimate.frames} frames, about {duration(seconds)} and {size / 1e6:.2g} MB", record)


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

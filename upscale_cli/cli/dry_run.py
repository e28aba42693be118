"""``upscale --dry-run``: which files, sizes, networks, passes and how much time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from upscale_cli.cli.console import Console, duration, ignored_in_words, in_passes
from upscale_cli.cli.records import PictureRecord
from upscale_cli.errors import UpscaleError
from upscale_cli.images.read import picture_header, read_picture
from upscale_cli.remote import TRANSFERS, fetched
from upscale_cli.upscaling.forecast import Forecast, Forecaster
from upscale_cli.weights.defaults import ZERO_SHOT

if TYPE_CHECKING:
    from upscale_cli.images.picture import Picture
    from upscale_cli.upscaling.job import Job
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.upscaling.plan import Plan


@dataclass(frozen=True)
class _Row:
    """What would become of ``job``: sizes are (width, height); ``forecast``: None where no network would run."""

    job: Job
    before: tuple[int, int] | None = None
    after: tuple[int, int] | None = None
    forecast: Forecast | None = None
    error: UpscaleError | None = None


def show(plan: Plan, options: UpscaleOptions, console: Console) -> None:
    """Print what would be done."""
    forecaster = Forecaster(options)
    at_once = TRANSFERS if any(job.remote for job in plan.jobs) else 1
    with ThreadPoolExecutor(at_once, "header") as pool:
        rows = list(pool.map(lambda job: _row(job, options, forecaster), plan.jobs))
    forecasts = [row.forecast for row in rows if row.forecast]
    alike = len({(forecast.network, forecast.passes) for forecast in forecasts}) == 1
    for row in rows:
        console.result(_line(row, console, names_network=not alike), _record(row))
    for job in plan.skipped:
        record = PictureRecord(str(job.source), str(job.target), "skipped", None)
        console.result(f"{job.source}: {job.target} is already there", record)
    if options.auto:
        console.tell("--auto may take lite-x4-restore, for what it finds in a picture.", err=True)
    for line in _summary(forecasts, alike):
        console.tell(line, err=True)
    counts = [f"{len(plan.jobs)} to do, {len(plan.skipped)} already there"]
    counts += [ignored_in_words(plan.ignored)] if plan.ignored else []
    console.tell("; ".join(counts) + ".", err=True)


def _row(job: Job, options: UpscaleOptions, forecaster: Forecaster) -> _Row:
    try:
        with fetched(job.source) as source:
            header = picture_header(source, options.max_megapixels)
        height, width = options.size.pixels(header.height, header.width)
        job.require_size(height, width)
        if options.auto and not job.reuses_result:
            from upscale_cli.upscaling.choice import choice

            network, _ = choice(_picture(job, options), options.size)
            forecaster = Forecaster(replace(options, auto=False, model=network))
        forecast = None if job.reuses_result else forecaster.of(header)
        return _Row(job, (header.width, header.height), (width, height), forecast)
    except UpscaleError as error:
        return _Row(job, error=error)


def _picture(job: Job, options: UpscaleOptions) -> Picture:
    with fetched(job.source) as source:
        return read_picture(source, options.max_megapixels)


def _line(row: _Row, console: Console, names_network: bool) -> str:
    target = row.job.comparison if row.job.comparison and row.job.reuses_result else row.job.target
    line = f"{console.named(row.job.source)} -> {console.named(target)}, "
    if row.error or not row.before or not row.after:
        return f"{line}which would fail: {row.error}"
    line += f"{row.before[0]}x{row.before[1]} to {row.after[0]}x{row.after[1]}"
    if row.forecast and names_network:
        seconds = row.forecast.seconds
        line += f", {network_in_words(row.forecast)}" + (f", about {duration(seconds)}" if seconds else "")
    return line


def _record(row: _Row) -> PictureRecord:
    names = str(row.job.source), str(row.job.target)
    if row.error:
        return PictureRecord(*names, "failed", None, error=str(row.error), code=row.error.exit_code)
    if row.forecast is None:
        return PictureRecord(*names, "planned", None, row.before, row.after)
    passes, seconds = row.forecast.passes, row.forecast.seconds
    estimated = None if seconds is None else round(seconds, 3)
    return PictureRecord(
        *names, "planned", row.forecast.network, row.before, row.after, passes=passes, estimated_seconds=estimated
    )


def _summary(forecasts: Sequence[Forecast], alike: bool) -> list[str]:
    """Return lines on the network, where it is the same for all, and on the time."""
    lines = [f"Network: {network_in_words(forecasts[0])}."] if forecasts and alike else []
    unknown = sorted({forecast.network for forecast in forecasts if forecast.seconds is None})
    if unknown == [ZERO_SHOT]:
        return [*lines, "A network is trained on each picture; docs/zssr.md says how long that takes."]
    if unknown:
        advice = f"after a first run, or after `upscale benchmark -m {unknown[0]}`."
        return [*lines, f"How long it takes is known {advice}"]
    if forecasts:
        seconds = sum(forecast.seconds or 0 for forecast in forecasts)
        lines.append(f"About {duration(seconds)} for the network, as fast as it last ran here.")
    return lines


def network_in_words(forecast: Forecast) -> str:
    """Return the network and its passes."""
    if forecast.passes is None:
        return f"{forecast.network}, which cannot be opened"
    return in_passes(forecast.network, forecast.passes)

"""``upscale run``: pictures in, larger pictures out."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from upscale_cli.cli.options import Heading, chosen_existing, chosen_precision, parse_tile, parse_width_height
from upscale_cli.cli.report import DownloadBar, Report, chosen_style
from upscale_cli.cli.upscalers import upscalers
from upscale_cli.errors import UpscaleError, UsageError
from upscale_cli.upscaling.options import DEFAULT_MAX_MEGAPIXELS, RESTORING, AlphaUpsampler, UpscaleOptions

if TYPE_CHECKING:
    from upscale_cli.upscaling.job import Job
    from upscale_cli.upscaling.plan import Plan


@click.command("run", cls=Heading, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-s", "--scale", type=float, help="How many times larger, 0.1 to 32.  [default: 4; with --kernel the kernel's]"
)
@click.option("--width", type=int, help="Width of the result in pixels; the height follows.")
@click.option("--height", type=int, help="Height of the result in pixels; the width follows.")
@click.option("--fit", metavar="WxH", help="As large as fits into a box of that many pixels.")
@click.option("-m", "--model", help="Name, OpenModelDB id, or file.  [default: by device and scale]")
@click.option("--restore", is_flag=True, help=f"For noisy or compressed pictures: -m {RESTORING}.")
@click.option(
    "--alpha",
    type=float,
    help="Share of the GAN-trained network, 0 to 1; the rest is its PSNR-trained partner.  [default: no mix]",
)
@click.option(
    "-dn", "--denoise", type=click.FloatRange(0, 1), help="Strength with -m realesr-general-x4v3.  [default: 1]"
)
@click.option("--tta", is_flag=True, help="Mean over eight orientations: a little better, eight times slower.")
@click.option(
    "--alpha-upsampler",
    type=click.Choice(["network", "bicubic"]),
    default="network",
    show_default=True,
    help="What enlarges transparency.",
)
@click.option(
    "--kernel",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The kernel the pictures were shrunk with: trains a network on each picture itself (ZSSR), in minutes.",
)
@click.option("--iterations", type=click.IntRange(1), help="With --kernel: of the training at most.  [default: 3000]")
@click.option("--seed", type=click.IntRange(0), help="With --kernel: of the training.  [default: 0]")
@click.option(
    "-o", "--output", metavar="PATH", help="File for one picture (its extension decides the format), else folder."
)
@click.option(
    "--suffix", help="Added to names.  [default: _x4, or the size, beside the input; nothing in another folder]"
)
@click.option("--format", "format_name", help="jpeg, png, webp, tiff, avif, bmp, ppm or gif.  [default: the input's]")
@click.option("--quality", type=int, help="1 to 100, of lossy formats.  [default: jpeg 95, webp 95, avif 90]")
@click.option("--depth", type=click.Choice(["8", "16"]), help="Bits per channel.  [default: the input's]")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--skip-existing", is_flag=True, help="Leave results that exist; the default in folders.")
@click.option(
    "--compare", is_flag=True, help="Also write NAME_compare: the input enlarged bicubically beside the result."
)
@click.option("-r", "--recursive", is_flag=True, help="Look into subfolders; the result has the same tree.")
@click.option(
    "--max-megapixels", type=float, default=DEFAULT_MAX_MEGAPIXELS, show_default=True, help="Refuse larger inputs."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--tile", default="auto", show_default=True, help="Side of tiles in input pixels, 0 for none, or auto.")
@click.option(
    "--tile-pad", type=click.IntRange(0), help="Pixels around a tile.  [default: as many as the network needs]"
)
@click.option("--half", is_flag=True, help="Half precision: fp16, on a CPU bf16.  [default on CUDA]")
@click.option("--fp32", is_flag=True, help="Full precision.  [default elsewhere]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, mps; several as cuda:0,cuda:1.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per picture on stdout.")
def run(
    paths: tuple[str, ...],
    scale: float | None,
    width: int | None,
    height: int | None,
    fit: str | None,
    model: str | None,
    restore: bool,
    alpha: float | None,
    denoise: float | None,
    tta: bool,
    alpha_upsampler: AlphaUpsampler,
    kernel: Path | None,
    iterations: int | None,
    seed: int | None,
    output: str | None,
    suffix: str | None,
    format_name: str | None,
    quality: int | None,
    depth: Literal["8", "16"] | None,
    overwrite: bool,
    skip_existing: bool,
    compare: bool,
    recursive: bool,
    max_megapixels: float,
    dry_run: bool,
    tile: str,
    tile_pad: int | None,
    half: bool,
    fp32: bool,
    device: str,
    threads: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Enlarge pictures, folders and patterns.

    photo.jpg becomes photo_x4.jpg, folder/ becomes folder_x4/. A run that was stopped goes on where it was.

    \b
    Examples:
      upscale photo.jpg -s 2.5 -o big.png
      upscale scans/ -r -m realesr-general-x4v3 -dn 0.3 --tile 400 --half
      upscale "*.png" --width 3840 --format webp --quality 90
      upscale photo.png --kernel photo_kernel.mat
    """
    options = _sized_by_kernel(
        UpscaleOptions(
            model=model,
            restore=restore,
            alpha=alpha,
            denoise=denoise,
            tta=tta,
            alpha_upsampler=alpha_upsampler,
            scale=scale,
            width=width,
            height=height,
            fit=parse_width_height(fit) if fit else None,
            kernel=kernel,
            iterations=iterations,
            seed=seed,
            tile=parse_tile(tile),
            tile_pad=tile_pad,
            precision=chosen_precision(half, fp32),
            device=device,
            threads=threads,
            quality=quality,
            depth=_DEPTHS[depth],
            max_megapixels=max_megapixels,
        )
    )
    from upscale_cli.images import formats
    from upscale_cli.upscaling.job import require_writable_formats
    from upscale_cli.upscaling.plan import Naming, plan

    naming = Naming(
        label=options.size.label(),
        output=output,
        suffix=suffix,
        format=formats.by_name(format_name) if format_name else None,
        recursive=recursive,
        existing=chosen_existing(overwrite, skip_existing),
        compare=compare,
    )
    planned = plan(paths, naming)
    require_writable_formats(planned.jobs, options)
    report = Report(chosen_style(quiet, as_json), len(planned.jobs))
    for notice in planned.notices:
        report.notify(notice)
    if dry_run:
        _show(planned, options)
        return
    report.skipped(planned.skipped)
    enlarge_all(planned.jobs, options, report, DownloadBar(quiet), replaces=overwrite)
    report.summary(planned)
    _exit_with(report, len(planned.jobs))


_DEPTHS: dict[str | None, Literal[8, 16] | None] = {None: None, "8": 8, "16": 16}


run.headings = {
    "Size": ("scale", "width", "height", "fit"),
    "Network": ("model", "restore", "alpha", "denoise", "tta", "alpha_upsampler"),
    "Network of the picture's own": ("kernel", "iterations", "seed"),
    "Files": (
        "output",
        "suffix",
        "format_name",
        "quality",
        "depth",
        "overwrite",
        "skip_existing",
        "compare",
        "recursive",
        "max_megapixels",
        "dry_run",
    ),
    "Speed and memory": ("tile", "tile_pad", "half", "fp32", "device", "threads"),
}


def _sized_by_kernel(options: UpscaleOptions) -> UpscaleOptions:
    """Return ``options``, where no size was asked for, with the scale of the kernel. Raises InputError, UsageError."""
    if options.kernel is None:
        return options
    from upscale_cli.kernels.files import read_kernel

    kernel = read_kernel(options.kernel)
    if kernel.scale == 1:
        raise UsageError(
            f"{options.kernel} says that its scale is 1.", "Give the kernel of a picture that was downsampled."
        )
    return options if options.sized else replace(options, scale=float(kernel.scale))


def _show(plan: Plan, options: UpscaleOptions) -> None:
    """Print what would be done."""
    for job in plan.jobs:
        click.echo(f"{job.source} -> {job.target}, {_sizes(job, options)}")
    for job in plan.skipped:
        click.echo(f"{job.source}: {job.target} is already there")
    click.echo(
        f"{len(plan.jobs)} to do, {len(plan.skipped)} already there, {plan.ignored} skipped: not a picture.", err=True
    )


def _sizes(job: Job, options: UpscaleOptions) -> str:
    from upscale_cli.images.read import read_picture

    try:
        picture = read_picture(job.source, options.max_megapixels)
        height, width = options.size.pixels(picture.height, picture.width)
    except UpscaleError as error:
        return f"which would fail: {error}"
    return f"{picture.width}x{picture.height} to {width}x{height}"


def enlarge_all(
    jobs: tuple[Job, ...], options: UpscaleOptions, report: Report, downloads: DownloadBar, replaces: bool
) -> None:
    """Do all ``jobs`` on this machine and report on each; ``replaces``: existing results are written again."""
    if not jobs:
        return
    from upscale_cli.upscaling.engines.local import LocalEngine

    try:
        making = partial(upscalers, on_download=downloads)
        outcomes = LocalEngine(report.notify).run(jobs, options, making, report)
        with contextlib.closing(report), contextlib.closing(outcomes):  # type: ignore[type-var]
            for outcome in outcomes:
                report.outcome(outcome)
    except KeyboardInterrupt:
        report.interrupted(replaces)
        raise


def _exit_with(report: Report, pictures: int) -> None:
    """Raise a single picture's error as the command's own; of several, exit code 1 says that some failed."""
    if not report.failures:
        return
    error = report.failures[0].error
    assert error is not None
    if pictures == 1:
        raise error
    raise click.exceptions.Exit(1)

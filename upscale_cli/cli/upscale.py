"""``upscale run``: pictures in, larger pictures out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import click

from upscale_cli.cli.options import DEFAULT_SCALE, Heading, chosen_existing, chosen_precision, chosen_size, parse_tile
from upscale_cli.cli.report import DownloadBar, Report, chosen_style
from upscale_cli.cli.zero_shot import chosen_kernel, zero_shot_upscaler_for
from upscale_cli.errors import UpscaleError, UsageError

if TYPE_CHECKING:
    from upscale_cli.images.picture import Picture
    from upscale_cli.kernels.blur_kernel import BlurKernel
    from upscale_cli.upscaling.batch import Settings, UpscalerFor
    from upscale_cli.upscaling.size import Size
    from upscale_cli.upscaling.targets import Job, Plan
    from upscale_cli.upscaling.upscaler import Upscaler

RESTORING = "lite-x4-restore"


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
    type=click.Path(dir_okay=False),
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
@click.option("--max-megapixels", type=float, default=500, show_default=True, help="Refuse larger inputs.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--tile", default="auto", show_default=True, help="Side of tiles in input pixels, 0 for none, or auto.")
@click.option(
    "--tile-pad", type=click.IntRange(0), help="Pixels around a tile.  [default: as many as the network needs]"
)
@click.option("--half", is_flag=True, help="Half precision: fp16, on a CPU bf16.  [default on CUDA]")
@click.option("--fp32", is_flag=True, help="Full precision.  [default elsewhere]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per picture on stdout.")
def run(paths: tuple[str, ...], **options: Any) -> None:
    """Enlarge pictures, folders and patterns.

    photo.jpg becomes photo_x4.jpg, folder/ becomes folder_x4/. A run that was stopped goes on where it was.

    \b
    Examples:
      upscale photo.jpg -s 2.5 -o big.png
      upscale scans/ -r -m realesr-general-x4v3 -dn 0.3 --tile 400 --half
      upscale "*.png" --width 3840 --format webp --quality 90
      upscale photo.png --kernel photo_kernel.mat
    """
    kernel = chosen_kernel(options)
    default = kernel.scale if kernel else DEFAULT_SCALE
    size = chosen_size(options["scale"], options["width"], options["height"], options["fit"], default)
    network = _network_options(size, options)
    plan = _plan(paths, size.label(), options)
    settings = _settings(plan, size, options)
    report = Report(chosen_style(options["quiet"], options["as_json"]), len(plan.jobs))
    for notice in plan.notices:
        report.notify(notice)
    if options["dry_run"]:
        _tell_plan(plan, settings)
        return
    report.skipped(plan.skipped)
    if plan.jobs:
        _work(plan, settings, report, options, partial(_upscaler_for, kernel, size, network, options, report))
    report.summary(plan)
    _exit_with(report, len(plan.jobs))


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


def _plan(paths: tuple[str, ...], label: str, options: dict[str, Any]) -> Plan:
    from upscale_cli.images import formats
    from upscale_cli.upscaling import targets

    chosen = formats.by_name(options["format_name"]) if options["format_name"] else None
    naming = targets.Naming(
        label=label,
        output=options["output"],
        suffix=options["suffix"],
        format=chosen,
        recursive=options["recursive"],
        existing=chosen_existing(options["overwrite"], options["skip_existing"]),
        compare=options["compare"],
    )
    return targets.plan(paths, naming)


def _settings(plan: Plan, size: Size, options: dict[str, Any]) -> Settings:
    from upscale_cli.upscaling import batch

    depth = int(options["depth"]) if options["depth"] else None
    settings = batch.Settings(size, options["quality"], depth, options["max_megapixels"])
    settings.require_possible(plan.jobs)
    return settings


def _tell_plan(plan: Plan, settings: Settings) -> None:
    for job in plan.jobs:
        click.echo(f"{job.source} -> {job.target}, {_sizes(job, settings)}")
    for job in plan.skipped:
        click.echo(f"{job.source}: {job.target} is already there")
    click.echo(
        f"{len(plan.jobs)} to do, {len(plan.skipped)} already there, {plan.ignored} files are no pictures.", err=True
    )


def _sizes(job: Job, settings: Settings) -> str:
    """The picture is read for it: only then its size is known as it stands upright, and that it can be read."""
    from upscale_cli.images.read import read_picture

    try:
        picture = read_picture(job.source, settings.max_megapixels)
        height, width = settings.size.pixels(picture.height, picture.width)
    except UpscaleError as error:
        return f"which would fail: {error}"
    return f"{picture.width}x{picture.height} to {width}x{height}"


def _network_options(size: Size, options: dict[str, Any]) -> dict[str, Any]:
    """The options of ``Upscaler``, checked as far as that goes without loading anything."""
    names = ("device", "tile_pad", "alpha", "denoise", "tta", "alpha_upsampler", "threads")
    return {name: options[name] for name in names} | {
        "model": _model(options),
        "scale": size.scale or DEFAULT_SCALE,
        "precision": chosen_precision(options["half"], options["fp32"]),
        "tile": parse_tile(options["tile"]),
    }


def _model(options: dict[str, Any]) -> str | None:
    """What ``-m`` or ``--restore`` name; None for the default."""
    if not options["restore"]:
        model: str | None = options["model"]
        return model
    for name, option in (("model", "-m"), ("denoise", "--denoise")):
        if options[name] is not None:
            raise UsageError(
                f"--restore chooses the network {RESTORING}, and {option} another one.", "Give one of them."
            )
    return RESTORING


def _upscaler_for(
    kernel: BlurKernel | None, size: Size, network: dict[str, Any], options: dict[str, Any], report: Report
) -> UpscalerFor:
    if kernel is not None:
        return zero_shot_upscaler_for(kernel, network, options, report)
    from upscale_cli.upscaling.upscaler import Upscaler

    make = partial(Upscaler, progress=DownloadBar(options["quiet"]), notify=report.notify)
    if size.scale is None and not any(network[name] is not None for name in ("model", "alpha", "denoise")):
        return _default_upscaler_for(size, network, make)
    upscaler = make(**network)
    return lambda picture: upscaler


def _default_upscaler_for(size: Size, network: dict[str, Any], make: Callable[..., Upscaler]) -> UpscalerFor:
    """Where an exact size is given and no network, it depends on the picture which network suits."""
    from upscale_cli import device as devices
    from upscale_cli.weights.resolve import LARGEST_SCALE_BY_X2

    devices.select(network["device"])  # a missing device is not each picture's fault
    upscaler_for_scale = cache(lambda scale: make(**network | {"scale": scale}))

    def upscaler_for(picture: Picture) -> Upscaler:
        factor = size.factor(picture.height, picture.width)
        return upscaler_for_scale(LARGEST_SCALE_BY_X2 if factor <= LARGEST_SCALE_BY_X2 else DEFAULT_SCALE)

    return upscaler_for


def _work(
    plan: Plan, settings: Settings, report: Report, options: dict[str, Any], make: Callable[[], UpscalerFor]
) -> None:
    from upscale_cli.upscaling import batch

    try:
        outcomes = batch.run(plan.jobs, make(), settings, report.start, report.tile)
        with contextlib.closing(report), contextlib.closing(outcomes):  # type: ignore[type-var]
            for outcome in outcomes:
                report.outcome(outcome)
    except KeyboardInterrupt:
        report.interrupted(replaces=options["overwrite"])
        raise


def _exit_with(report: Report, pictures: int) -> None:
    """A single picture's error is the command's own; of several, exit code 1 says that some failed."""
    if not report.failures:
        return
    error = report.failures[0].error
    assert error is not None
    if pictures == 1:
        raise error
    raise click.exceptions.Exit(1)

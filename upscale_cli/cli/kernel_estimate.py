"""``upscale kernel``: the estimate, of one picture or of many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from upscale_cli.cli.report import chosen_style
from upscale_cli.errors import OutputError, UpscaleError, UsageError

if TYPE_CHECKING:
    from upscale_cli.cli.kernel_report import KernelReport
    from upscale_cli.images.formats import Format
    from upscale_cli.kernel_estimation.estimate import Settings
    from upscale_cli.kernels.blur_kernel import BlurKernel
    from upscale_cli.upscaling.job import Job
    from upscale_cli.upscaling.plan import Plan

KINDS = ("mat", "npy", "json")
DEFAULT_KIND = "mat"


@click.command("estimate", no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-s", "--scale", type=click.Choice(["2", "4"]), default="2", show_default=True, help="How much smaller it became."
)
@click.option("-o", "--output", metavar="PATH", help="FILE.mat, .npy or .json for one picture, else a folder.")
@click.option("--format", "kind", type=click.Choice(KINDS), help="Of kernel files.  [default: mat]")
@click.option(
    "--prior",
    type=click.Choice(["none", "gaussian"]),
    default="none",
    show_default=True,
    help="gaussian: the kernel is an anisotropic Gaussian, found in a second.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Average of several seeds, and how far they agree.",
)
@click.option("--real", is_flag=True, help="A camera picture: its noise is hidden from the discriminator.")
@click.option("--iterations", type=click.IntRange(1), help="Steps of KernelGAN.  [default: 3000]")
@click.option(
    "--upscale", is_flag=True, help="Then enlarge the picture with it, by a network trained on the picture itself."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same kernel.")
@click.option("-r", "--recursive", is_flag=True, help="Look into subfolders; the result has the same tree.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per picture.")
def estimate(paths: tuple[str, ...], **options: Any) -> None:
    """The kernel that pictures were shrunk with, by KernelGAN; a drawing of it lies beside its file.

    For a scale of 4 the kernel of 2 is applied twice. Of folders, pictures whose kernels exist are left out, so that a
    repeated run goes on. With --upscale the enlarged picture, photo_x2.png, lies beside the kernel; `upscale photo.png
    --kernel FILE` makes it too, with more options.
    """
    if options["prior"] == "gaussian" and options["iterations"]:
        raise UsageError("--prior gaussian needs no iterations.", "Leave out one of them.")
    if options["prior"] == "gaussian" and options["real"]:
        raise UsageError("--prior gaussian finds the noise of any picture.", "Leave out --real.")
    kind = _kind(options)
    plan = _plan(paths, options, kind)
    if options["threads"]:
        import torch

        torch.set_num_threads(options["threads"])
    _do_all(plan, _settings(options), kind, options)


def _kind(options: dict[str, Any]) -> str:
    """The extension of kernel files, without its dot."""
    named = Path(options["output"] or "").suffix.lower().removeprefix(".")
    if named not in KINDS or Path(options["output"]).is_dir():
        return options["kind"] or DEFAULT_KIND
    if options["kind"] not in (None, named):
        raise UsageError(f"{options['output']} and --format {options['kind']} contradict each other.", "Leave one out.")
    return named


def _plan(paths: tuple[str, ...], options: dict[str, Any], kind: str) -> Plan:
    """Targets are the drawings; each has its kernel's file beside it. Raises UpscaleErrors, before any work."""
    from upscale_cli.images import formats
    from upscale_cli.upscaling import plan as plans

    drawing = _drawing_named(options["output"], kind)
    naming = plans.Naming("kernel", drawing, None, formats.by_name("png"), options["recursive"], "overwrite")
    plan = plans.plan(paths, naming)
    if options["overwrite"]:
        return plan
    if len(paths) == len(plan.jobs) == 1 and not Path(paths[0]).is_dir():
        (job,) = plan.jobs
        for there in (file for file in (_file(job, kind), job.target) if file.exists()):
            raise OutputError(f"{there} exists already.", "Add --overwrite, or choose another name with -o.")
        if options["upscale"] and _enlarged(job, options).exists():
            raise OutputError(f"{_enlarged(job, options)} exists already.", "Add --overwrite, or leave out --upscale.")
    skipped = tuple(job for job in plan.jobs if _file(job, kind).exists())
    return replace(plan, jobs=tuple(job for job in plan.jobs if job not in skipped), skipped=skipped)


def _is_single(plan: Plan) -> bool:
    return len(plan.jobs) == 1 and not plan.skipped


def _drawing_named(output: str | None, kind: str) -> str | None:
    if output is None or Path(output).is_dir() or not Path(output).suffix:
        return output
    if Path(output).suffix.lower() != f".{kind}":
        raise UsageError(f"{output} is no name of a kernel file.", "Call it .npy, .mat or .json.")
    return str(Path(output).with_suffix(".png"))


def _file(job: Job, kind: str) -> Path:
    return job.target.with_suffix(f".{kind}")


def _enlarged(job: Job, options: dict[str, Any]) -> Path:
    """Beside the kernel: photo_x2.png."""
    extension = job.source.suffix or ".png"
    return job.target.with_name(f"{job.source.stem}_x{options['scale']}{extension}")


def _settings(options: dict[str, Any]) -> Settings:
    from upscale_cli.kernel_estimation.estimate import Settings

    settings = Settings(
        scale=int(options["scale"]),
        seed=options["seed"],
        runs=options["runs"],
        prior=options["prior"],
        real=options["real"],
    )
    return replace(settings, iterations=options["iterations"]) if options["iterations"] else settings


def _do_all(plan: Plan, settings: Settings, kind: str, options: dict[str, Any]) -> None:
    """One bad picture does not stop the others; a single one's error is the command's own."""
    from upscale_cli.cli.kernel_report import KernelReport

    report = KernelReport(chosen_style(options["quiet"], options["as_json"]), len(plan.jobs), settings)
    report.tell(plan.notices)
    failures = 0
    for job in (*plan.jobs, *plan.skipped):
        try:
            if job in plan.skipped:
                _draw_missing(job, _file(job, kind))
            else:
                _do(job, settings, _file(job, kind), report, options["overwrite"])
            if options["upscale"]:
                _enlarge(job, _file(job, kind), options)
        except UpscaleError as error:
            if _is_single(plan):
                raise
            failures += 1
            report.failed(job.source, error)
        finally:
            report.close()
    report.summary(plan)
    if failures:
        raise click.exceptions.Exit(1)


def _draw_missing(job: Job, kernel: Path) -> None:
    """Draw the kernel of a run that ended before its drawing was written."""
    from upscale_cli.images import formats
    from upscale_cli.kernels.files import read_kernel

    if not job.target.exists():
        write_drawing(read_kernel(kernel), job.target, formats.by_name("png"))


def _do(job: Job, settings: Settings, target: Path, report: KernelReport, overwrite: bool) -> None:
    from upscale_cli.images import formats
    from upscale_cli.images.read import read_picture
    from upscale_cli.kernel_estimation.estimate import estimate as estimated
    from upscale_cli.kernels.files import write_kernel

    picture = read_picture(job.source)
    report.start(job.source)
    found = estimated(picture, settings, report.step, name=str(job.source))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_kernel(target, found.kernel)
    if overwrite or not job.target.exists():
        write_drawing(found.kernel, job.target, formats.by_name("png"))
    report.found(job.source, target, found)


def write_drawing(kernel: BlurKernel, target: Path, kind: Format) -> None:
    """A picture of ``kernel``, labelled."""
    from upscale_cli.images.picture import Picture
    from upscale_cli.images.sheet import contact_sheet
    from upscale_cli.images.write import WriteOptions, write_image
    from upscale_cli.kernels.drawing import label, squares

    write_image(contact_sheet([Picture(squares(kernel.values))], [label(kernel)]), target, WriteOptions(kind))


def _enlarge(job: Job, kernel: Path, options: dict[str, Any]) -> None:
    """As ``upscale run --kernel`` does. Leaves what is there already, but for --overwrite."""
    from upscale_cli.cli.report import DownloadBar, Report
    from upscale_cli.cli.run import enlarge_all
    from upscale_cli.upscaling.job import Job
    from upscale_cli.upscaling.options import UpscaleOptions

    target = _enlarged(job, options)
    if target.exists() and not options["overwrite"]:
        return
    asked = UpscaleOptions(
        kernel=kernel, scale=float(options["scale"]), seed=options["seed"], threads=options["threads"]
    )
    report = Report(chosen_style(options["quiet"], options["as_json"]), 1)
    enlarge_all((Job(job.source, target),), asked, report, DownloadBar(options["quiet"]), options["overwrite"])
    for failure in report.failures:
        assert failure.error is not None
        raise failure.error

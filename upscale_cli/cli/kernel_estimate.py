"""``upscale kernel estimate``: the kernels of one picture or of many."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.kernel_network import write_network
from upscale_cli.cli.options import overwrite_option, style_options, threads_option
from upscale_cli.cli.outputs import require_file
from upscale_cli.cli.records import KernelRecord
from upscale_cli.errors import UpscaleError, UsageError

if TYPE_CHECKING:
    from upscale_cli.images.formats import Format
    from upscale_cli.kernel_estimation.estimate import Estimate, Prior, Settings
    from upscale_cli.kernel_estimation.estimate import Progress as Step
    from upscale_cli.kernels.blur_kernel import BlurKernel
    from upscale_cli.upscaling.job import Job
    from upscale_cli.upscaling.plan import Plan

KINDS = ("mat", "npy", "json")
SHOWN_EVERY = 25  # iterations


@dataclass(frozen=True)
class Request:
    """What holds for all pictures of a run: ``kind`` is the extension of kernel files, without its dot."""

    settings: Settings
    kind: str
    upscale: bool
    overwrite: bool
    threads: int | None

    def kernel_file(self, job: Job) -> Path:
        """Return the file of the kernel; the job's target is its drawing."""
        return job.target.with_suffix(f".{self.kind}")

    def enlarged(self, job: Job) -> Path:
        """Return the file of the enlarged picture, beside the kernel: photo_x2.png."""
        return job.target.with_name(f"{job.source.stem}_x{self.settings.scale}{job.source.suffix or '.png'}")


@click.command("estimate", no_args_is_help=True)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-s", "--scale", type=click.Choice(["2", "4"]), default="2", show_default=True, help="Scale of downsampling."
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
@click.option("--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="Average of as many seeds.")
@click.option("--real", is_flag=True, help="A camera picture: its noise is hidden from the discriminator.")
@click.option("--iterations", type=click.IntRange(1), help="Steps of KernelGAN.  [default: 3000]")
@click.option("--network", is_flag=True, help="Write the network of `upscale --kernel auto`, and no kernel.")
@click.option("--upscale", is_flag=True, help="Then enlarge the picture, by a network trained on it (ZSSR).")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same kernel.")
@click.option("-r", "--recursive", is_flag=True, help="Look into subfolders; the result has the same tree.")
@threads_option
@overwrite_option
@style_options(json_help="One JSON object per picture.")
def estimate(
    *,
    paths: tuple[str, ...],
    scale: Literal["2", "4"],
    output: str | None,
    kind: str | None,
    prior: Prior,
    runs: int,
    real: bool,
    iterations: int | None,
    network: bool,
    upscale: bool,
    seed: int,
    recursive: bool,
    threads: int | None,
    overwrite: bool,
    style: Style,
) -> None:
    """Estimate the kernels of pictures by KernelGAN.

    Each is drawn beside its file. For a scale of 4 the kernel of 2 is applied twice. Of folders, pictures whose kernels
    exist are left out, so that a repeated run continues. With --upscale the enlarged picture, photo_x2.png, is written
    beside the kernel; `upscale photo.png --kernel FILE --zssr` makes it too, with more options.
    """
    if network:
        given = {"--format": kind, "--runs": runs > 1, "--real": real, "--iterations": iterations, "--upscale": upscale}
        for option in (name for name, value in given.items() if value):
            raise UsageError(f"--network writes no kernel, so {option} would do nothing.", "Leave it out.")
        write_network(paths, int(scale), output, overwrite, Console(style))
        return
    if prior == "gaussian" and iterations:
        raise UsageError("--prior gaussian needs no iterations.", "Leave out one of them.")
    if prior == "gaussian" and real:
        raise UsageError("--prior gaussian finds the noise of any picture.", "Leave out --real.")
    import torch

    from upscale_cli.kernel_estimation.estimate import Settings

    settings = Settings(int(scale), iterations or Settings.iterations, seed, runs, prior, real)
    file = Path(output) if output and Path(output).suffix and not Path(output).is_dir() else None
    request = Request(settings, _kind(file, kind), upscale, overwrite, threads)
    plan = _plan(paths, str(file.with_suffix(".png")) if file else output, recursive, request)
    if threads:
        torch.set_num_threads(threads)
    _do_all(plan, request, Console(style, len(plan.jobs)))


def _kind(file: Path | None, kind: str | None) -> str:
    """Return the extension of kernel files that -o or --format name. Raises UsageError."""
    named = file.suffix.lower().removeprefix(".") if file else kind or KINDS[0]
    if named not in KINDS:
        raise UsageError(f"{file} has no extension of a kernel file.", "Name it .mat, .npy or .json.")
    if kind not in (None, named):
        raise UsageError(f"{file} and --format {kind} contradict each other.", "Leave one out.")
    return named


def _plan(paths: tuple[str, ...], drawing: str | None, recursive: bool, request: Request) -> Plan:
    """Return the jobs: their targets are the drawings. Raises UpscaleError kinds, before any work."""
    from upscale_cli.images import formats
    from upscale_cli.upscaling.naming import Naming
    from upscale_cli.upscaling.plan import plan as planned

    naming = Naming("kernel", drawing, None, formats.by_name("png"), recursive, "overwrite")
    plan = planned(paths, naming)
    if request.overwrite:
        return plan
    if len(paths) == len(plan.jobs) == 1 and not Path(paths[0]).is_dir():
        (job,) = plan.jobs
        for file in (request.kernel_file(job), job.target, *([request.enlarged(job)] if request.upscale else [])):
            require_file(file, overwrite=False, makes_folder=True)
    there = {job: request.kernel_file(job).exists() for job in plan.jobs}
    jobs, skipped = (tuple(job for job in plan.jobs if there[job] is done) for done in (False, True))
    return replace(plan, jobs=jobs, skipped=skipped)


def _do_all(plan: Plan, request: Request, console: Console) -> None:
    """Do all jobs: a picture that fails does not stop the others."""
    from upscale_cli.kernels.files import read_kernel

    for notice in plan.notices:
        console.notify(notice)
    new = set(plan.jobs)
    for job in (*plan.jobs, *plan.skipped):
        file, is_new = request.kernel_file(job), job in new
        try:
            if is_new:
                _estimate(job, file, request, console)
            elif not job.target.exists():  # a run ended between kernel and drawing
                write_drawing(read_kernel(file), job.target)
            if request.upscale:
                _enlarge(job, file, request, console)
            if is_new:
                console.ended(job)
            else:
                console.record(KernelRecord(str(job.source), str(file), "skipped", None))
        except UpscaleError as error:
            console.ended(job, error=error)
            of_job = str(job.source), str(file)
            console.record(KernelRecord(*of_job, "failed", None, error=str(error), code=error.exit_code))
    console.conclude(plan)


def _estimate(job: Job, file: Path, request: Request, console: Console) -> None:
    from upscale_cli.images.read import read_picture
    from upscale_cli.kernel_estimation.estimate import estimate as estimated
    from upscale_cli.kernels.files import write_kernel
    from upscale_cli.upscaling.engines.engine import Progress

    settings, began = request.settings, time.perf_counter()
    picture = read_picture(job.source)
    console.started(job)

    def on_step(step: Step) -> None:
        if step.step.iteration % SHOWN_EVERY == 0:
            share = (step.run * settings.iterations + step.step.iteration) / (settings.runs * settings.iterations)
            console.progress(Progress(job, min(share, 1.0), _detail(step, settings.runs), 0.0))

    found = estimated(picture, settings, on_step, name=str(job.source))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_kernel(file, found.kernel)
    if request.overwrite or not job.target.exists():
        write_drawing(found.kernel, job.target)
    _show(job, file, found, round(time.perf_counter() - began, 3), console)


def _detail(step: Step, runs: int) -> str:
    """Return the loss, and the kernel's peak and standard deviations in HR pixels."""
    from upscale_cli.kernels.drawing import axes

    values = step.step.kernel.double().clamp(min=0).numpy()
    run = f"run {step.run + 1}/{runs}, " if runs > 1 else ""
    if not values.sum() > 0:
        return f"{run}loss {step.step.loss:.3f}"
    long, short, _ = axes(values)
    return f"{run}loss {step.step.loss:.3f}, {long:.1f} x {short:.1f} px, peak {values.max():.3f}"


def _show(job: Job, file: Path, found: Estimate, seconds: float, console: Console) -> None:
    from upscale_cli.kernels.drawing import axes, width
    from upscale_cli.kernels.similarity import to_bicubic
    from upscale_cli.kernels.values import covariance

    kernel = found.kernel
    long, short, angle = axes(kernel.values)
    (yy, yx), (_, xx) = covariance(kernel.values).tolist()
    record = KernelRecord(
        source=str(job.source),
        target=str(file),
        status="done",
        agreement=found.agreement,
        scale=kernel.scale,
        size=kernel.size,
        covariance=((yy, yx), (yx, xx)),
        deviations=(long, short),
        angle=angle,
        bicubic_similarity=to_bicubic(kernel),
        seconds=seconds,
    )
    facts = f"{width(kernel)}, covariance [[{yy:.2f}, {yx:.2f}], [{yx:.2f}, {xx:.2f}]]"
    facts += f"; similarity to bicubic {record.bicubic_similarity:.3f}"
    facts += "" if found.agreement is None else f"; agreement of the runs {found.agreement:.3f}"
    console.record(record, f"{job.source} -> {file}, {seconds:.1f} s", f"  {facts}")


def write_drawing(kernel: BlurKernel, target: Path, kind: Format | None = None) -> None:
    """Write a labelled picture of ``kernel``, by default as PNG."""
    from upscale_cli.images import formats
    from upscale_cli.images.picture import Picture
    from upscale_cli.images.sheet import contact_sheet
    from upscale_cli.images.write import WriteOptions, write_image
    from upscale_cli.kernels.drawing import label, squares

    sheet = contact_sheet([Picture(squares(kernel.values))], [label(kernel)])
    write_image(sheet, target, WriteOptions(kind or formats.by_name("png")))


def _enlarge(job: Job, kernel: Path, request: Request, console: Console) -> None:
    """Enlarge the picture as ``upscale --kernel`` does; an existing result is left, unless it may be replaced."""
    from upscale_cli.cli.pictures import enlarge_all
    from upscale_cli.upscaling.job import Job
    from upscale_cli.upscaling.options import UpscaleOptions

    target, settings = request.enlarged(job), request.settings
    if target.exists() and not request.overwrite:
        return
    asked = UpscaleOptions(
        kernel=kernel, zssr=True, scale=float(settings.scale), seed=settings.seed, threads=request.threads
    )
    inner = Console(console.style)
    enlarge_all([Job(job.source, target, replaces=request.overwrite)], asked, inner, request.overwrite)
    for error in inner.failures:
        raise error

"""What estimating kernels tells: a bar with the loss and the kernel as it grows, and what was found."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from tqdm import tqdm

from upscale_cli.cli.report import Style, in_words
from upscale_cli.errors import UpscaleError

if TYPE_CHECKING:
    from upscale_cli.kernel_estimation.estimate import Estimate, Progress, Settings
    from upscale_cli.notices import Notice
    from upscale_cli.upscaling.plan import Plan

TOLD_EVERY = 25  # iterations


class KernelReport:
    """Results go to stdout, everything else to stderr."""

    def __init__(self, style: Style, pictures: int, settings: Settings) -> None:
        self._style, self._pictures, self._settings = style, pictures, settings
        self._bar: tqdm[NoReturn] | None = None
        self._started = 0.0
        self._done = 0
        self._failures: list[str] = []

    def tell(self, notices: tuple[Notice, ...]) -> None:
        """Sentences the user should read."""
        for notice in notices if self._style != "quiet" else ():
            click.echo(in_words(notice), err=True)

    def start(self, source: Path) -> None:
        self._started = time.perf_counter()
        if self._style == "bar" and self._settings.prior == "none":
            steps = self._settings.runs * self._settings.iterations
            self._bar = tqdm(total=steps, desc=source.name, file=sys.stderr, dynamic_ncols=True, leave=False)

    def step(self, progress: Progress) -> None:
        if self._bar is None:
            return
        self._bar.update()
        if progress.step.iteration % TOLD_EVERY == 0:
            self._bar.set_postfix_str(_live(progress, self._settings.runs), refresh=False)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def found(self, source: Path, target: Path, estimate: Estimate) -> None:
        self.close()
        self._done += 1
        seconds = time.perf_counter() - self._started
        if self._style == "json":
            click.echo(json.dumps(_as_json(source, target, estimate, seconds)))
        elif self._style != "quiet":
            click.echo(f"{source} -> {target}, {seconds:.1f} s\n  {_in_words(estimate)}")

    def failed(self, source: Path, error: UpscaleError) -> None:
        self.close()
        self._failures.append(str(error))
        if self._style == "json":
            click.echo(json.dumps({"source": str(source), "status": "failed", "error": str(error)}))

    def summary(self, plan: Plan) -> None:
        """Of several pictures: counts, and every failure."""
        if self._style in ("bar", "lines") and (self._pictures > 1 or plan.skipped or plan.ignored):
            counts = [f"{self._done} done"]
            counts += [f"{len(plan.skipped)} already there (--overwrite does them again)"] if plan.skipped else []
            counts += [f"{len(self._failures)} failed"] if self._failures else []
            counts += [f"{plan.ignored} files are no pictures"] if plan.ignored else []
            click.echo(", ".join(counts) + ".")
        for failure in self._failures:
            click.echo(f"Failed: {failure}", err=True)


def _live(progress: Progress, runs: int) -> str:
    """Loss, and the kernel's peak and deviations in HR pixels."""
    from upscale_cli.kernels.drawing import axes

    values = progress.step.kernel.double().clamp(min=0).numpy()
    run = f"run {progress.run + 1}/{runs}, " if runs > 1 else ""
    if not values.sum() > 0:
        return f"{run}loss {progress.step.loss:.3f}"
    long, short, _ = axes(values)
    return f"{run}loss {progress.step.loss:.3f}, peak {values.max():.3f}, {long:.1f} x {short:.1f} px"


def _in_words(estimate: Estimate) -> str:
    from upscale_cli.kernels.drawing import width
    from upscale_cli.kernels.values import covariance

    (yy, yx), (_, xx) = covariance(estimate.kernel.values)
    spread = "" if estimate.agreement is None else f"; agreement of the runs {estimate.agreement:.3f}"
    return (
        f"{width(estimate.kernel)}, covariance [[{yy:.2f}, {yx:.2f}], [{yx:.2f}, {xx:.2f}]]; "
        f"likeness to bicubic {_likeness(estimate):.3f}{spread}"
    )


def _likeness(estimate: Estimate) -> float:
    from upscale_cli.kernels import blur_kernel
    from upscale_cli.kernels.similarity import correlation

    return correlation(estimate.kernel.values, blur_kernel.bicubic(estimate.kernel.scale).values)


def _as_json(source: Path, target: Path, estimate: Estimate, seconds: float) -> dict[str, object]:
    from upscale_cli.kernels.drawing import axes
    from upscale_cli.kernels.values import covariance

    kernel = estimate.kernel
    long, short, angle = axes(kernel.values)
    return {
        "source": str(source),
        "target": str(target),
        "status": "done",
        "scale": kernel.scale,
        "size": kernel.size,
        "covariance": covariance(kernel.values).tolist(),
        "deviations": [long, short],
        "angle": angle,
        "bicubic_likeness": _likeness(estimate),
        "agreement": estimate.agreement,
        "seconds": round(seconds, 3),
    }

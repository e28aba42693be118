"""``upscale train``: from folders of photographs to a weights file that ``-m`` runs."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from upscale_cli import atomic
from upscale_cli.cli.bar import Bar
from upscale_cli.cli.console import Console, Style, duration
from upscale_cli.cli.options import Function, Heading, path, style_options, threads_option
from upscale_cli.cli.records import StepRecord, ValidationRecord
from upscale_cli.errors import UsageError
from upscale_cli.notices import note

if TYPE_CHECKING:
    from upscale_cli.training.recipe import Recipe
    from upscale_cli.training.validation import Figures


def _short(key: str, *flags: str, **settings: Any) -> Callable[[Function], Function]:
    """Add an option that is short for --set KEY=VALUE; ``shortcuts`` collects their values by key, paths absolute."""

    def absolute(text: str) -> str:
        is_name = key == "start" and not Path(text).is_file()
        return text if is_name else str(Path(text).absolute())

    def collect(context: click.Context, option: click.Parameter, given: tuple[str, ...] | str | int | None) -> None:
        shortcuts: dict[str, object] = context.params.setdefault("shortcuts", {})
        if isinstance(given, str):
            given = absolute(given) if given else None
        if given not in (None, ()):
            shortcuts[key] = [absolute(text) for text in given] if isinstance(given, tuple) else given

    return click.option(*flags, expose_value=False, callback=collect, **settings)


@click.command(cls=Heading, no_args_is_help=True)
@click.argument("recipe", required=False)
@_short(
    "data.hr",
    "--hr",
    multiple=True,
    metavar="DIR",
    help="Folder of sharp pictures, searched with its subfolders; repeatable.",
)
@_short(
    "data.lr",
    "--lr",
    multiple=True,
    metavar="DIR",
    help="Their LR pictures, one folder per --hr.  [default: made from HR]",
)
@_short(
    "degradation.kernels",
    "--kernel",
    metavar="FILE|DIR",
    help="Degrade with these blur kernels (see `upscale kernel`).",
)
@_short("start", "--from", "start", metavar="FILE|NAME", help="Weights to start from; `scratch` for none.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the recipe, e.g. data.batch=8; repeatable."
)
@_short("schedule.iterations", "--iterations", type=click.IntRange(1), help="Short for --set schedule.iterations=N.")
@_short("run.seed", "--seed", type=click.IntRange(0), help="Short for --set run.seed=N.")
@_short("validation.hr", "--validate", metavar="DIR", help="HR pictures to measure on, never to learn from.")
@_short("validation.lr", "--validate-lr", metavar="DIR", help="Their LR pictures.  [default: MATLAB's bicubic of HR]")
@click.option("-o", "--output", type=path(), help="Folder of the run.  [default: runs/RECIPE]")
@click.option("--resume", type=path(), metavar="DIR", help="Go on with the run in DIR, by its own recipe.")
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds a run.")
@click.option("--list", "as_list", is_flag=True, help="List the recipes.")
@click.option("--show", is_flag=True, help="Print the whole recipe, changes included, and do nothing.")
@click.option("--check", "only_check", is_flag=True, help="Check the recipe, folders and memory, and do nothing.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@threads_option
@style_options(json_help="One JSON object per run.log_every iterations, and one per validation.")
def train(
    *,
    recipe: str | None,
    shortcuts: dict[str, object],
    settings: tuple[str, ...],
    output: Path | None,
    resume: Path | None,
    overwrite: bool,
    as_list: bool,
    show: bool,
    only_check: bool,
    device: str,
    threads: int | None,
    style: Style,
) -> None:
    """Train a network by the RECIPE of a paper, or by a .toml file of your own.

    The same command goes on with a run that was stopped. The folder of the run holds last.safetensors for
    `upscale -m`, the best network by validation, a table and a curve of the losses, and sample pictures.

    \b
    upscale train compact --hr photos/ --validate Set5/HR -o runs/small
    upscale train esrgan --from esrgan-psnr-x4 --hr photos/ --set data.batch=4
    upscale train realesrgan --from realesrgan-x4plus --hr photos/
    upscale train my.toml --resume runs/small
    torchrun --nproc-per-node 4 -m upscale_cli train esrgan-psnr --hr photos/
    """
    from upscale_cli.training.recipe_file import load_recipe, names, to_toml

    console = Console(style)
    if as_list:
        width = max(map(len, names())) + 1
        for listed in map(load_recipe, names()):
            start = f"; starts from {listed.starts_from}" if listed.starts_from else ""
            console.result(f"{listed.name:<{width}}{listed.about}{start}")
            console.result(f"{'':<{width}}{listed.paper}")
        return
    if "degradation.kernels" in shortcuts:
        shortcuts["degradation.kind"] = "kernels"
    changes = [*(f"{key}={json.dumps(value)}" for key, value in shortcuts.items()), *settings]
    if resume and (output or overwrite):
        raise UsageError("--resume goes on in its own folder.", "Leave out -o and --overwrite.")
    if not resume and recipe is None:
        raise UsageError("No recipe was named.", "See `upscale train --list`.")
    chosen = _resumed(resume, recipe, changes) if resume else load_recipe(str(recipe), changes)
    folder = resume or output or Path("runs") / chosen.name
    if show:
        click.echo(to_toml(chosen), nl=False)
    elif only_check:
        from upscale_cli import device as devices
        from upscale_cli.training import setup

        setup.check_all(chosen, devices.select(device))
        console.tell(f"{chosen.name} can run: its settings, folders and memory are in order.")
    else:
        atomic.require_folder(folder)
        _train(chosen, folder, overwrite, device, threads, console)


train.headings = {
    "Pictures": "hr lr kernel validate validate_lr",
    "Training": "start settings iterations seed",
    "The run": "output resume overwrite device threads",
    "Recipes": "as_list show only_check",
}


def _resumed(folder: Path, recipe: str | None, changes: list[str]) -> Recipe:
    """Return the recipe of the run in ``folder``, with ``changes``."""
    from upscale_cli.training.recipe_checks import checked
    from upscale_cli.training.recipe_file import changed, to_table
    from upscale_cli.training.state import CHECKPOINT, latest_checkpoint, open_checkpoint

    stored = open_checkpoint(latest_checkpoint(folder) or folder / CHECKPOINT).recipe
    if recipe is not None and Path(recipe).stem != stored.name:
        raise UsageError(f"{folder} holds a run of {stored.name}.", "Leave out the recipe.")
    return checked(changed(to_table(stored), changes), stored.name)


def _train(recipe: Recipe, folder: Path, anew: bool, device: str, threads: int | None, console: Console) -> None:
    import torch

    from upscale_cli import device as devices
    from upscale_cli.training import distributed, loop, setup

    if threads is not None:
        torch.set_num_threads(threads)
    chosen = devices.select(distributed.local_device() or device if device == "auto" else device)
    devices.keep_freed_memory()
    total = recipe.schedule.iterations
    with distributed.joined(chosen) as team:
        if not team.leads:
            console = Console("quiet")
        training = setup.prepare(recipe, folder, chosen, team, console.download, console.notify, anew)
        begun = training.state.step
        if begun >= total:
            console.notify(note(f"{folder} is trained to its {begun} iterations already."))
            return
        with _stopping() as stop, console.bar(total, begun) as bar:
            progress = _Progress(recipe, console, bar, begun)
            finished = loop.run(training, progress.step, progress.validation, stop)
    if not finished:
        onward = f"upscale train --resume {folder} goes on from there."
        console.notify(note(f"Stopped after iteration {training.state.step}: {onward}"))
        raise KeyboardInterrupt
    best = folder / "best.safetensors"
    network = best if training.cases and best.is_file() else folder / "last.safetensors"
    console.tell(f"Trained in {duration(console.seconds)}: upscale PICTURE -m {network}")


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C or SIGTERM came: the first ends the run after its step, a second one at once."""
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Progress:
    """Reports on a run: losses, smoothed, and iterations per second."""

    def __init__(self, recipe: Recipe, console: Console, bar: Bar, begun: int) -> None:
        self._recipe, self._console, self._bar = recipe, console, bar
        self._smooth: dict[str, float] = {}
        self._mark = (begun, time.monotonic())  # step and time of the last line

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        """Report on an iteration."""
        for name, value in losses.items():
            self._smooth[name] = 0.98 * self._smooth.get(name, value) + 0.02 * value
        total = self._recipe.schedule.iterations
        before, then = self._mark
        rate = (step - before) / max(1e-9, time.monotonic() - then)
        shown = [f"{name} {value:.4g}" for name, value in self._smooth.items()]
        if self._console.style == "bar":
            self._bar.show(step, f"{step}/{total}", [self._recipe.name], [*shown, f"{rate:.2f} it/s"])
        elif step % self._recipe.run.log_every == 0:
            self._mark = (step, time.monotonic())
            left = duration((total - step) / max(1e-9, rate))
            words = f"{step}/{total}: {', '.join(shown)}; {rate:.2f} it/s, {left} left"
            self._console.record(StepRecord(step, round(rate, 3), self._smooth), words)

    def validation(self, step: int, figures: Figures, best: bool) -> None:
        """Report on a validation."""
        words = f"{step}: PSNR {figures.psnr_y:.3f} dB, SSIM {figures.ssim_y:.4f} on Y"
        words += ", the best so far" if best else ""
        self._console.record(ValidationRecord(step, figures.psnr_y, figures.ssim_y, best), words)

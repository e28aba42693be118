"""``upscale train``: from folders of photographs to a weights file that ``-m`` runs."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from tqdm import tqdm

from upscale_cli.cli.options import Heading
from upscale_cli.cli.report import DownloadBar, in_words
from upscale_cli.errors import UsageError
from upscale_cli.notices import Notice, note

if TYPE_CHECKING:
    from upscale_cli.training.recipe import Recipe
    from upscale_cli.training.validation import Figures


@click.command(cls=Heading, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe", required=False)
@click.option(
    "--hr", multiple=True, metavar="DIR", help="Folder of sharp pictures, searched with its subfolders; repeatable."
)
@click.option(
    "--lr", multiple=True, metavar="DIR", help="Their LR pictures, one folder per --hr.  [default: made from HR]"
)
@click.option("--kernel", metavar="FILE|DIR", help="Shrink with these blur kernels (see `upscale kernel`).")
@click.option("--from", "start", metavar="FILE|NAME", help="Weights to start from; `scratch` for none.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the recipe, e.g. data.batch=8; repeatable."
)
@click.option("--iterations", type=click.IntRange(1), help="Short for --set schedule.iterations=N.")
@click.option("--seed", type=click.IntRange(0), help="Short for --set run.seed=N.")
@click.option("--validate", "validation_hr", metavar="DIR", help="HR pictures to measure on, never to learn from.")
@click.option(
    "--validate-lr", "validation_lr", metavar="DIR", help="Their LR pictures.  [default: MATLAB's bicubic of HR]"
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/RECIPE]")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the run in DIR, by its own recipe."
)
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds a run.")
@click.option("--list", "as_list", is_flag=True, help="List the recipes.")
@click.option("--show", is_flag=True, help="Print the whole recipe, changes included, and do nothing.")
@click.option("--check", "only_check", is_flag=True, help="Check the recipe, folders and memory, and do nothing.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]")
@click.option("-q", "--quiet", is_flag=True, help="Tell only of errors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per note and validation.")
def train(**options: Any) -> None:
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
    if options["as_list"]:
        _list()
        return
    recipe = _recipe(options)
    if options["show"]:
        from upscale_cli.training.recipe_file import to_toml

        click.echo(to_toml(recipe), nl=False)
        return
    _train(recipe, options)


train.headings = {
    "Pictures": ("hr", "lr", "kernel", "validation_hr", "validation_lr"),
    "Training": ("start", "settings", "iterations", "seed"),
    "The run": ("output", "resume", "overwrite"),
    "Recipes": ("as_list", "show", "only_check"),
}


def _list() -> None:
    from upscale_cli.training.recipe_file import load_recipe, names

    recipes = [load_recipe(name) for name in names()]
    for recipe in recipes:
        start = f"; starts from {recipe.starts_from}" if recipe.starts_from else ""
        click.echo(f"{recipe.name:<16}{recipe.about}{start}\n{'':<16}{recipe.paper}")


def _recipe(options: Mapping[str, Any]) -> Recipe:
    """The recipe with all changes, of its name or of the run that goes on."""
    from upscale_cli.training.recipe import checked
    from upscale_cli.training.recipe_file import changed, load_recipe, to_table
    from upscale_cli.training.state import CHECKPOINT, latest_checkpoint, open_checkpoint

    settings = [*_as_settings(options), *options["settings"]]
    if options["resume"] is not None:
        if options["output"] is not None or options["overwrite"]:
            raise UsageError("--resume goes on in its own folder.", "Leave out -o and --overwrite.")
        folder = options["resume"]
        stored = open_checkpoint(latest_checkpoint(folder) or folder / CHECKPOINT).recipe
        if options["recipe"] is not None and Path(options["recipe"]).stem != stored.name:
            raise UsageError(f"{options['resume']} holds a run of {stored.name}.", "Leave out the recipe.")
        return checked(changed(to_table(stored), settings), stored.name)
    if options["recipe"] is None:
        raise UsageError("No recipe was named.", "See `upscale train --list`.")
    return load_recipe(options["recipe"], settings)


def _as_settings(options: Mapping[str, Any]) -> Iterator[str]:
    """The options that are short for settings, as settings."""
    for key, option in (("data.hr", "hr"), ("data.lr", "lr")):
        if options[option]:
            yield f"{key}={json.dumps([str(Path(folder).absolute()) for folder in options[option]])}"
    for key, option in (("validation.hr", "validation_hr"), ("validation.lr", "validation_lr")):
        if options[option]:
            yield f"{key}={json.dumps(str(Path(options[option]).absolute()))}"
    if options["kernel"]:
        yield 'degradation.kind="kernels"'
        yield f"degradation.kernels={json.dumps(str(Path(options['kernel']).absolute()))}"
    if options["start"]:
        start = options["start"]
        yield f"start={json.dumps(str(Path(start).absolute()) if Path(start).is_file() else start)}"
    for key, option in (("schedule.iterations", "iterations"), ("run.seed", "seed")):
        if options[option] is not None:
            yield f"{key}={options[option]}"


def _train(recipe: Recipe, options: Mapping[str, Any]) -> None:
    import torch

    from upscale_cli import device as devices
    from upscale_cli.training import distributed, loop, setup

    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    name = options["device"]
    device = devices.select(distributed.local_device() or name if name == "auto" else name)
    if options["only_check"]:
        setup.check_all(recipe, device)
        click.echo(f"{recipe.name} can run: its settings, folders and memory are in order.")
        return
    devices.keep_freed_memory()
    folder = options["resume"] or options["output"] or Path("runs") / recipe.name
    with distributed.joined(device) as team:
        teller = Teller(recipe, options["quiet"] or not team.leads, options["as_json"])
        progress = DownloadBar(options["quiet"])
        training = setup.prepare(recipe, folder, device, team, progress, teller.notify, options["overwrite"])
        if training.state.step >= recipe.schedule.iterations:
            teller.notify(note(f"{folder} is trained to its {training.state.step} iterations already."))
            return
        with _stopping() as stop, teller.started(training.state.step):
            finished = loop.run(training, teller.step, teller.scores, stop)
        teller.ended(folder, training.state.step, finished)
    if not finished:
        raise KeyboardInterrupt


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM was heard: the first ends the run after its step, a second one at once."""
    heard: list[int] = []

    def hear(number: int, frame: object) -> None:
        heard.append(number)
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(heard)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Teller:
    """Tells of a run: a bar on a terminal, lines elsewhere, JSON for programs."""

    def __init__(self, recipe: Recipe, quiet: bool, as_json: bool) -> None:
        self._recipe, self._quiet, self._as_json = recipe, quiet, as_json
        self._bar: tqdm[NoReturn] | None = None
        self._smooth: dict[str, float] = {}
        self._mark = (0, 0.0)  # the step and the time of the last line

    def notify(self, notice: Notice) -> None:
        """A sentence the user should read."""
        if not self._quiet:
            self._line(in_words(notice), err=True)

    @contextmanager
    def started(self, step: int) -> Iterator[None]:
        """The time in which the bar is there."""
        self._mark = (step, time.monotonic())
        if not self._quiet and not self._as_json and sys.stderr.isatty():
            total = self._recipe.schedule.iterations
            name = self._recipe.name
            self._bar = tqdm(total=total, initial=step, desc=name, unit="it", dynamic_ncols=True, file=sys.stderr)
        try:
            yield
        finally:
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        """One iteration is done."""
        for name, value in losses.items():
            self._smooth[name] = 0.98 * self._smooth.get(name, value) + 0.02 * value
        if self._bar is not None:
            self._bar.set_postfix_str(self._losses(), refresh=False)
            self._bar.update()
        elif not self._quiet and step % self._recipe.run.log_every == 0:
            self._tell_line(step)

    def _losses(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self._smooth.items())

    def _tell_line(self, step: int) -> None:
        before, then = self._mark
        rate = (step - before) / max(1e-9, time.monotonic() - then)
        self._mark = (step, time.monotonic())
        total = self._recipe.schedule.iterations
        left = (total - step) / max(1e-9, rate)
        if self._as_json:
            known = {"step": step, "iterations_per_second": round(rate, 3), "losses": self._smooth}
            self._line(json.dumps(known))
        else:
            self._line(f"{step}/{total}: {self._losses()}; {rate:.2f} it/s, {_in_words(left)} left")

    def scores(self, step: int, figures: Figures, best: bool) -> None:
        """A validation is done."""
        if self._quiet:
            return
        if self._as_json:
            self._line(json.dumps({"step": step, "psnr_y": figures.psnr_y, "ssim_y": figures.ssim_y, "best": best}))
        else:
            mark = ", the best so far" if best else ""
            self._line(f"{step}: PSNR {figures.psnr_y:.3f} dB, SSIM {figures.ssim_y:.4f} on Y{mark}")

    def ended(self, folder: Path, step: int, finished: bool) -> None:
        """Where the results are, or how to go on."""
        if self._quiet:
            return
        if finished:
            self._line(f"Trained: upscale PICTURE -m {folder / 'last.safetensors'}", err=self._as_json)
        else:
            self._line(f"Stopped after iteration {step}: upscale train --resume {folder} goes on from there.", err=True)

    def _line(self, text: str, err: bool = False) -> None:
        if self._bar is not None:
            self._bar.clear()
        click.echo(text, err=err)


def _in_words(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"

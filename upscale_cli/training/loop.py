"""The training loop: batches in, steps done, and now and then a note, a validation, a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass

from torch import nn

from upscale_cli import atomic
from upscale_cli.errors import UpscaleError
from upscale_cli.training import validation
from upscale_cli.training.distributed import agreed, averaged
from upscale_cli.training.log import RunLog
from upscale_cli.training.patches import MIXTURE, Batch
from upscale_cli.training.recipe import Recipe, to_toml
from upscale_cli.training.schedule import rate_factor
from upscale_cli.training.setup import CHECKPOINT, Training
from upscale_cli.training.state import TrainingState, save_checkpoint, save_weights
from upscale_cli.training.step import train_step
from upscale_cli.training.validation import Figures

POOL_WORD = MIXTURE + 1


@dataclass(frozen=True)
class Listener:
    """Who hears of a run: ``step`` after every iteration (its number, its losses), ``scores`` after a validation
    (its number, the figures, whether they are the best), ``stop`` is asked whether to end early.
    """

    step: Callable[[int, Mapping[str, float]], None]
    scores: Callable[[int, Figures, bool], None]
    stop: Callable[[], bool]


def run(training: Training, listener: Listener) -> bool:
    """Train to the end, or until ``listener.stop``. Returns whether the end was reached.

    The folder then holds ``last.pt`` (to go on from), ``last.safetensors``, ``best.safetensors`` where there are
    validation pictures, ``recipe.toml``, ``log.csv``, ``curve.png`` and ``samples/``.
    """
    recipe, state, team = training.recipe, training.state, training.team
    log = RunLog(training.folder, _loss_names(recipe), state.step, recipe.run.tensorboard) if team.leads else None
    if team.leads:
        atomic.write_bytes(training.folder / "recipe.toml", to_toml(recipe).encode())
    window: dict[str, list[float]] = {}
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    with ExitStack() as stack:
        if log is not None:
            stack.callback(log.close)
        batches = stack.enter_context(closing(training.patches.from_step(state.step, recipe.schedule.iterations)))
        for batch in batches:
            values = train_step(state, recipe, training.tools, _mixed(state, recipe, batch, team.rank))
            state.seconds = time.monotonic() - began
            listener.step(state.step, values)
            for name, value in values.items():
                window.setdefault(name, []).append(value)
            last = state.step == recipe.schedule.iterations
            if last or state.step % recipe.run.log_every == 0:
                means = averaged({name: math.fsum(seen) / len(seen) for name, seen in window.items()}, team)
                window = {}
                if log is not None:
                    log.add(state.step, state.seconds, rate_of(recipe, state.step - 1), means)
            if (last or state.step % recipe.validation.every == 0) and training.cases and log is not None:
                _validate(training, log, listener)
                saved = -math.inf
            stopped = agreed(listener.stop(), team)
            due = time.monotonic() - saved > recipe.run.checkpoint_minutes * 60
            if log is not None and (last or stopped or due):
                save(training, log)
                saved = time.monotonic()
            if stopped:
                break
    return state.step == recipe.schedule.iterations


def rate_of(recipe: Recipe, step: int) -> float:
    """The generator's learning rate in iteration ``step``, counted from 0."""
    return recipe.optimizer.rate * rate_factor(recipe.schedule, step)


def _loss_names(recipe: Recipe) -> list[str]:
    sections = ("pixel", "teacher", "perceptual", "texture", "adversarial")
    names = [name for name in sections if (loss := getattr(recipe, name)) is not None and loss.weight]
    return [*names, "discriminator", "right on real", "right on fake"] if recipe.adversarial else names


def _mixed(state: TrainingState, recipe: Recipe, batch: Batch, rank: int) -> Batch:
    """The batch, exchanged with samples of the pool where there is one."""
    if state.pool is None:
        return batch
    seed = [recipe.run.seed, state.step, POOL_WORD, rank]
    return Batch(*state.pool.exchange(batch.lr, batch.hr, seed))


def _validate(training: Training, log: RunLog, listener: Listener) -> None:
    state, recipe = training.state, training.recipe
    samples = training.folder / "samples" / f"{state.step:07d}.png"
    figures = validation.validate(
        state.shown, state.spec, training.cases, training.tools.device, samples, recipe.validation.samples
    )
    reached = getattr(figures, recipe.validation.best_by)
    best = reached > state.best
    if best:
        state.best = reached
        save_weights(training.folder / "best.safetensors", state, recipe)
    log.add_figures(state.step, state.seconds, asdict(figures))
    listener.scores(state.step, figures, best)


def save(training: Training, log: RunLog) -> None:
    """Checkpoint, weights, table and curve. Raises UpscaleError where the network is no longer finite."""
    _require_finite(training.state.generator, training.state.step)
    save_checkpoint(training.folder / CHECKPOINT, training.state, training.recipe)
    save_weights(training.folder / "last.safetensors", training.state, training.recipe)
    log.write()


def _require_finite(module: nn.Module, step: int) -> None:
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            raise UpscaleError(
                f"After iteration {step} the tensor {name} is not finite: the last good checkpoint is kept.",
                "Try a lower optimizer.rate, optimizer.clip=1, or run.precision=fp32, all with --set.",
            )

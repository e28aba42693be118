"""The training loop: batches in, steps done, and now and then a row of the log, a validation, a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from statistics import fmean

from upscale_cli.errors import OutputError
from upscale_cli.training import validation
from upscale_cli.training.distributed import any_of, averaged
from upscale_cli.training.log import RunLog
from upscale_cli.training.patches import POOL, Batch
from upscale_cli.training.recipe import LOSSES
from upscale_cli.training.setup import SCRATCH, Training
from upscale_cli.training.state import save_state, save_weights
from upscale_cli.training.step import diverged, rate_factor, train_step
from upscale_cli.training.validation import Figures

OnStep = Callable[[int, Mapping[str, float]], None]
OnValidation = Callable[[int, Figures, bool], None]


def run(training: Training, on_step: OnStep, on_validation: OnValidation, should_stop: Callable[[], bool]) -> bool:
    """Train to the last iteration, or until ``should_stop()``. Return whether the last one was reached.

    ``on_step`` gets the number of every iteration and its losses; ``on_validation`` the number of the iteration, the
    figures and whether they are the best so far. A run that starts from weights is validated before its first
    iteration, as number 0. The folder then holds ``last.pt`` (to resume from), ``last.safetensors``,
    ``best.safetensors`` where there are validation pictures, ``recipe.toml``, ``log.csv``, ``curve.png`` and
    ``samples/``. Raises UpscaleError where the losses or weights are no longer finite.
    """
    recipe, state, team = training.recipe, training.state, training.tools.hardware.team
    total = recipe.schedule.iterations
    window: list[dict[str, float]] = []
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    with ExitStack() as stack:
        log = stack.enter_context(closing(_started_log(training))) if team.leads else None
        if log is not None and training.cases and state.step == 0 and recipe.start not in ("", SCRATCH):
            _validate(training, log, on_validation)
        for batch in stack.enter_context(closing(training.patches.from_step(state.step, total))):
            if state.pool is not None:
                seed = [recipe.run.seed, state.step, POOL, team.rank]
                batch = Batch(*state.pool.exchange(batch.lr, batch.hr, seed))
            losses = train_step(state, recipe, training.tools, batch)
            state.seconds = time.monotonic() - began
            on_step(state.step, losses)
            window.append(losses)
            last = state.step == total
            if last or state.step % recipe.run.log_every == 0:
                means = averaged({name: fmean(losses[name] for losses in window) for name in window[0]}, team)
                window.clear()
                if log is not None:
                    rate = recipe.optimizer.rate * rate_factor(recipe.schedule, state.step - 1)
                    log.add(state.step, state.seconds, rate, means)
            due = time.monotonic() - saved > recipe.run.checkpoint_minutes * 60
            if log is not None and training.cases and (last or state.step % recipe.validation.every == 0):
                _validate(training, log, on_validation)
                due = True
            stopped = any_of(team, should_stop())
            if log is not None and (last or stopped or due):
                save(training, log)
                saved = time.monotonic()
            if stopped:
                break
    return state.step == total


def _started_log(training: Training) -> RunLog:
    recipe = training.recipe
    names = [name for name in LOSSES if getattr(recipe, name) is not None]
    names += ["discriminator", "right on real", "right on fake"] if recipe.adversarial is not None else []
    return RunLog(training.folder, names, training.state.step, recipe.run.tensorboard)


def _validate(training: Training, log: RunLog, on_validation: OnValidation) -> None:
    state, recipe = training.state, training.recipe
    samples = training.folder / "samples" / f"{state.step:07d}.png"
    figures = validation.validate(
        state.shown, state.spec, training.cases, training.tools.hardware.device, samples, recipe.validation.samples
    )
    reached = getattr(figures, recipe.validation.best_by)
    best = reached > state.best
    if best:
        state.best = reached
        save_weights(training.folder / "best.safetensors", state, recipe)
    log.add_figures(state.step, state.seconds, asdict(figures))
    on_validation(state.step, figures, best)


def save(training: Training, log: RunLog) -> None:
    """Write table, curve, checkpoint and weights: a resumed run drops rows after its checkpoint, but has no others.

    Raises UpscaleError where the network is no longer finite, and OutputError. The last checkpoint is then kept.
    """
    folder, state, recipe = training.folder, training.state, training.recipe
    for name, parameter in state.generator.named_parameters():
        if not parameter.isfinite().all():
            raise diverged(f"The tensor {name}", state.step)
    try:
        log.write()
        save_state(folder, state, recipe)
        save_weights(folder / "last.safetensors", state, recipe)
    except OutputError as error:
        hint = "The last checkpoint is kept: make room and resume with the same command."
        raise OutputError(error.message, hint) from error

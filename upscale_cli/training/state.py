"""Everything that changes during a run, in one place, and its way to a file and back.

Beside it a run is determined by its recipe: rates follow from the step, and all that is drawn from (seed, step).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from upscale_cli.degradation.pool import PairPool
from upscale_cli.errors import UpscaleError, WeightsError
from upscale_cli.networks import NetworkSpec, build_trainable, recognise
from upscale_cli.training.discriminators import DISCRIMINATORS
from upscale_cli.training.recipe import Optimizer, Recipe, checked
from upscale_cli.training.recipe_file import public, to_table, to_toml
from upscale_cli.weights import state_dict

FORMAT = 1
CHECKPOINT, PREVIOUS = "last.pt", "previous.pt"


@dataclass
class TrainingState:
    """``average`` is the EMA network, or None. ``accuracy``: how often the discriminator was right on real and on
    generated pictures in the last batch. ``best``: the best validation figure so far.
    """

    spec: NetworkSpec
    generator: nn.Module
    optimizer: Adam
    scaler: torch.amp.GradScaler
    average: nn.Module | None = None
    discriminator: nn.Module | None = None
    discriminator_optimizer: Adam | None = None
    pool: PairPool | None = None
    step: int = 0
    seconds: float = 0.0
    best: float = float("-inf")
    accuracy: tuple[float, float] = (0.0, 0.0)
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> nn.Module:
        """The network that users get."""
        return self.average if self.average is not None else self.generator


def new_state(
    recipe: Recipe,
    spec: NetworkSpec,
    generator: nn.Module,
    critic_weights: Mapping[str, Tensor] | None,
    device: torch.device,
    scaled: bool,
) -> TrainingState:
    """The state before the first step. ``scaled``: gradients are scaled, as fp16 needs it."""
    generator = _placed(generator, device)
    state = TrainingState(
        spec=spec,
        generator=generator,
        optimizer=_adam(generator.parameters(), recipe.optimizer, recipe.optimizer.rate, device),
        scaler=torch.amp.GradScaler(device.type, enabled=scaled),
    )
    if recipe.run.ema:
        state.average = copy.deepcopy(generator).requires_grad_(False).eval()
    if recipe.adversarial is not None:
        critic = _critic(recipe, critic_weights)
        state.discriminator = _placed(critic, device)
        rate = recipe.adversarial.rate or recipe.optimizer.rate
        state.discriminator_optimizer = _adam(state.discriminator.parameters(), recipe.optimizer, rate, device)
    if recipe.degradation.pool:
        state.pool = PairPool(recipe.degradation.pool)
    return state


def _placed(module: nn.Module, device: torch.device) -> nn.Module:
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _adam(parameters: Iterable[nn.Parameter], optimizer: Optimizer, rate: float, device: torch.device) -> Adam:
    # Fused, a step goes through memory once and not once per operation.
    fused = device.type != "mps"
    return Adam(parameters, lr=rate, betas=optimizer.betas, weight_decay=optimizer.weight_decay, fused=fused)


def _critic(recipe: Recipe, weights: Mapping[str, Tensor] | None) -> nn.Module:
    assert recipe.adversarial is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.run.seed + 1)
        make = DISCRIMINATORS[recipe.adversarial.discriminator]
        critic = make(3, recipe.adversarial.features, recipe.data.hr_patch)
    if weights is not None:
        try:
            critic.load_state_dict(dict(weights))
        except RuntimeError as error:
            name = f"{recipe.adversarial.weights} does not fit the discriminator {recipe.adversarial.discriminator}"
            raise WeightsError(
                f"{name}.", "Change adversarial.discriminator and .features, or leave .weights."
            ) from error
    return critic.train()


def save_state(folder: Path, state: TrainingState, recipe: Recipe) -> None:
    """Write ``last.pt``, which ``restored`` resumes from and ``upscale -m`` opens; the one before is ``previous.pt``.

    Raises OutputError.
    """
    content: dict[str, Any] = {
        "params": state.generator.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "best": state.best,
        "accuracy": list(state.accuracy),
        "recipe": to_table(recipe),
        "facts": facts(state, recipe),
        "format": FORMAT,
    }
    if state.average is not None:
        content["params_ema"] = state.average.state_dict()
    if state.discriminator is not None and state.discriminator_optimizer is not None:
        content["discriminator"] = state.discriminator.state_dict()
        content["discriminator_optimizer"] = state.discriminator_optimizer.state_dict()
    if state.pool is not None:
        content["pool"] = state.pool.state_dict()
    state_dict.save_checkpoint(folder / CHECKPOINT, content, former=folder / PREVIOUS)


def facts(state: TrainingState, recipe: Recipe) -> dict[str, str]:
    """What a weights file says of its making."""
    return {
        "made by": f"upscale train {recipe.name}",
        "iterations": str(state.step),
        "seed": str(recipe.run.seed),
        "recipe": to_toml(public(recipe)),
        **state.facts,
    }


def save_weights(path: Path, state: TrainingState, recipe: Recipe) -> None:
    """The network that users get, in the form that runs, with its facts."""
    _, tensors = recognise(state.shown.state_dict())
    state_dict.save_state(path, tensors, facts(state, recipe))


@dataclass(frozen=True)
class Checkpoint:
    """What a file of ``save_checkpoint`` holds."""

    path: Path
    recipe: Recipe
    content: Mapping[str, Any]


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of the run in ``folder``: the previous one where it was killed between two renamings."""
    return next((path for path in (folder / CHECKPOINT, folder / PREVIOUS) if path.is_file()), None)


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises WeightsError where it is missing, damaged or none."""
    try:
        content = state_dict.load_checkpoint(path)
        if content.get("format") != FORMAT or not isinstance(content.get("recipe"), Mapping):
            raise WeightsError(f"{path} is no checkpoint of `upscale train`.")
        return Checkpoint(path, checked(content["recipe"], str(path)), content)
    except UpscaleError as error:
        raise WeightsError(error.message, _way_out(path)) from error


def _way_out(path: Path) -> str:
    """Say how a run goes on whose checkpoint ``path`` cannot be used."""
    anew = "start anew with --overwrite, from weights with --from FILE"
    if path.name == CHECKPOINT and path.with_name(PREVIOUS).is_file():
        return f"Rename {PREVIOUS}, the checkpoint before it, to {CHECKPOINT} and resume, or {anew}."
    return f"Check the path, or {anew}."


def restored(checkpoint: Checkpoint, recipe: Recipe, device: torch.device, scaled: bool) -> TrainingState:
    """The state as it was saved; ``recipe`` is the checkpoint's, but for how it runs. Raises WeightsError."""
    content = checkpoint.content
    try:
        spec, _ = recognise(content["params"])
        generator = build_trainable(spec, content["params"])  # not the canonical tensors: the optimiser knows these
        state = new_state(recipe, spec, generator, None, device, scaled)
        state.optimizer.load_state_dict(content["optimizer"])
        state.scaler.load_state_dict(content["scaler"])
        if state.average is not None:
            state.average.load_state_dict(content["params_ema"])
        if state.discriminator is not None and state.discriminator_optimizer is not None:
            state.discriminator.load_state_dict(content["discriminator"])
            state.discriminator_optimizer.load_state_dict(content["discriminator_optimizer"])
        if state.pool is not None:
            state.pool.load_state_dict(content["pool"], device)
        state.step, state.seconds, state.best = int(content["step"]), float(content["seconds"]), float(content["best"])
        real, fake = content["accuracy"]
        state.accuracy = (real, fake)
        known = facts(state, recipe)
        state.facts = {key: text for key, text in content["facts"].items() if key not in known}
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"The checkpoint {checkpoint.path} is damaged.", _way_out(checkpoint.path)) from error
    return state

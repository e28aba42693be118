"""Everything that changes during a run, in one place, and its way to a file and back.

The rest of a run follows from its recipe: rates from the step, and all that is drawn from (seed, step).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
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
from upscale_cli.training.hardware import Hardware
from upscale_cli.training.muon import Muon
from upscale_cli.training.recipe import Adversarial, Optimizer, Recipe
from upscale_cli.training.recipe_checks import checked
from upscale_cli.training.recipe_file import public_toml, to_table
from upscale_cli.weights import state_dict

FORMAT = 1
CHECKPOINT, PREVIOUS = "last.pt", "previous.pt"


@dataclass
class Critic:
    """The discriminator, its optimiser, and the shares of HR and of generated pictures it was right on in the last
    batch. ``parallel``: the network, its gradients averaged over the team.
    """

    settings: Adversarial
    network: nn.Module
    parallel: nn.Module
    optimizer: Adam
    accuracy: tuple[float, float] = (0.0, 0.0)


@dataclass
class TrainingState:
    """``average``: the network of averaged weights, or None. ``best``: the best validation figure so far. ``facts``:
    what the weights file says of its making besides the recipe.
    """

    spec: NetworkSpec
    generator: nn.Module
    optimizer: Adam
    scaler: torch.amp.GradScaler
    average: nn.Module | None = None
    critic: Critic | None = None
    pool: PairPool | None = None
    step: int = 0
    seconds: float = 0.0
    best: float = float("-inf")
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> nn.Module:
        """The network that users get."""
        return self.average if self.average is not None else self.generator


def new_state(
    recipe: Recipe,
    hardware: Hardware,
    spec: NetworkSpec,
    generator: nn.Module,
    critic_weights: Mapping[str, Tensor] | None = None,
) -> TrainingState:
    """Return the state before the first step. Raises WeightsError where ``critic_weights`` do not fit."""
    generator = hardware.place(generator)
    scaler = torch.amp.GradScaler(hardware.device.type, enabled=hardware.dtype is torch.float16)
    optimizer = _optimizer(generator, recipe.optimizer, hardware.device)
    state = TrainingState(spec, generator, optimizer, scaler)
    if recipe.run.ema:
        state.average = copy.deepcopy(generator).requires_grad_(False).eval()
    if recipe.adversarial is not None:
        state.critic = _new_critic(recipe.adversarial, recipe, hardware, critic_weights)
    if recipe.degradation.pool:
        state.pool = PairPool(recipe.degradation.pool, hardware.device)
    return state


def _optimizer(network: nn.Module, settings: Optimizer, device: torch.device) -> Adam:
    if settings.kind == "muon":
        return Muon(network, settings, _fused(device))
    return _adam(network, settings, settings.rate, device)


def _fused(device: torch.device) -> bool:
    """Return whether a step can go through memory once and not once per operation."""
    return device.type != "mps"


def _adam(module: nn.Module, optimizer: Optimizer, rate: float, device: torch.device) -> Adam:
    fused = _fused(device)
    return Adam(module.parameters(), rate, optimizer.betas, weight_decay=optimizer.weight_decay, fused=fused)


def _new_critic(
    settings: Adversarial, recipe: Recipe, hardware: Hardware, weights: Mapping[str, Tensor] | None
) -> Critic:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.run.seed + 1)
        network = DISCRIMINATORS[settings.discriminator](settings.features, recipe.data.hr_patch).train()
    if weights is not None:
        try:
            network.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise WeightsError(
                f"{settings.weights} does not fit the discriminator {settings.discriminator}.",
                "Change adversarial.discriminator and .features, or leave .weights.",
            ) from error
    network = hardware.place(network)
    rate = settings.rate or recipe.optimizer.rate
    optimizer = _adam(network, recipe.optimizer, rate, hardware.device)
    return Critic(settings, network, hardware.team.parallel(network), optimizer)


def save_state(folder: Path, state: TrainingState, recipe: Recipe) -> None:
    """Write ``last.pt``, which ``restored`` resumes from and ``upscale -m`` opens; the one before is ``previous.pt``.

    Raises OutputError.
    """
    content = {name: part.state_dict() for name, part in _parts(state).items()} | {
        "step": state.step,
        "seconds": state.seconds,
        "best": state.best,
        "accuracy": list(state.critic.accuracy) if state.critic is not None else [0.0, 0.0],
        "recipe": to_table(recipe),
        "facts": facts(state, recipe),
        "format": FORMAT,
    }
    state_dict.save_checkpoint(folder / CHECKPOINT, content, former=folder / PREVIOUS)


def _parts(state: TrainingState) -> dict[str, Any]:
    """Return what has a state dict of its own, by its name in a checkpoint."""
    parts = {
        "params": state.generator,
        "params_ema": state.average,
        "optimizer": state.optimizer,
        "scaler": state.scaler,
        "discriminator": state.critic and state.critic.network,
        "discriminator_optimizer": state.critic and state.critic.optimizer,
        "pool": state.pool,
    }
    return {name: part for name, part in parts.items() if part is not None}


def save_weights(path: Path, state: TrainingState, recipe: Recipe) -> None:
    """Write the network that users get, in the form that runs, with its facts."""
    _, tensors = recognise(state.shown.state_dict())
    state_dict.save_state(path, tensors, facts(state, recipe))


def facts(state: TrainingState, recipe: Recipe) -> dict[str, str]:
    """Return what a weights file says of its making."""
    return {
        "made by": f"upscale train {recipe.name}",
        "iterations": str(state.step),
        "seed": str(recipe.run.seed),
        "recipe": public_toml(recipe),
        **state.facts,
    }


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file of ``save_state``, and the recipe in it."""

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
    """Return how a run goes on whose checkpoint ``path`` cannot be used."""
    anew = "start anew with --overwrite, from weights with --from FILE"
    if path.name == CHECKPOINT and path.with_name(PREVIOUS).is_file():
        return f"Rename {PREVIOUS}, the checkpoint before it, to {CHECKPOINT} and resume, or {anew}."
    return f"Check the path, or {anew}."


def restored(checkpoint: Checkpoint, recipe: Recipe, hardware: Hardware) -> TrainingState:
    """Return the state that was saved; ``recipe`` is the checkpoint's, but for how it runs. Raises WeightsError."""
    content = checkpoint.content
    try:
        spec, _ = recognise(content["params"])
        generator = build_trainable(
            spec, content["params"], recipe.network.branches
        )  # not the canonical tensors: the optimiser knows these
        state = new_state(recipe, hardware, spec, generator)
        for name, part in _parts(state).items():
            part.load_state_dict(content[name])
        if state.critic is not None:
            real, fake = content["accuracy"]
            state.critic.accuracy = (real, fake)
        state.step, state.seconds, state.best = int(content["step"]), float(content["seconds"]), float(content["best"])
        known = facts(state, recipe)
        state.facts = {key: text for key, text in content["facts"].items() if key not in known}
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"The checkpoint {checkpoint.path} is damaged.", _way_out(checkpoint.path)) from error
    return state

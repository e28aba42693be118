"""One iteration: the generator's step, the discriminator's, the average."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam

from upscale_cli.degradation import chains
from upscale_cli.errors import UpscaleError
from upscale_cli.orientation import mean_of_orientations
from upscale_cli.training import losses
from upscale_cli.training.distributed import team_mean
from upscale_cli.training.hardware import Hardware
from upscale_cli.training.patches import Batch
from upscale_cli.training.recipe import Recipe, Schedule, Teacher
from upscale_cli.training.state import Critic, TrainingState
from upscale_cli.training.vgg import Features


@dataclass(frozen=True)
class Tools:
    """What a step uses and never changes.

    ``generator`` runs the state's network, perhaps compiled or in parallel, on LR and, where it has any, conditions.
    ``features``: feature networks by the recipe's name for their weights.
    """

    generator: Callable[..., Tensor]
    features: Mapping[str, Features]
    teacher: nn.Module | None
    hardware: Hardware


def train_step(state: TrainingState, recipe: Recipe, tools: Tools, batch: Batch) -> dict[str, float]:
    """Advance the state by one iteration. Return the losses by name, weighted.

    Raises UpscaleError where a loss is not finite: the state is then not to be saved.
    """
    with tools.hardware.autocast():
        sr = tools.generator(batch.lr, batch.conditions) if state.spec.conditions else tools.generator(batch.lr)
    terms = content_losses(sr, batch, recipe, tools)
    if state.critic is not None:
        terms["adversarial"] = _adversarial_loss(state.critic, tools, sr, batch.hr)
    values = _require_finite(terms, state.step)
    _descend(state, state.optimizer, torch.stack(list(terms.values())).sum(), recipe.optimizer.rate, recipe)
    if state.critic is not None:
        values |= _train_critic(state, state.critic, recipe, tools, sr.detach(), batch.hr)
    state.scaler.update()
    if state.average is not None:
        _update_average(state.average, state.generator, recipe.run.ema, state.step)
    state.step += 1
    return values


def content_losses(sr: Tensor, batch: Batch, recipe: Recipe, tools: Tools) -> dict[str, Tensor]:
    """Return all weighted losses but the discriminator's, by name."""
    target = chains.unsharp(batch.hr) if recipe.degradation.sharpen else batch.hr
    terms: dict[str, Tensor] = {}
    if recipe.pixel is not None:
        terms["pixel"] = recipe.pixel.weight * losses.DISTANCES[recipe.pixel.kind](sr, target)
    if recipe.teacher is not None and tools.teacher is not None:
        taught = _taught(tools.teacher, recipe.teacher, batch, tools.hardware)
        terms["teacher"] = recipe.teacher.weight * losses.DISTANCES[recipe.teacher.kind](sr, taught)
    if recipe.perceptual is not None:
        layers, distance = recipe.perceptual.layers, losses.DISTANCES[recipe.perceptual.kind]
        of_sr, of_hr = _features(tools, recipe.perceptual.weights, layers, sr, target)
        terms["perceptual"] = recipe.perceptual.weight * losses.perceptual(of_sr, of_hr, layers, distance)
    if recipe.texture is not None:
        layers = recipe.texture.layers
        of_sr, of_hr = _features(tools, recipe.texture.weights, layers, sr, target)
        terms["texture"] = recipe.texture.weight * losses.texture(of_sr, of_hr, layers, recipe.texture.patch)
    return terms


@torch.no_grad()
def _taught(teacher: nn.Module, settings: Teacher, batch: Batch, hardware: Hardware) -> Tensor:
    """Return the teacher's result, or its mean over orientations, as it is or with the low frequencies of HR."""
    with hardware.autocast():
        taught = mean_of_orientations(teacher, batch.lr) if settings.tta else teacher(batch.lr)
    taught = taught.float().clamp(0, 1)
    return chains.with_colors_of(taught, batch.hr) if settings.colors == "hr" else taught


def _features(
    tools: Tools, weights: str, layers: Mapping[str, float], sr: Tensor, target: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the features of ``sr`` and of ``target``; gradients flow through those of ``sr`` alone."""
    network = tools.features[weights]
    with tools.hardware.autocast():
        with torch.no_grad():
            of_target = network(target, layers)
        return network(sr.float(), layers), of_target


def _adversarial_loss(critic: Critic, tools: Tools, sr: Tensor, hr: Tensor) -> Tensor:
    """Return the generator's weighted loss; the discriminator gets no gradients."""
    critic.network.requires_grad_(False)
    with tools.hardware.autocast():
        with torch.no_grad():
            real = critic.network(hr)
        fake = critic.network(sr)
    return critic.settings.weight * losses.generator_loss(critic.settings.kind, real, fake, team_mean)


def _train_critic(
    state: TrainingState, critic: Critic, recipe: Recipe, tools: Tools, sr: Tensor, hr: Tensor
) -> dict[str, float]:
    """Train the discriminator, unless it was right often enough in the last batch (Sajjadi et al. 2017)."""
    settings = critic.settings
    learns = settings.train_below == 0 or min(critic.accuracy) < settings.train_below
    critic.network.requires_grad_(True)
    with tools.hardware.autocast(), torch.set_grad_enabled(learns):
        real, fake = critic.parallel(hr), critic.parallel(sr)
    loss = losses.discriminator_loss(settings.kind, real, fake, team_mean)
    values = _require_finite({"discriminator": loss}, state.step)
    critic.accuracy = (float(team_mean((real > 0).float())), float(team_mean((fake < 0).float())))
    if learns:
        _descend(state, critic.optimizer, loss, settings.rate or recipe.optimizer.rate, recipe)
    return values | {"right on real": critic.accuracy[0], "right on fake": critic.accuracy[1]}


def _descend(state: TrainingState, optimizer: Adam, loss: Tensor, rate: float, recipe: Recipe) -> None:
    """Change the parameters of ``optimizer`` by one step along the gradient of ``loss``."""
    (group,) = optimizer.param_groups
    group["lr"] = rate * rate_factor(recipe.schedule, state.step)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(state.scaler.scale(loss))
    if recipe.optimizer.clip:
        state.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(group["params"], recipe.optimizer.clip)
    state.scaler.step(optimizer)


def rate_factor(schedule: Schedule, step: int) -> float:
    """Return what the learning rate is multiplied by in iteration ``step``, counted from 0."""
    warmth = min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else 1.0
    if schedule.kind == "steps":
        return warmth * float(schedule.factor ** sum(step >= milestone for milestone in schedule.milestones))
    if schedule.kind == "cosine":
        progress = min(1.0, step / schedule.iterations)
        return warmth * (schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * progress)))
    return warmth


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Update average ← d·average + (1 - d)·network, with d = min(decay, (1 + step) / (10 + step)).

    The smaller d of the first steps keeps the untrained start out of the average. Buffers (BatchNorm's statistics,
    which are averages already) are copied.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), share)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)


def _require_finite(terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
    values = {name: float(term.detach()) for name, term in terms.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise diverged(f"The {name} loss", step + 1)
    return values


def diverged(what: str, step: int) -> UpscaleError:
    """Return the error of a run in which ``what`` is no longer finite."""
    return UpscaleError(
        f"{what} is not finite in iteration {step}: the last good checkpoint is kept.",
        "Try a lower optimizer.rate, optimizer.clip=1, or run.precision=fp32, all with --set.",
    )

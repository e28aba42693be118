"""One iteration: the generator's step, the discriminator's, the average."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam

from upscale_cli.degradation import chains
from upscale_cli.errors import UpscaleError
from upscale_cli.training import ema, losses
from upscale_cli.training.distributed import team_mean
from upscale_cli.training.patches import Batch
from upscale_cli.training.recipe import Adversarial, Recipe
from upscale_cli.training.schedule import rate_factor
from upscale_cli.training.state import TrainingState
from upscale_cli.training.vgg import Features


@dataclass(frozen=True)
class Tools:
    """What a step uses and never changes. ``generator`` and ``discriminator`` call the state's networks, perhaps
    compiled or in parallel. ``features``: networks by the recipe's name for their weights.
    """

    generator: Callable[[Tensor], Tensor]
    discriminator: Callable[[Tensor], Tensor] | None
    features: Mapping[str, Features]
    teacher: nn.Module | None
    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> torch.autocast:
        """Networks in the run's precision; losses stay in fp32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)


def train_step(state: TrainingState, recipe: Recipe, tools: Tools, batch: Batch) -> dict[str, float]:
    """Advance the state by one iteration. Returns the losses by name, weighted.

    Raises UpscaleError where a loss is not finite: the state is then not to be saved.
    """
    factor = rate_factor(recipe.schedule, state.step)
    sr, values = _generator_step(state, recipe, tools, batch, recipe.optimizer.rate * factor)
    if recipe.adversarial is not None:
        rate = (recipe.adversarial.rate or recipe.optimizer.rate) * factor
        values |= _discriminator_step(state, recipe, tools, batch, sr, rate)
    if state.scaler.is_enabled():
        state.scaler.update()
    if state.average is not None:
        ema.update(state.average, state.generator, recipe.run.ema, state.step)
    state.step += 1
    return values


def _generator_step(
    state: TrainingState, recipe: Recipe, tools: Tools, batch: Batch, rate: float
) -> tuple[Tensor, dict[str, float]]:
    with tools.autocast():
        sr = tools.generator(batch.lr)
    terms = content_losses(sr, batch, recipe, tools)
    if recipe.adversarial is not None:
        terms["adversarial"] = _generator_game(state, recipe.adversarial, tools, sr, batch.hr)
    values = _require_finite(terms, state.step)
    _optimise(state, state.optimizer, torch.stack(list(terms.values())).sum(), rate, recipe.optimizer.clip)
    return sr.detach(), values


def content_losses(sr: Tensor, batch: Batch, recipe: Recipe, tools: Tools) -> dict[str, Tensor]:
    """All weighted losses but the discriminator's, by name."""
    target = chains.unsharp(batch.hr) if recipe.degradation.sharpen else batch.hr
    terms: dict[str, Tensor] = {}
    if recipe.pixel is not None and recipe.pixel.weight:
        terms["pixel"] = recipe.pixel.weight * losses.DISTANCES[recipe.pixel.kind](sr, target)
    if recipe.teacher is not None and recipe.teacher.weight and tools.teacher is not None:
        with torch.no_grad(), tools.autocast():
            taught = tools.teacher(batch.lr).float().clamp(0, 1)
        terms["teacher"] = recipe.teacher.weight * losses.l1(sr, taught)
    if recipe.perceptual is not None and recipe.perceptual.weight:
        layers, distance = recipe.perceptual.layers, losses.DISTANCES[recipe.perceptual.kind]
        ours, truth = _features(tools, recipe.perceptual.weights, layers, sr, target)
        terms["perceptual"] = recipe.perceptual.weight * losses.perceptual(ours, truth, layers, distance)
    if recipe.texture is not None and recipe.texture.weight:
        layers = recipe.texture.layers
        ours, truth = _features(tools, recipe.texture.weights, layers, sr, target)
        terms["texture"] = recipe.texture.weight * losses.texture(ours, truth, layers, recipe.texture.patch)
    return terms


def _features(
    tools: Tools, weights: str, layers: Mapping[str, float], sr: Tensor, target: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    network = tools.features[weights]
    with tools.autocast():
        with torch.no_grad():
            truth = network(target, layers)
        return network(sr.float(), layers), truth


def _generator_game(state: TrainingState, adversarial: Adversarial, tools: Tools, sr: Tensor, hr: Tensor) -> Tensor:
    """The generator's part, the discriminator held still."""
    assert state.discriminator is not None
    state.discriminator.requires_grad_(False)
    with tools.autocast():
        with torch.no_grad():
            real = state.discriminator(hr)
        fake = state.discriminator(sr)
    _, generators = losses.GAMES[adversarial.kind]
    return adversarial.weight * generators(real, fake, team_mean)


def _discriminator_step(
    state: TrainingState, recipe: Recipe, tools: Tools, batch: Batch, sr: Tensor, rate: float
) -> dict[str, float]:
    adversarial, optimizer = recipe.adversarial, state.discriminator_optimizer
    assert adversarial is not None
    assert state.discriminator is not None
    assert optimizer is not None
    assert tools.discriminator is not None
    learns = _is_weak(state.accuracy, adversarial.train_below)
    state.discriminator.requires_grad_(True)
    with tools.autocast(), torch.set_grad_enabled(learns):
        real, fake = tools.discriminator(batch.hr), tools.discriminator(sr)
    discriminators, _ = losses.GAMES[adversarial.kind]
    loss = discriminators(real, fake, team_mean)
    values = _require_finite({"discriminator": loss}, state.step)
    state.accuracy = (_share(real > 0), _share(fake < 0))
    if learns:
        _optimise(state, optimizer, loss, rate, recipe.optimizer.clip)
    return values | {"right on real": state.accuracy[0], "right on fake": state.accuracy[1]}


def _is_weak(accuracy: tuple[float, float], threshold: float) -> bool:
    """Whether the discriminator needs to learn (Sajjadi et al. 2017): always, where there is no threshold."""
    return threshold == 0 or min(accuracy) < threshold


def _share(right: Tensor) -> float:
    return float(team_mean(right.float()))


def _optimise(state: TrainingState, optimizer: Adam, loss: Tensor, rate: float, clip: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(state.scaler.scale(loss))
    if clip:
        state.scaler.unscale_(optimizer)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, clip)
    state.scaler.step(optimizer)


def _require_finite(terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
    values = {name: float(term.detach()) for name, term in terms.items()}
    for name, value in values.items():
        if value - value != 0:  # neither infinite nor NaN is 0 here
            raise UpscaleError(
                f"The {name} loss became {value} in iteration {step + 1}: the last good checkpoint is kept.",
                "Try a lower optimizer.rate, optimizer.clip=1, or run.precision=fp32, all with --set.",
            )
    return values

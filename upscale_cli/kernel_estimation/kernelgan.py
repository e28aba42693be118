"""The training of KernelGAN (Bell-Kligler, Shocher and Irani, NeurIPS 2019): a kernel from the picture alone.

The generator shrinks the picture by a kernel, the discriminator tells patches of the result from patches of the
picture itself: when it cannot, shrinking by the kernel is what made the picture. Steps of both are taken together, from
one forward pass. To the paper's terms comes one of our own, ``spectrum.Criterion``, which tells the kernel's width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from upscale_cli.kernel_estimation import crops, discriminator, generator, spectrum
from upscale_cli.kernel_estimation.regularisers import Regularisers, Schedule, regularisers
from upscale_cli.kernels import blur_kernel

ITERATIONS = 3000
LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)
RATE_FALLS_EVERY, RATE_FALL = 750, 10.0
CROP = 64
NOISE = 1 / 255  # in [-1, 1]: half a level
SHRUNK_CROP = (CROP - generator.KERNEL_SIZE + 1) // generator.SHRINKS  # 26
SPECTRUM_WEIGHT = 1.0


@dataclass(frozen=True)
class Progress:
    """After ``iteration``, from 0: the generator's loss and the kernel (13, 13) as it was before."""

    iteration: int
    iterations: int
    loss: float
    kernel: Tensor


@dataclass
class Game:
    """Both players, and what is asked of the generator's kernel beside winning."""

    layers: list[Tensor]
    judge: discriminator.Discriminator
    optimizers: tuple[Adam, Adam]
    rules: Regularisers
    schedule: Schedule
    bicubic: Tensor
    criterion: spectrum.Criterion
    noise: float


def unheard(progress: Progress) -> None:
    """Nobody listens."""


def train(
    image: Tensor,
    fit: spectrum.Fit,
    *,
    iterations: int = ITERATIONS,
    seed: int = 0,
    noise: float = NOISE,
    on_step: Callable[[Progress], None] = unheard,
) -> Tensor:
    """The kernel (13, 13) of ``image`` (C, H, W) in [0, 1], as trained: neither centred nor without its noise.

    ``noise``: deviation of what is added to all that the discriminator sees, in [-1, 1]. The picture has gradients and
    is large enough for both crops.
    """
    rng = torch.Generator().manual_seed(seed)
    game = _begun(len(image), fit, noise, rng)
    image = image * 2 - 1
    large = crops.draw(crops.gradients_after_shrinking(image), CROP, iterations, rng)
    small = crops.draw(crops.gradient_map(image), SHRUNK_CROP, iterations, rng)
    for iteration, (shrunk_from, real_at) in enumerate(zip(large, small, strict=True)):
        windows = _windows(_crop(image, shrunk_from, CROP))
        loss, kernel = _step(game, windows, _crop(image, real_at, SHRUNK_CROP), iteration, rng)
        on_step(Progress(iteration, iterations, loss, kernel))
    return generator.composed(game.layers).detach()


def _begun(channels: int, fit: spectrum.Fit, noise: float, rng: torch.Generator) -> Game:
    layers, judge = generator.initial_layers(rng), discriminator.initial(channels, rng)
    optimizers = (
        Adam(layers, LEARNING_RATE, BETAS, fused=True),
        Adam(judge.parameters, LEARNING_RATE, BETAS, fused=True),
    )
    size = generator.KERNEL_SIZE
    rules, criterion = regularisers(size, generator.SHRINKS), spectrum.criterion(fit, size)
    return Game(layers, judge, optimizers, rules, Schedule(), _bicubic(size), criterion, noise)


def _bicubic(size: int) -> Tensor:
    values = torch.from_numpy(blur_kernel.bicubic(generator.SHRINKS).values).float()
    return F.pad(values, ((size - len(values)) // 2,) * 4)


def _crop(image: Tensor, place: tuple[int, int], size: int) -> Tensor:
    top, left = place
    return image[:, top : top + size, left : left + size]


def _windows(crop: Tensor) -> Tensor:
    """All that the generator weighs (positions, 169): of every channel, at every second pixel."""
    size, step = generator.KERNEL_SIZE, generator.SHRINKS
    return crop.unfold(1, size, step).unfold(2, size, step).reshape(-1, size * size)


def _step(game: Game, windows: Tensor, real: Tensor, iteration: int, rng: torch.Generator) -> tuple[float, Tensor]:
    """One step of both players; the generator's loss, and the kernel before."""
    kernel = generator.composed(game.layers)
    asked = kernel.detach().requires_grad_()
    fake = (windows @ asked.detach().flatten()).view_as(real)
    judged_loss, slopes, by_fake = _judged(game, real, fake, rng)
    similarity, by_similarity = _similarity(game, windows, asked.detach())
    wanted = game.rules.loss(asked, game.schedule.shaped) + SPECTRUM_WEIGHT * game.criterion.loss(asked)
    (by_kernel,) = torch.autograd.grad(wanted, asked)
    by_shrunk = by_fake.flatten() + game.schedule.bicubic * by_similarity
    by_kernel += (by_shrunk @ windows).view_as(kernel)
    loss = judged_loss + float(wanted.detach()) + game.schedule.bicubic * similarity
    _descend(game, torch.autograd.grad(kernel, game.layers, by_kernel), slopes, iteration)
    game.schedule.advance(iteration, similarity)
    return loss, asked.detach()


def _judged(game: Game, real: Tensor, fake: Tensor, rng: torch.Generator) -> tuple[float, list[Tensor], Tensor]:
    """The generator's adversarial loss, the discriminator's slopes, and the former's slope at each value of ``fake``.

    Both losses are L1: the generator's falls as the discriminator's rises, so one backward pass serves both.
    """
    seen = torch.stack([real, fake])
    seen += torch.randn(seen.shape, generator=rng) * game.noise
    seen.requires_grad_()
    opinion = discriminator.judge(seen, game.judge, discriminator.normalised(game.judge))
    loss = 0.5 * ((1 - opinion[0]).mean() + opinion[1].mean())
    *slopes, by_seen = torch.autograd.grad(loss, [*game.judge.parameters, seen])
    return 1 - float(opinion[1].detach().mean()), slopes, -2 * by_seen[1]


def _similarity(game: Game, windows: Tensor, kernel: Tensor) -> tuple[float, Tensor]:
    """Mean squared difference of what the kernel and what bicubic shrinks, and its slope at each value."""
    difference = windows @ (kernel - game.bicubic).flatten()
    return float(difference @ difference) / len(difference), difference * (2 / len(difference))


def _descend(game: Game, of_layers: tuple[Tensor, ...], of_judge: list[Tensor], iteration: int) -> None:
    players = (game.layers, of_layers), (game.judge.parameters, of_judge)
    for optimizer, (parameters, slopes) in zip(game.optimizers, players, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE / RATE_FALL ** (iteration // RATE_FALLS_EVERY)
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = slope
        optimizer.step()

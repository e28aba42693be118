"""The training of KernelGAN (Bell-Kligler, Shocher and Irani, NeurIPS 2019): a kernel from the picture alone.

The generator downsamples the picture with a kernel, and the discriminator tells patches of the result from patches of
the picture itself. When it cannot, downsampling with that kernel is what made the picture. Both take their steps
together, from one forward pass. To the paper's terms comes one of our own, ``spectrum.Criterion``, which tells the
kernel's width.
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
SMALL_CROP = (CROP - generator.KERNEL_SIZE + 1) // generator.SCALE  # 26
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


def train(
    image: Tensor,
    fit: spectrum.Fit,
    *,
    iterations: int = ITERATIONS,
    seed: int = 0,
    noise: float = NOISE,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Tensor:
    """Return the kernel (13, 13) of ``image`` (C, H, W) in [0, 1], as trained: neither centred nor without its noise.

    ``noise``: standard deviation, in [-1, 1], of what is added to all that the discriminator sees. The picture must
    have gradients and be large enough for both crops.
    """
    rng = torch.Generator().manual_seed(seed)
    game = _new_game(len(image), fit, noise, rng)
    image = image * 2 - 1
    large = crops.draw(crops.gradients_after_downsampling(image), CROP, iterations, rng)
    small = crops.draw(crops.gradient_map(image), SMALL_CROP, iterations, rng)
    size, step = generator.KERNEL_SIZE, generator.SCALE
    for iteration, (large_at, small_at) in enumerate(zip(large, small, strict=True)):
        # All windows that the generator weighs (positions, 169), at every second pixel of every channel.
        windows = _crop(image, large_at, CROP).unfold(1, size, step).unfold(2, size, step).reshape(-1, size**2)
        loss, kernel = _step(game, windows, _crop(image, small_at, SMALL_CROP), iteration, rng)
        on_step(Progress(iteration, iterations, loss, kernel))
    return generator.composed(game.layers).detach()


def _new_game(channels: int, fit: spectrum.Fit, noise: float, rng: torch.Generator) -> Game:
    layers, judge = generator.initial_layers(rng), discriminator.initial(channels, rng)
    optimizers = (
        Adam(layers, LEARNING_RATE, BETAS, fused=True),
        Adam(judge.parameters, LEARNING_RATE, BETAS, fused=True),
    )
    size = generator.KERNEL_SIZE
    rules, criterion = regularisers(size, generator.SCALE), spectrum.criterion(fit, size)
    bicubic = torch.from_numpy(blur_kernel.bicubic(generator.SCALE).values).float()
    bicubic = F.pad(bicubic, ((size - len(bicubic)) // 2,) * 4)
    return Game(layers, judge, optimizers, rules, Schedule(), bicubic, criterion, noise)


def _crop(image: Tensor, place: tuple[int, int], size: int) -> Tensor:
    top, left = place
    return image[:, top : top + size, left : left + size]


def _step(game: Game, windows: Tensor, real: Tensor, iteration: int, rng: torch.Generator) -> tuple[float, Tensor]:
    """Take one step of both players. Return the generator's loss and the kernel before it."""
    kernel = generator.composed(game.layers)
    asked = kernel.detach().requires_grad_()
    fake = (windows @ asked.detach().flatten()).view_as(real)
    judged_loss, by_judge, by_fake = _judged(game, real, fake, rng)
    from_bicubic = windows @ (asked.detach() - game.bicubic).flatten()
    bicubic_loss = float(from_bicubic @ from_bicubic) / len(from_bicubic)
    by_bicubic = from_bicubic * (2 / len(from_bicubic))
    wanted = game.rules.loss(asked, game.schedule.shaped) + SPECTRUM_WEIGHT * game.criterion.loss(asked)
    (by_kernel,) = torch.autograd.grad(wanted, asked)
    by_small = by_fake.flatten() + game.schedule.bicubic * by_bicubic
    by_kernel += (by_small @ windows).view_as(kernel)
    loss = judged_loss + float(wanted.detach()) + game.schedule.bicubic * bicubic_loss
    _descend(game, torch.autograd.grad(kernel, game.layers, by_kernel), by_judge, iteration)
    game.schedule.advance(iteration, bicubic_loss)
    return loss, asked.detach()


def _judged(game: Game, real: Tensor, fake: Tensor, rng: torch.Generator) -> tuple[float, list[Tensor], Tensor]:
    """Return the generator's adversarial loss, the discriminator's gradients, and the loss's gradient at ``fake``.

    Both losses are L1: the generator's falls as the discriminator's rises, so one backward pass serves both.
    """
    seen = torch.stack([real, fake])
    seen += torch.randn(seen.shape, generator=rng) * game.noise
    seen.requires_grad_()
    opinion = discriminator.judge(seen, game.judge, discriminator.normalised(game.judge))
    loss = 0.5 * ((1 - opinion[0]).mean() + opinion[1].mean())
    *by_judge, by_seen = torch.autograd.grad(loss, [*game.judge.parameters, seen])
    return 1 - float(opinion[1].detach().mean()), by_judge, -2 * by_seen[1]


def _descend(game: Game, by_layers: tuple[Tensor, ...], by_judge: list[Tensor], iteration: int) -> None:
    players = (game.layers, by_layers), (game.judge.parameters, by_judge)
    for optimizer, (parameters, gradients) in zip(game.optimizers, players, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE / RATE_FALL ** (iteration // RATE_FALLS_EVERY)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

"""KernelGAN's training as it is drawn in the paper, layer by layer, to compare its speed with ours.

Every convolution is one, the kernel of the regularisers is read out by sending a point through all layers, and the
generator's step and the discriminator's each have a forward pass of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import Adam

from upscale_cli.kernel_estimation import crops, generator, kernelgan, spectrum
from upscale_cli.kernel_estimation.regularisers import Regularisers, Schedule, regularisers
from upscale_cli.resize import matlab_bicubic

WARM_UP = 5


def seconds_of_composed(image: Tensor, iterations: int) -> float:
    fit = spectrum.fitted(spectrum.spectrum(image))
    return _seconds(lambda count: kernelgan.train(image, fit, iterations=count), iterations)


def seconds_of_layers(image: Tensor, iterations: int) -> float:
    return _seconds(lambda count: train(image, count), iterations)


def _seconds(work: Callable[[int], object], iterations: int) -> float:
    """Of the iterations alone: two runs of different length differ by nothing else."""
    work(WARM_UP)
    times = []
    for count in (WARM_UP, WARM_UP + iterations):
        started = time.process_time()
        work(count)
        times.append(time.process_time() - started)
    return times[1] - times[0]


def discriminator(channels: int) -> nn.Sequential:
    blocks = [
        layer
        for _ in range(5)
        for layer in (spectral_norm(nn.Conv2d(64, 64, 1)), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
    ]
    first, last = spectral_norm(nn.Conv2d(channels, 64, 7)), spectral_norm(nn.Conv2d(64, 1, 1))
    return nn.Sequential(first, *blocks, last, nn.Sigmoid())


def train(image: Tensor, iterations: int, seed: int = 0) -> Tensor:
    """The kernel (13, 13) of ``image`` (C, H, W) in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    layers, judge = generator.initial_layers(rng), discriminator(len(image))
    optimizers = Adam(layers, 2e-4, (0.5, 0.999)), Adam(judge.parameters(), 2e-4, (0.5, 0.999))
    rules, schedule = regularisers(13, 2), Schedule()
    image = image * 2 - 1
    large = crops.draw(crops.gradients_after_downsampling(image), 64, iterations, rng)
    small = crops.draw(crops.gradient_map(image), 26, iterations, rng)
    for iteration, ((top, left), (y, x)) in enumerate(zip(large, small, strict=True)):
        crop, real = image[None, :, top : top + 64, left : left + 64], image[None, :, y : y + 26, x : x + 26]
        similarity = _generator_step(layers, judge, optimizers[0], crop, rules, schedule)
        _discriminator_step(layers, judge, optimizers[1], crop, real)
        schedule.advance(iteration, similarity)
    return _read_out(layers).detach()


def _generator_step(
    layers: list[Tensor],
    judge: nn.Module,
    adam: Adam,
    crop: Tensor,
    rules: Regularisers,
    schedule: Schedule,
) -> float:
    fake = generator.layer_by_layer(crop, layers)
    bicubic = matlab_bicubic(crop, 0.5)[..., 3:29, 3:29]
    similarity = F.mse_loss(fake, bicubic)
    loss = (1 - judge(fake)).abs().mean() + rules.loss(_read_out(layers), schedule.shaped)
    adam.zero_grad()
    (loss + schedule.bicubic * similarity).backward()
    adam.step()
    return float(similarity.detach())


def _discriminator_step(layers: list[Tensor], judge: nn.Module, adam: Adam, crop: Tensor, real: Tensor) -> None:
    with torch.no_grad():
        fake = generator.layer_by_layer(crop, layers)
    fake, real = (image + torch.randn(image.shape) / 255 for image in (fake, real))
    loss = 0.5 * ((1 - judge(real)).abs().mean() + judge(fake).abs().mean())
    adam.zero_grad()
    loss.backward()
    adam.step()


def _read_out(layers: list[Tensor]) -> Tensor:
    point = torch.zeros(1, 1, 25, 25)
    point[..., 12, 12] = 1
    for layer in layers:
        point = F.conv2d(point, layer)
    return point[0, 0].flip(0, 1)

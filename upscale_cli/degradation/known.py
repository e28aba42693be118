"""Degradation of known strength: blur, noise and JPEG, which a conditioned network is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from upscale_cli.degradation import chains, jpeg
from upscale_cli.degradation.chains import in_levels
from upscale_cli.images.jpeg_quality import quality_of
from upscale_cli.kernels.blur_kernel import BlurKernel, centred
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.gaussian import UNEVEN, gaussian
from upscale_cli.kernels.values import Values, covariance
from upscale_cli.networks.conditioned import BICUBIC, Blur, coarseness

BICUBIC_SHARE = 0.15  # of pictures, where others are blurred
ESTIMATES_VARY = 0.12  # log of a variance that is measured on a picture, standard deviation


@dataclass(frozen=True)
class Known:
    """How one picture is degraded.

    ``noise``: its standard deviation in levels of 255; ``jpeg_quality``: None for no JPEG; ``kernel``: what it is
    downsampled with, None for bicubic; ``blur``: the kernel's covariance in squared LR pixels, as a measurement on the
    picture would have it.
    """

    noise: float
    jpeg_quality: int | None
    kernel: BlurKernel | None = None
    blur: Blur = BICUBIC


def draw(
    rng: np.random.Generator,
    count: int,
    scale: int,
    quality: tuple[int, int],
    noise: float,
    clean: float,
    blur: tuple[float, float],
) -> tuple[Known, ...]:
    """Return parameters for ``count`` pictures.

    Each is left without noise, and without JPEG, by the probability ``clean``. The standard deviation is drawn evenly
    from 0 to ``noise``, the quality by the logarithm of how coarse its quantisation is. ``blur``: the range of the
    variances of Gaussian kernels along both axes, in squared LR pixels; up to 0 for none.
    """
    coarse = [np.log(max(coarseness(end), 1)) for end in quality]
    pictures = []
    for _ in range(count):
        without_noise, without_jpeg = rng.random(2) < clean
        sigma, drawn = rng.uniform(0, noise), round(quality_of(np.exp(rng.uniform(coarse[1], coarse[0]))))
        kernel, given = _blur(rng, scale, blur) if blur[1] > 0 else (None, BICUBIC)
        pictures.append(Known(0.0 if without_noise else sigma, None if without_jpeg else drawn, kernel, given))
    return tuple(pictures)


def _blur(rng: np.random.Generator, scale: int, variances: tuple[float, float]) -> tuple[BlurKernel | None, Blur]:
    """Return an uneven Gaussian kernel of any direction, or none, and its covariance as it would be measured."""
    if rng.random() < BICUBIC_SHARE:
        return None, _measured(rng, np.diag(BICUBIC[::2]))
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wanted = turn @ np.diag(rng.uniform(*variances, 2) * scale**2) @ turn.T
    even = gaussian(wanted, scale)
    kernel = centred(even * rng.uniform(1 - UNEVEN, 1 + UNEVEN, even.shape), scale)
    return kernel, _measured(rng, covariance(kernel.values) / scale**2)


def _measured(rng: np.random.Generator, true: Values) -> Blur:
    rows, columns = np.exp(rng.normal(0, ESTIMATES_VARY / 2, 2))
    return float(true[0, 0] * rows**2), float(true[0, 1] * rows * columns), float(true[1, 1] * columns**2)


@torch.no_grad()
def downsampled(hr: Tensor, parameters: Sequence[Known], scale: int, margin: int) -> Tensor:
    """Return LR of ``hr`` (N, 3, H, W) without its ``margin`` HR pixels at each side, in whole levels of 255."""
    inner = slice(margin // scale, -(margin // scale))
    lr = chains.bicubic(hr, scale)[..., inner, inner]
    for number, one in enumerate(parameters):
        if one.kernel is not None:
            lr[number] = in_levels(downsample(hr[number : number + 1], one.kernel, scale)[0, :, inner, inner])
    return lr


@torch.no_grad()
def apply(images: Tensor, parameters: Sequence[Known], rng: np.random.Generator) -> Tensor:
    """Return ``images`` (N, 3, H, W) in [0, 1] with noise, then JPEG, in whole levels of 255."""
    sigma = np.array([one.noise for one in parameters], np.float32)[:, None, None, None] / 255
    noise = rng.standard_normal(tuple(images.shape), np.float32) * sigma
    noisy = in_levels(images + torch.from_numpy(noise).to(images))
    chosen = [number for number, one in enumerate(parameters) if one.jpeg_quality is not None]
    if chosen:
        quality = torch.tensor([parameters[number].jpeg_quality for number in chosen])
        noisy[chosen] = jpeg.apply(noisy[chosen], quality)
    return noisy

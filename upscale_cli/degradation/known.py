"""Degradation of known strength: noise and JPEG, which a conditioned network is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from upscale_cli.degradation import jpeg
from upscale_cli.degradation.chains import in_levels
from upscale_cli.images.jpeg_quality import quality_of
from upscale_cli.networks.conditioned import coarseness


@dataclass(frozen=True)
class Known:
    """How one picture is degraded: standard deviation of its noise in levels of 255, and JPEG quality or None."""

    noise: float
    jpeg_quality: int | None


def draw(
    rng: np.random.Generator, count: int, quality: tuple[int, int], noise: float, clean: float
) -> tuple[Known, ...]:
    """Return parameters for ``count`` pictures.

    Each is left without noise, and without JPEG, by the probability ``clean``. The standard deviation is drawn evenly
    from 0 to ``noise``, the quality by the logarithm of how coarse its quantisation is.
    """
    coarse = [np.log(max(coarseness(end), 1)) for end in quality]
    pictures = []
    for _ in range(count):
        without_noise, without_jpeg = rng.random(2) < clean
        sigma, drawn = rng.uniform(0, noise), round(quality_of(np.exp(rng.uniform(coarse[1], coarse[0]))))
        pictures.append(Known(0.0 if without_noise else sigma, None if without_jpeg else drawn))
    return tuple(pictures)


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

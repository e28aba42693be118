"""Gaussian and Poisson noise, of colours or of brightness alone, with its own strength for every picture.

As in Real-ESRGAN's second-order degradation (Wang et al. 2021, section 3.2) and BasicSR's functions for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
COUNT_BITS = 9  # counts go up to 511, which a Poisson count of mean 256 exceeds once in 1e43
KEEP_BITS, STEP_BITS = 21, 10


@dataclass(frozen=True)
class NoiseParameters:
    """The noise of one picture.

    ``strength``: of Gaussian noise the standard deviation in levels of 255, of Poisson noise a factor on it.
    ``gray``: the same noise in all channels.
    """

    kind: Literal["gaussian", "poisson"]
    strength: float
    gray: bool


def apply(images: Tensor, parameters: Sequence[NoiseParameters], generator: torch.Generator) -> Tensor:
    """Return pictures (N, 3, H, W) in [0, 1], each with its noise, clamped. The generator is on their device."""
    result = images.clone()
    for make, kind in ((gaussian, "gaussian"), (poisson, "poisson")):
        for gray in (False, True):
            chosen = [i for i, one in enumerate(parameters) if (one.kind, one.gray) == (kind, gray)]
            if chosen:
                strength = images.new_tensor([parameters[i].strength for i in chosen])
                noise = make([images[i] for i in chosen], strength, gray, generator)
                for i, field in zip(chosen, noise, strict=True):
                    result[i].add_(field)
    return result.clamp_(0, 1)


def gaussian(images: Sequence[Tensor], sigma: Tensor, gray: bool, generator: torch.Generator) -> Tensor:
    """Return noise for N pictures (3, H, W) of standard deviation ``sigma`` (N,) / 255: (N, 3 or, gray, 1, H, W)."""
    shape = (len(images), 1 if gray else 3, *images[0].shape[1:])
    noise = torch.empty(shape, dtype=sigma.dtype, device=sigma.device).normal_(generator=generator)
    return noise.mul_(sigma.view(-1, 1, 1, 1) / 255)


def poisson(images: Sequence[Tensor], scale: Tensor, gray: bool, generator: torch.Generator) -> Tensor:
    """Return noise for N pictures (3, H, W) whose variance grows with the brightness, times ``scale`` (N,).

    The picture, in 8 bits, is taken for counts of photons: brightness v is a mean count of v·L, where L is the number
    of levels that occur in the picture, rounded up to a power of two. The noise is count / L - v, (N, 3, H, W). Gray
    noise is drawn from the luma and has the shape (N, 1, H, W).
    """
    source = torch.stack([brightness(image) if gray else image for image in images])
    levels = source.mul_(255).round_().clamp_(0, 255).int()
    grades = _grades(levels)
    counts = _poisson_counts(levels, grades, generator)
    photons = torch.tensor([2.0**grade for grade in grades]).to(scale)
    noise = counts.to(scale.dtype).mul_((255 / photons).view(-1, 1, 1, 1)).sub_(levels)
    return noise.mul_(scale.view(-1, 1, 1, 1) / 255)


def brightness(image: Tensor) -> Tensor:
    """Return the luma (1, H, W) of an RGB picture."""
    return (image[:1] * LUMA[0]).add_(image[1:2], alpha=LUMA[1]).add_(image[2:], alpha=LUMA[2])


def _grades(levels: Tensor) -> list[int]:
    """Return log2 of the number of different levels in each picture, rounded up: 0 to 8."""
    count = levels.shape[0]
    first = torch.arange(0, 256 * count, 256, dtype=torch.int32, device=levels.device).view(-1, 1, 1, 1)
    seen = torch.bincount((levels + first).flatten(), minlength=256 * count).view(count, 256)
    return [math.ceil(math.log2(different)) for different in (seen > 0).sum(1).tolist()]


def _poisson_counts(levels: Tensor, grades: list[int], generator: torch.Generator) -> Tensor:
    """Return Poisson counts (N, C, H, W), int32, of mean level / 255 · 2^grade.

    There are only 256 means for a grade, so tables of Walker's alias method give each count by one random number and
    one look-up, as exactly as 30 random bits allow; general samplers take about eight times as long.
    """
    used = sorted(set(grades))
    table = torch.cat([_alias_table(grade) for grade in used]).to(levels.device)
    first = torch.tensor([used.index(grade) << (8 + COUNT_BITS) for grade in grades], dtype=torch.int32)
    random = torch.empty_like(levels).random_(generator=generator)  # 31 bits
    column = random & (2**COUNT_BITS - 1)
    entry = torch.add(column, levels, alpha=2**COUNT_BITS)
    if len(used) > 1:
        entry += first.to(levels.device).view(-1, 1, 1, 1)
    found = table.index_select(0, entry.view(-1)).view_as(levels)
    leave = random.bitwise_or_(2**STEP_BITS - 1) >= found  # compares the upper bits alone
    step = (found & (2**STEP_BITS - 1)).sub_(2**COUNT_BITS).mul_(leave)
    return torch.add(column, step)


@lru_cache(maxsize=9)
def _alias_table(grade: int) -> Tensor:
    """Return the table (256 * 512,), int32, with an entry for each level and count k.

    Its upper bits are the probability to keep k, its ten lower ones the step from k to the count taken otherwise, plus
    512. A random number whose 21 upper bits of 31 are at least the probability leaves k.
    """
    counts, means = np.arange(2**COUNT_BITS), np.arange(256)[:, None] / 255 * 2**grade
    probability = np.exp(special.xlogy(counts, means) - means - special.gammaln(counts + 1))
    probability /= probability.sum(1, keepdims=True)
    keep, alias = np.ones_like(probability), np.tile(counts, (256, 1))
    for level in range(256):
        _fill_alias(probability[level] * 2**COUNT_BITS, keep[level], alias[level])
    step = alias - counts + 2**COUNT_BITS
    upper = np.minimum(np.rint(keep * 2**KEEP_BITS), 2**KEEP_BITS - 1).astype(np.int32)
    return torch.from_numpy((upper << STEP_BITS | step.astype(np.int32)).ravel())


def _fill_alias(scaled: NDArray[np.float64], keep: NDArray[np.float64], alias: NDArray[np.int64]) -> None:
    """Fill ``keep`` and ``alias`` by Vose's construction (1991): each column below 1 is filled up by one above it."""
    low, high = list(np.flatnonzero(scaled < 1)), list(np.flatnonzero(scaled >= 1))
    while low and high:
        small, large = low.pop(), high[-1]
        keep[small], alias[small] = scaled[small], large
        scaled[large] -= 1 - scaled[small]
        if scaled[large] < 1:
            low.append(high.pop())

"""Gaussian and Poisson noise, of colours or of brightness alone, with its own strength for every picture.

As in Real-ESRGAN's second-order degradation (Wang et al. 2021, section 3.2) and BasicSR's functions for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
MOST_COUNTS = 512  # a Poisson count of mean 256 exceeds it once in 1e43


@dataclass(frozen=True)
class NoiseParameters:
    """``strength``: of Gaussian noise its deviation in levels of 255, of Poisson noise a factor on the noise.

    ``gray``: the same noise in all channels.
    """

    kind: Literal["gaussian", "poisson"]
    strength: float
    gray: bool


def apply(images: Tensor, parameters: Sequence[NoiseParameters], generator: torch.Generator) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1], each with its noise, clamped to [0, 1]. The generator lives on their device."""
    result = images.clone()
    for kind in ("gaussian", "poisson"):
        for gray in (False, True):
            chosen = [i for i, one in enumerate(parameters) if (one.kind, one.gray) == (kind, gray)]
            if not chosen:
                continue
            strength = images.new_tensor([parameters[i].strength for i in chosen])
            make = gaussian if kind == "gaussian" else poisson
            for i, noise in zip(chosen, make(images[chosen], strength, gray, generator), strict=True):
                result[i] += noise
    return result.clamp_(0, 1)


def gaussian(images: Tensor, sigma: Tensor, gray: bool, generator: torch.Generator) -> Tensor:
    """Noise for pictures (N, 3, H, W): deviation ``sigma`` (N,) / 255, in (N, 3, H, W) or, gray, (N, 1, H, W)."""
    shape = (images.shape[0], 1 if gray else images.shape[1], *images.shape[2:])
    noise = torch.empty(shape, dtype=images.dtype, device=images.device).normal_(generator=generator)
    return noise.mul_(sigma.view(-1, 1, 1, 1) / 255)


def poisson(images: Tensor, scale: Tensor, gray: bool, generator: torch.Generator) -> Tensor:
    """Noise for pictures (N, 3, H, W) whose variance grows with the brightness, times ``scale`` (N,).

    The picture, in 8 bits, is taken for counts of photons: brightness v is a mean count of v·L, where L is the number
    of levels that occur in the picture, rounded up to a power of two. The noise is count / L - v. Gray noise is drawn
    from the luma and has the shape (N, 1, H, W).
    """
    source = images if not gray else (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    levels = source.mul(255).round_().clamp_(0, 255).int()
    grades = _grades(levels)
    counts = _poisson_counts(levels, grades, generator)
    photons = (2.0**grades).to(images.dtype).view(-1, 1, 1, 1)
    return counts.div_(photons).sub_(levels, alpha=1 / 255).mul_(scale.view(-1, 1, 1, 1))


def _grades(levels: Tensor) -> Tensor:
    """log2 of the number of different levels in each picture, rounded up; (N,) in 0 ... 8."""
    seen = torch.zeros(levels.shape[0], 256, device=levels.device)
    seen.scatter_(1, levels.flatten(1).long(), 1.0)
    return seen.sum(1).log2().ceil().long()


def _poisson_counts(levels: Tensor, grades: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson counts of mean level / 255 · 2^grade, as floats.

    There are only 256 means for a grade, so tables of Walker's alias method (Vose 1991) give each count exactly, up to
    the resolution of the random numbers, by one random number and two look-ups; general samplers take far longer.
    """
    counts = torch.empty(levels.shape, device=levels.device)
    for grade in sorted(set(grades.tolist())):
        chosen = (grades == grade).nonzero().flatten()
        keep, alias = (table.to(levels.device) for table in _alias_tables(int(grade)))
        columns = keep.shape[1]
        draw = torch.rand(levels[chosen].shape, generator=generator, device=levels.device).mul_(columns)
        column = draw.int().clamp_(max=columns - 1)
        entry = levels[chosen].mul_(columns).add_(column).long()
        draw.sub_(column)
        counts[chosen] = torch.where(draw < torch.take(keep, entry), column, torch.take(alias, entry)).float()
    return counts


@lru_cache(maxsize=9)
def _alias_tables(grade: int) -> tuple[Tensor, Tensor]:
    """(keep, alias), each (256, counts): in column k the count k with probability keep, else the alias."""
    means = np.arange(256) / 255 * 2**grade
    columns = min(MOST_COUNTS, 2 ** (grade + 4))
    table = _poisson_probabilities(means, columns)
    keep, alias = np.ones((256, columns), np.float32), np.tile(np.arange(columns, dtype=np.int32), (256, 1))
    for level in range(256):
        _fill_alias(table[level] * columns, keep[level], alias[level])
    return torch.from_numpy(keep), torch.from_numpy(alias)


def _poisson_probabilities(means: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """(means, columns): how probable each count is."""
    counts = np.arange(columns)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, columns)))])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(counts == 0, 0.0, counts * np.log(means)[:, None]) - means[:, None] - log_factorials
    table: NDArray[np.float64] = np.exp(logs)
    table /= table.sum(1, keepdims=True)
    return table


def _fill_alias(scaled: NDArray[np.float64], keep: NDArray[np.float32], alias: NDArray[np.int32]) -> None:
    """Vose's construction: each column too low is filled up by one that is too high."""
    low, high = list(np.flatnonzero(scaled < 1)), list(np.flatnonzero(scaled >= 1))
    while low and high:
        small, large = low.pop(), high[-1]
        keep[small], alias[small] = scaled[small], large
        scaled[large] -= 1 - scaled[small]
        if scaled[large] < 1:
            low.append(high.pop())

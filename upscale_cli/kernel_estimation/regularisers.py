"""Which kernels are plausible, and when that counts (KernelGAN, eq. 3 and its published source)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SUM_WEIGHT, BOUNDARY_WEIGHT = 0.5, 0.5
SPARSITY_WEIGHT, CENTER_WEIGHT = 5.0, 1.0
SPARSITY_POWER = 0.2
BICUBIC_FIRST, BICUBIC_LEAST, BICUBIC_FALL = 5.0, 5e-6, 100.0
FALLS_EVERY = 200  # iterations
SIMILAR_BELOW, SIMILAR_TIMES = 0.4, 3
SHAPED_BELOW = 5e-3  # weight of the bicubic term from which on sparsity and centring count
MASK_HEIGHT = 30.0


@dataclass
class Schedule:
    """The weights during training: at first the kernel is led to bicubic, then let go, then made sparse and centred."""

    bicubic: float = BICUBIC_FIRST
    times_similar: int = 0

    @property
    def shaped(self) -> bool:
        """Whether sparsity and centring count."""
        return self.bicubic < SHAPED_BELOW

    def advance(self, iteration: int, bicubic_loss: float) -> None:
        """Update the weights after ``iteration``, counted from 0."""
        if self.times_similar < SIMILAR_TIMES:
            self.times_similar = self.times_similar + 1 if bicubic_loss < SIMILAR_BELOW else 0
        elif iteration % FALLS_EVERY == 0:
            self.bicubic = max(self.bicubic / BICUBIC_FALL, BICUBIC_LEAST)


@dataclass(frozen=True)
class Regularisers:
    """Constants for kernels (size, size): the mask of the boundary (size, size), and the centre of mass wanted."""

    mask: Tensor
    indices: Tensor
    center: float

    def loss(self, kernel: Tensor, shaped: bool) -> Tensor:
        """Return the loss of a sum other than 1 and of values at the boundary.

        With ``shaped`` also of many values, and of a centre of mass in another place.
        """
        total = kernel.sum()
        magnitude = kernel.abs()
        loss = SUM_WEIGHT * (1 - total).abs() + BOUNDARY_WEIGHT * (magnitude * self.mask).mean()
        if not shaped:
            return loss
        centers = torch.stack([kernel.sum(1) @ self.indices, kernel.sum(0) @ self.indices]) / total
        loss = loss + CENTER_WEIGHT * ((centers - self.center) ** 2).mean()
        return loss + SPARSITY_WEIGHT * (magnitude**SPARSITY_POWER).mean()


def regularisers(size: int, scale: int) -> Regularisers:
    """Return the regularisers for kernels (size, size), size odd, of ``scale``."""
    offsets = torch.arange(size) - size // 2
    row = torch.exp(-(offsets**2) / (2 * size**2))
    mask = MASK_HEIGHT * (1 - torch.outer(row, row))
    free = (size - (size // 2 + 1)) // 2 - 1
    mask[free:-free, free:-free] = 0
    return Regularisers(mask, torch.arange(size, dtype=torch.float32), size // 2 + (scale - 1) / 2)

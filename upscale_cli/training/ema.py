"""The averaged network: smoother than the last one, and better."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """average ← d·average + (1 - d)·network, with d = min(decay, (1 + step) / (10 + step)).

    The smaller d of the first steps keeps the untrained start out of the average. Buffers (BatchNorm's statistics,
    which are averages already) are copied.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), share)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)

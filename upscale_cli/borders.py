"""Pictures continued beyond their borders, by mirroring or by repetition, as often as it takes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Wraps = tuple[bool, bool]  # whether a picture is repeated beyond its borders: downwards, and across
NO_WRAPS: Wraps = (False, False)


def repeated(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Return which of ``length`` pixels stand at ``start`` to ``stop``, without it, of a row that repeats itself."""
    return np.arange(start, stop) % length


def mirrored(start: int, stop: int, length: int, *, edge_twice: bool) -> NDArray[np.intp]:
    """Return which of ``length`` pixels stand at ``start`` to ``stop``, without it, of a row continued by mirroring.

    ``edge_twice``: the mirror lies behind the edge pixel (2 1 0 | 0 1 2), not on it (2 1 | 0 1 2).
    """
    period = 2 * length if edge_twice else max(1, 2 * length - 2)
    index = np.arange(start, stop) % period
    return np.minimum(index, period - edge_twice - index)


def pad_mirrored(image: Tensor, margin: int, *, edge_twice: bool) -> Tensor:
    """Return ``image`` (N, C, H, W) with ``margin`` more pixels at every side."""
    if not edge_twice and margin < min(image.shape[-2:]):
        return F.pad(image, (margin,) * 4, mode="reflect")
    for dim in (2, 3):
        length = image.shape[dim]
        index = torch.from_numpy(mirrored(-margin, length + margin, length, edge_twice=edge_twice))
        image = image.index_select(dim, index.to(image.device))
    return image

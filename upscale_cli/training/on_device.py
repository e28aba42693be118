"""Training pictures in the memory of a device, and crops cut there: for GPUs that train faster than CPUs cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli import device as devices
from upscale_cli.errors import UsageError
from upscale_cli.images.picture import Pixels
from upscale_cli.training.recipe import Data

SHARE_OF_FREE_MEMORY = 0.5
# Per number of quarter turns: whether rows and columns change places, and which of them then run backwards.
SWAPPED, ROWS_BACK, COLUMNS_BACK = (
    torch.tensor(bits, dtype=torch.bool) for bits in ([0, 1] * 2, [0, 0, 1, 1], [0, 1, 1, 0])
)


class DevicePictures:
    """``pictures``, uint8 (H, W, 3), on ``device``; the sums of the shares in which they are drawn are ``cumulated``.

    Raises UsageError where they do not fit.
    """

    def __init__(self, pictures: Sequence[Pixels], cumulated: NDArray[np.float64], device: torch.device) -> None:
        needed, free = sum(picture.nbytes for picture in pictures), devices.free_memory(device)
        if needed > SHARE_OF_FREE_MEMORY * free:
            sizes = f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free on {device}"
            raise UsageError(f"The training pictures take {sizes}.", "Leave out data.on_device.")
        self._pixels = torch.from_numpy(np.concatenate([picture.reshape(-1, 3) for picture in pictures])).to(device)
        self._sizes = np.array([picture.shape[:2] for picture in pictures], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes.prod(1))[:-1]])
        self._cumulated = cumulated

    def crops(self, rng: Generator, data: Data, side: int, margin: int, scale: int) -> Tensor:
        """Return a batch of crops, uint8 (N, S, S, 3), S = (side + 2·margin)·scale, at places that LR pixels divide.

        ``side`` and ``margin`` are in LR pixels; margins reach beyond borders, mirrored there with the edge pixel
        repeated.
        """
        count = data.batch
        chosen = np.searchsorted(self._cumulated, rng.random(count), side="right").clip(max=len(self._starts) - 1)
        sizes = self._sizes[chosen]
        places = (rng.random((count, 2)) * np.maximum(1, sizes // scale - side + 1)).astype(np.int64)
        turns = torch.from_numpy(rng.integers(4, size=count) if data.rotations else np.zeros(count, np.int64))
        flipped = torch.from_numpy(rng.integers(2, size=count).astype(bool) if data.flips else np.zeros(count, bool))
        numbers = np.concatenate([(places - margin) * scale, sizes, self._starts[chosen, None]], 1)
        y, x, height, width, start = self._moved(torch.from_numpy(numbers)).view(count, 5, 1, 1).unbind(1)
        bits = torch.stack([SWAPPED[turns], ROWS_BACK[turns], COLUMNS_BACK[turns] ^ flipped], 1)
        swapped, rows_back, columns_back = self._moved(bits).view(count, 3, 1, 1).unbind(1)
        along = torch.arange((side + 2 * margin) * scale, device=self._pixels.device)
        down, across = along.view(1, -1, 1), along.view(1, 1, -1)
        rows, columns = torch.where(swapped, across, down), torch.where(swapped, down, across)
        rows = torch.where(rows_back, len(along) - 1 - rows, rows)
        columns = torch.where(columns_back, len(along) - 1 - columns, columns)
        return self._pixels[start + _mirrored(y + rows, height) * width + _mirrored(x + columns, width)]

    def _moved(self, numbers: Tensor) -> Tensor:
        """Return ``numbers`` on the device, copied while it computes."""
        on_cuda = self._pixels.device.type == "cuda"
        return (numbers.pin_memory() if on_cuda else numbers).to(self._pixels.device, non_blocking=True)


def _mirrored(at: Tensor, length: Tensor) -> Tensor:
    """Return which of ``length`` pixels stands ``at`` places of a row continued by mirroring, the edge pixel twice."""
    index = at.remainder(2 * length)
    return torch.minimum(index, 2 * length - 1 - index)

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
        chosen = np.searchsorted(self._cumulated, rng.random(data.batch), side="right").clip(max=len(self._starts) - 1)
        sizes, starts = self._sizes[chosen], self._starts[chosen, None]
        places = (rng.random((data.batch, 2)) * np.maximum(1, sizes // scale - side + 1)).astype(np.int64)
        where = torch.from_numpy(np.concatenate([(places - margin) * scale, sizes, starts], 1))
        y, x, height, width, start = self._per_crop(where)
        along = torch.arange((side + 2 * margin) * scale, device=self._pixels.device)
        rows, columns = _turned(along, *self._per_crop(_drawn_orientations(rng, data)))
        return self._pixels[start + _mirrored(y + rows, height) * width + _mirrored(x + columns, width)]

    def _per_crop(self, values: Tensor) -> tuple[Tensor, ...]:
        """Return the columns of ``values`` (N, K) as K tensors (N, 1, 1) on the device, copied while it computes."""
        on_cuda = self._pixels.device.type == "cuda"
        moved = (values.pin_memory() if on_cuda else values).to(self._pixels.device, non_blocking=True)
        return moved[..., None, None].unbind(1)


def _drawn_orientations(rng: Generator, data: Data) -> Tensor:
    """Return for each crop whether its axes are swapped, its rows and its columns run backwards, (N, 3)."""
    turns = torch.from_numpy(rng.integers(4, size=data.batch) if data.rotations else np.zeros(data.batch, np.int64))
    flipped = torch.from_numpy((rng.integers(2, size=data.batch) if data.flips else np.zeros(data.batch)) > 0)
    return torch.stack([SWAPPED[turns], ROWS_BACK[turns], COLUMNS_BACK[turns] ^ flipped], 1)


def _turned(along: Tensor, swapped: Tensor, rows_back: Tensor, columns_back: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns (N, S, S) of the pixels that turned crops show, of the numbers ``along`` a side (S)."""
    down, across = along.view(1, -1, 1), along.view(1, 1, -1)
    rows, columns = torch.where(swapped, across, down), torch.where(swapped, down, across)
    last = len(along) - 1
    return torch.where(rows_back, last - rows, rows), torch.where(columns_back, last - columns, columns)


def _mirrored(at: Tensor, length: Tensor) -> Tensor:
    """Return which of ``length`` pixels stands ``at`` places of a row continued by mirroring, the edge pixel twice."""
    index = at.remainder(2 * length)
    return torch.minimum(index, 2 * length - 1 - index)

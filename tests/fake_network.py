"""Networks and devices whose behaviour tests know."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import DTypeLike, NDArray
from torch import Tensor, nn

from upscale_cli.networks import NetworkSpec, build
from upscale_cli.weights.state_dict import save_state

CPU = torch.device("cpu")
SPEC = NetworkSpec("fake", scale=2, in_channels=3, out_channels=3, receptive_radius=1)


class Enlarge(nn.Module):
    """Nearest enlargement by two through one convolution of known weights; above 1, half precision overflows."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        nn.init.dirac_(self.conv.weight)
        self.gain = gain

    def forward(self, lr: Tensor) -> Tensor:
        scaled: Tensor = self.conv(lr) * self.gain / self.gain
        return F.interpolate(scaled, scale_factor=2.0, mode="nearest")


def save_tiny_network(path: Path) -> str:
    """Write a weights file of a network too small to be slow, which enlarges twice; return its path."""
    torch.manual_seed(0)
    spec = NetworkSpec("compact", 2, 3, 3, 3, hyperparameters={"features": 4, "convolutions": 1})
    save_state(path, build(spec).state_dict(), {})
    return str(path)


def picture(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


def enlarged(pixels: NDArray[Any], scale: int = 2) -> NDArray[Any]:
    """Return what ``Enlarge`` makes of ``pixels``."""
    return pixels.repeat(scale, 0).repeat(scale, 1)


class FakeLane:
    """A device that blurs with zeros beyond the tile, and repeats pixels.

    ``radius``: how far it sees. ``limit``: pixels of the largest tile that fits its memory. ``seconds``: how long
    sending, computing and fetching a tile take. Counts the bytes that move.
    """

    device = CPU

    def __init__(
        self, scale: int = 1, radius: int = 0, limit: float = float("inf"), seconds: tuple[float, float] = (0, 0)
    ) -> None:
        self.scale, self.radius, self.limit, self.seconds = scale, radius, limit, seconds
        self.sent: list[int] = []
        self.fetched: list[int] = []
        self.tiles = 0

    def send(self, tiles: NDArray[Any]) -> Tensor:
        time.sleep(self.seconds[0])
        self.sent.append(tiles.nbytes)
        return torch.from_numpy(tiles)

    def compute(self, tiles: Tensor, dtype: DTypeLike) -> NDArray[Any]:
        if tiles.shape[0] * tiles.shape[1] * tiles.shape[2] > self.limit:
            raise MemoryError
        time.sleep(self.seconds[1])
        self.tiles += tiles.shape[0]
        margin = (0, 0), (self.radius,) * 2, (self.radius,) * 2, (0, 0)
        around = np.pad(tiles.numpy().astype(np.int64), margin)
        windows = np.lib.stride_tricks.sliding_window_view(around, (2 * self.radius + 1,) * 2, (1, 2))
        weights = np.arange(1, windows.shape[-1] ** 2 + 1).reshape(windows.shape[-1], -1)
        blurred = (windows * weights).sum((-1, -2)) // weights.sum()
        result: NDArray[Any] = blurred.repeat(self.scale, 1).repeat(self.scale, 2).astype(dtype)
        return result

    def fetch(self, tiles: Tensor, result: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        time.sleep(self.seconds[0])
        self.fetched.append(result.nbytes)
        return result

"""Training pictures: found, paired with their LR, decoded when they are needed, and kept while memory allows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from upscale_cli import device as devices
from upscale_cli.errors import InputError
from upscale_cli.evaluation import read_hr, read_rgb8
from upscale_cli.images.pairs import paired, pictures_in
from upscale_cli.images.picture import Pixels
from upscale_cli.notices import Notify, warning
from upscale_cli.training.on_device import DevicePictures
from upscale_cli.training.recipe import Data

CACHE_SHARE = 0.4  # of the free memory, where the recipe leaves the choice to us
TRIES = 100  # draws until one can be read

Source = tuple[Path, Path | None]  # HR, and LR where it is given


@dataclass(frozen=True)
class Decoded:
    """The pixels of one picture, uint8 (H, W, 3); ``lr`` of H/scale and W/scale where LR pictures are given."""

    hr: Pixels
    lr: Pixels | None = None


def find(data: Data) -> list[list[Source]]:
    """Return the pictures of each HR folder, subfolders included. Raises InputError for missing and empty folders."""
    if data.lr:
        folders = zip(data.hr, data.lr, strict=True)
        return [list(paired(Path(hr), Path(lr), recursive=True, kind="LR picture")) for hr, lr in folders]
    return [[(path, None) for path in pictures_in(Path(hr), recursive=True)] for hr in data.hr]


class PictureStore:
    """Decodes pictures and caches them. Safe to use from several threads; unreadable ones are reported and skipped."""

    def __init__(self, folders: Sequence[Sequence[Source]], scale: int, data: Data, notify: Notify) -> None:
        self._sources = [source for folder in folders for source in folder]
        self._scale = scale
        self._shares = np.concatenate(
            [np.full(len(folder), 1 / len(folder) if data.draw == "folder" else 1) for folder in folders]
        )
        self._cumulated = _cumulated(self._shares)
        free = devices.free_memory(torch.device("cpu"))
        self._budget = int(free * CACHE_SHARE if data.cache < 0 else data.cache * 2**30)
        self._kept: dict[int, Decoded] = {}
        self._bad: set[int] = set()
        self._lock = threading.Lock()
        self._notify = notify

    def __len__(self) -> int:
        return len(self._sources)

    def draw(self, rng: Generator) -> Decoded:
        """Return a picture at random, one that can be read. Raises InputError where hardly any can."""
        for _ in range(TRIES):
            number = int(np.searchsorted(self._cumulated, rng.random(), side="right"))
            decoded = self._get(min(number, len(self) - 1))
            if decoded is not None:
                return decoded
        raise _unreadable()

    def on(self, device: torch.device) -> DevicePictures:
        """Return all HR pictures that can be read, in the memory of ``device``. Raises InputError, UsageError."""
        with ThreadPoolExecutor() as pool:
            decoded = list(pool.map(self._get, range(len(self))))
        there = [(one.hr, share) for one, share in zip(decoded, self._shares, strict=True) if one is not None]
        if not there:
            raise _unreadable()
        self._kept.clear()
        hr, shares = zip(*there, strict=True)
        return DevicePictures(hr, _cumulated(np.array(shares)), device)

    def _get(self, number: int) -> Decoded | None:
        """Return a picture from the cache or its files; None where it cannot be read."""
        kept = self._kept.get(number)
        if kept is not None or number in self._bad:
            return kept
        try:
            decoded = self._decode(self._sources[number])
        except InputError as error:
            with self._lock:
                if number not in self._bad:
                    self._bad.add(number)
                    self._notify(warning(f"Left out of the training: {error.message}"))
            return None
        size = decoded.hr.nbytes + (0 if decoded.lr is None else decoded.lr.nbytes)
        with self._lock:
            if number not in self._kept and size <= self._budget:
                self._kept[number] = decoded
                self._budget -= size
        return decoded

    def _decode(self, source: Source) -> Decoded:
        (hr_path, lr_path), scale = source, self._scale
        hr = read_hr(hr_path, scale)
        if 0 in hr.shape:
            raise InputError(f"{hr_path} is smaller than one LR pixel.")
        if lr_path is None:
            return Decoded(hr)
        lr = read_rgb8(lr_path)
        if (lr.shape[0] * scale, lr.shape[1] * scale) != hr.shape[:2]:
            sizes = f"{lr.shape[1]}x{lr.shape[0]} pixels, which is not a {scale}th of {hr_path}"
            raise InputError(f"{lr_path} has {sizes}.")
        return Decoded(hr, lr)


def _cumulated(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    summed: NDArray[np.float64] = np.cumsum(shares) / np.sum(shares)
    return summed


def _unreadable() -> InputError:
    return InputError("Almost none of the training pictures can be read.", "Check the folders of --hr.")

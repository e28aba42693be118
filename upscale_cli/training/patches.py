"""Batches of patches: every one follows from (seed, step, index) alone, so that a resumed run sees the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from os import cpu_count

import numpy as np
import torch
from numpy.random import Generator as Rng
from torch import Tensor

from upscale_cli.degradation import chains
from upscale_cli.images.crops import oriented, window
from upscale_cli.images.picture import Pixels
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.orientation import Orientation
from upscale_cli.resize import BICUBIC_REACH
from upscale_cli.training.distributed import Team
from upscale_cli.training.pictures import PictureStore
from upscale_cli.training.recipe import Recipe

AHEAD = 2  # batches per worker that wait to be used
# Words that keep apart what is drawn from the same (seed, step).
DEGRADATION, MIXTURE = 1, 2


@dataclass(frozen=True)
class Batch:
    """(N, 3, h, w) LR and (N, 3, h·scale, w·scale) HR, RGB in [0, 1]."""

    lr: Tensor
    hr: Tensor


@dataclass(frozen=True)
class Crops:
    """uint8 (N, H, W, 3) HR crops, with the margin that the degradation needs; LR where it is given."""

    hr: Tensor
    lr: Tensor | None = None


class Patches:
    """Draws batches for one recipe. ``kernels``: those of ``degradation.kernels``."""

    def __init__(
        self, recipe: Recipe, store: PictureStore, kernels: tuple[BlurKernel, ...], device: torch.device, team: Team
    ) -> None:
        self._recipe, self._store, self._kernels = recipe, store, kernels
        self._device, self._team = device, team

    def from_step(self, first: int, last: int) -> Generator[Batch]:
        """The batches of steps ``first`` to ``last``, the last excluded, prepared ahead in threads."""
        workers = self._recipe.data.workers or max(1, (cpu_count() or 2) - 1)
        prepare = self._batch if self._device.type == "cpu" else self._crops
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
        waiting: deque[Future[Batch | Crops]] = deque()
        steps = iter(range(first, last))
        with closing(_Stopping(pool)):
            for step in range(first, last):
                while len(waiting) < AHEAD * workers and (ahead := next(steps, None)) is not None:
                    waiting.append(pool.submit(prepare, ahead))
                ready = waiting.popleft().result()
                yield ready if isinstance(ready, Batch) else self._degraded(ready, step)

    def _batch(self, step: int) -> Batch:
        return self._degraded(self._crops(step), step)

    def _crops(self, step: int) -> Crops:
        """This process's share of the step's samples."""
        batch = self._recipe.data.batch
        indices = range(self._team.rank * batch, (self._team.rank + 1) * batch)
        pairs = [self._crop(np.random.default_rng([self._recipe.run.seed, step, index])) for index in indices]
        hr = torch.from_numpy(np.stack([hr for hr, _ in pairs]))
        lr = [lr for _, lr in pairs if lr is not None]
        return Crops(hr, torch.from_numpy(np.stack(lr)) if lr else None)

    def _crop(self, rng: Rng) -> tuple[Pixels, Pixels | None]:
        """One HR crop, and its LR where that is given, in one of the eight orientations."""
        data, scale = self._recipe.data, self._recipe.network.scale
        picture = self._store.draw(rng)
        side, margin = max(data.hr_patch, self._recipe.degradation.canvas) // scale, self._margin() // scale
        y, x = (int(rng.integers(max(1, length // scale - side + 1))) for length in picture.hr.shape[:2])
        turns = int(rng.integers(4)) if data.rotations else 0
        mirrored = bool(rng.integers(2)) if data.flips else False
        hr = window(picture.hr, (y - margin) * scale, (x - margin) * scale, (side + 2 * margin) * scale)
        lr = None if picture.lr is None else window(picture.lr, y, x, side)
        orientation = Orientation(-turns % 4 if mirrored else turns, mirrored)  # turned first, then mirrored
        return oriented(hr, orientation), None if lr is None else oriented(lr, orientation)

    def _margin(self) -> int:
        """HR pixels around a crop that its LR pixels depend on: cut off later, they make LR exact to the edge."""
        scale, degradation = self._recipe.network.scale, self._recipe.degradation
        if self._recipe.data.lr or degradation.kind == "second-order":
            return 0
        if degradation.kind == "bicubic":
            return BICUBIC_REACH * scale
        return max(len(kernel.values) // 2 // scale + 2 for kernel in self._kernels) * scale

    def _degraded(self, crops: Crops, step: int) -> Batch:
        margin = self._margin()
        hr = _to_float(crops.hr, self._device)
        lr = self._shrunk(hr, step) if crops.lr is None else _to_float(crops.lr, self._device)
        lr, hr = self._patch(lr, _without_border(hr, margin), step)
        return Batch(_channels_last(lr), _channels_last(hr))

    def _shrunk(self, hr: Tensor, step: int) -> Tensor:
        """LR of HR crops, the margin taken off."""
        recipe, scale = self._recipe, self._recipe.network.scale
        kind = recipe.degradation.kind
        if kind == "bicubic":
            return chains.bicubic_inside(hr, scale)
        seed = [recipe.run.seed, step, DEGRADATION, self._team.rank]
        rng = np.random.default_rng(seed)
        if rng.random() < recipe.degradation.clean:
            lr = chains.bicubic(hr, scale)
        elif kind == "second-order":
            lr = chains.degrade(hr.contiguous(), scale, recipe.degradation.second_order, seed)
        else:
            lr = self._by_kernels(hr, rng)
        return _without_border(lr, self._margin() // scale)

    def _by_kernels(self, hr: Tensor, rng: Rng) -> Tensor:
        """Each picture shrunk with one of the kernels, with Gaussian noise, in 8 bits."""
        scale, most = self._recipe.network.scale, self._recipe.degradation.noise
        chosen = [self._kernels[number] for number in rng.integers(len(self._kernels), size=len(hr))]
        lr = torch.cat([downsample(image[None], kernel, scale) for image, kernel in zip(hr, chosen, strict=True)])
        deviations = rng.uniform(0, most, len(hr)) / 255
        noise = rng.standard_normal(tuple(lr.shape), np.float32) * deviations[:, None, None, None]
        noisy = lr + torch.from_numpy(noise.astype(np.float32)).to(lr.device)
        return (noisy.clamp(0, 1) * 255).round() / 255

    def _patch(self, lr: Tensor, hr: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The patch of a larger canvas, at the same place in both."""
        scale, side = self._recipe.network.scale, self._recipe.data.hr_patch // self._recipe.network.scale
        if lr.shape[-1] == side:
            return lr, hr
        rng = np.random.default_rng([self._recipe.run.seed, step, MIXTURE, self._team.rank])
        y, x = (int(rng.integers(length - side + 1)) for length in lr.shape[-2:])
        rows, columns = (slice(at * scale, (at + side) * scale) for at in (y, x))
        return lr[..., y : y + side, x : x + side], hr[..., rows, columns]


class _Stopping:
    """Closes a pool without waiting for what nobody will use."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _to_float(pixels: Tensor, device: torch.device) -> Tensor:
    """uint8 (N, H, W, 3) to (N, 3, H, W) in [0, 1], in the same order in memory: channels last."""
    return pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)


def _without_border(images: Tensor, border: int) -> Tensor:
    return images[..., border:-border, border:-border] if border else images


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)

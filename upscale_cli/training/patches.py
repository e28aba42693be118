"""Batches of patches: every one follows from (seed, step, index) alone, so that a resumed run sees the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import numpy as np
import torch
from numpy.random import Generator as Rng
from torch import Tensor

from upscale_cli.degradation import chains, known
from upscale_cli.images.crops import oriented, window
from upscale_cli.images.picture import Pixels
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.gaussian import gaussian_reach
from upscale_cli.networks.conditioned import conditions
from upscale_cli.orientation import Orientation
from upscale_cli.resize import BICUBIC_REACH
from upscale_cli.training.distributed import Team
from upscale_cli.training.on_device import DevicePictures
from upscale_cli.training.pictures import PictureStore
from upscale_cli.training.recipe import Recipe

AHEAD = 2  # batches per worker that wait to be used
# Words that keep apart what is drawn from the same (seed, step).
DEGRADATION, MIXTURE, POOL, CUTTING = 1, 2, 3, 4


@dataclass(frozen=True)
class Batch:
    """LR (N, 3, h, w) and HR (N, 3, h·scale, w·scale), RGB in [0, 1]; LR's conditions (N, 5) where they are known."""

    lr: Tensor
    hr: Tensor
    conditions: Tensor | None = None


@dataclass(frozen=True)
class Crops:
    """uint8 HR crops (N, H, W, 3), with the margin that the degradation needs, and LR crops where LR is given."""

    hr: Tensor
    lr: Tensor | None = None


class Patches:
    """Draws batches for one recipe. ``kernels``: those of ``degradation.kernels``."""

    def __init__(
        self, recipe: Recipe, store: PictureStore, kernels: tuple[BlurKernel, ...], device: torch.device, team: Team
    ) -> None:
        self._recipe, self._store, self._kernels = recipe, store, kernels
        self._device, self._team = device, team
        self._margin = _margin(recipe, kernels)
        self._on_device = store.on(device) if recipe.data.on_device else None

    def from_step(self, first: int, last: int) -> Generator[Batch]:
        """Yield the batches of steps ``first`` to ``last``, the last excluded, prepared ahead in threads."""
        if self._on_device is not None:
            yield from (self._degraded(self._cut(self._on_device, step), step) for step in range(first, last))
            return
        workers = self._recipe.data.workers or max(1, (cpu_count() or 2) - 1)
        prepare = self._batch if self._device.type == "cpu" else self._crops
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
        waiting: deque[Future[Batch | Crops]] = deque()
        steps = iter(range(first, last))
        try:
            for step in range(first, last):
                while len(waiting) < AHEAD * workers and (ahead := next(steps, None)) is not None:
                    waiting.append(pool.submit(prepare, ahead))
                ready = waiting.popleft().result()
                yield ready if isinstance(ready, Batch) else self._degraded(ready, step)
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, step: int) -> Batch:
        return self._degraded(self._crops(step), step)

    def _crops(self, step: int) -> Crops:
        """Return this process's share of the step's samples."""
        batch = self._recipe.data.batch
        indices = range(self._team.rank * batch, (self._team.rank + 1) * batch)
        pairs = [self._crop(np.random.default_rng([self._recipe.run.seed, step, index])) for index in indices]
        hr = torch.from_numpy(np.stack([hr for hr, _ in pairs]))
        lr = [lr for _, lr in pairs if lr is not None]
        return Crops(hr, torch.from_numpy(np.stack(lr)) if lr else None)

    def _cut(self, pictures: DevicePictures, step: int) -> Crops:
        """Return the crops that the device cuts from its pictures."""
        data, scale = self._recipe.data, self._recipe.network.scale
        rng = np.random.default_rng([self._recipe.run.seed, step, CUTTING, self._team.rank])
        return Crops(pictures.crops(rng, data, self._side(), self._margin // scale, scale))

    def _side(self) -> int:
        """Return the LR side of a crop, its margin left out."""
        return max(self._recipe.data.hr_patch, self._recipe.degradation.canvas) // self._recipe.network.scale

    def _crop(self, rng: Rng) -> tuple[Pixels, Pixels | None]:
        """Return one HR crop, and its LR where that is given, in one of the eight orientations."""
        data, scale = self._recipe.data, self._recipe.network.scale
        picture = self._store.draw(rng)
        side, margin = self._side(), self._margin // scale
        y, x = (int(rng.integers(max(1, length // scale - side + 1))) for length in picture.hr.shape[:2])
        turns = int(rng.integers(4)) if data.rotations else 0
        flipped = bool(rng.integers(2)) if data.flips else False
        hr = window(picture.hr, (y - margin) * scale, (x - margin) * scale, (side + 2 * margin) * scale)
        lr = None if picture.lr is None else window(picture.lr, y, x, side)
        orientation = Orientation(-turns % 4 if flipped else turns, flipped)  # turned first, then flipped
        return oriented(hr, orientation), None if lr is None else oriented(lr, orientation)

    def _degraded(self, crops: Crops, step: int) -> Batch:
        """Return float patches on the device: LR made from HR where it is not given, margin and canvas cut off."""
        hr = _to_float(crops.hr, self._device)
        made = Batch(_to_float(crops.lr, self._device), hr) if crops.lr is not None else self._downsampled(hr, step)
        lr, hr = made.lr, _without_border(hr, self._margin)
        scale, side = self._recipe.network.scale, self._recipe.data.hr_patch // self._recipe.network.scale
        if lr.shape[-1] > side:  # the canvas is larger than the patch
            rng = np.random.default_rng([self._recipe.run.seed, step, MIXTURE, self._team.rank])
            y, x = (int(rng.integers(length - side + 1)) for length in lr.shape[-2:])
            lr = lr[..., y : y + side, x : x + side]
            hr = hr[..., y * scale : (y + side) * scale, x * scale : (x + side) * scale]
        lr, hr = (images.contiguous(memory_format=torch.channels_last) for images in (lr, hr))
        return Batch(lr, hr, made.conditions)

    def _downsampled(self, hr: Tensor, step: int) -> Batch:
        """Return LR of HR crops without their margin, and its conditions where they are known, beside ``hr``."""
        degradation, scale = self._recipe.degradation, self._recipe.network.scale
        seed = [self._recipe.run.seed, step, DEGRADATION, self._team.rank]
        rng = np.random.default_rng(seed)
        if degradation.kind == "bicubic":
            return Batch(chains.bicubic_inside(hr, scale), hr)
        if degradation.kind == "known":
            return self._known(hr, rng)
        if rng.random() < degradation.clean:
            lr = chains.bicubic(hr, scale)
        elif degradation.kind == "second-order":
            lr = chains.degrade(hr.contiguous(), scale, degradation.second_order, seed)
        else:
            lr = self._by_kernels(hr, rng)
        return Batch(_without_border(lr, self._margin // scale), hr)

    def _known(self, hr: Tensor, rng: Rng) -> Batch:
        """Return LR of known degradation, with its conditions."""
        settings, scale = self._recipe.degradation, self._recipe.network.scale
        strengths = (settings.jpeg_quality, settings.noise, settings.clean, settings.blur)
        drawn = known.draw(rng, len(hr), scale, *strengths)
        lr = known.apply(known.downsampled(hr, drawn, scale, self._margin), drawn, rng)
        given = [conditions(one.jpeg_quality, one.noise, one.blur) for one in drawn]
        return Batch(lr, hr, torch.tensor(given).to(hr))

    def _by_kernels(self, hr: Tensor, rng: Rng) -> Tensor:
        """Return each picture downsampled with one of the kernels, with Gaussian noise, in whole levels of 255."""
        scale, most = self._recipe.network.scale, self._recipe.degradation.noise
        chosen = [self._kernels[number] for number in rng.integers(len(self._kernels), size=len(hr))]
        lr = torch.cat([downsample(image[None], kernel, scale) for image, kernel in zip(hr, chosen, strict=True)])
        sigma = rng.uniform(0, most, len(hr)) / 255
        noise = rng.standard_normal(tuple(lr.shape), np.float32) * sigma[:, None, None, None]
        return chains.in_levels(lr + torch.from_numpy(noise.astype(np.float32)).to(lr.device))


def _margin(recipe: Recipe, kernels: tuple[BlurKernel, ...]) -> int:
    """Return how many HR pixels around a crop its LR depends on. Cut off later, they make LR exact to the edge."""
    scale, kind = recipe.network.scale, recipe.degradation.kind
    if recipe.data.lr or kind == "second-order":
        return 0
    if kind == "known" and recipe.degradation.blur[1] > 0:
        return (gaussian_reach(scale) // scale + 2) * scale
    if kind in ("bicubic", "known"):
        return BICUBIC_REACH * scale
    return max(len(kernel.values) // 2 // scale + 2 for kernel in kernels) * scale


def _to_float(pixels: Tensor, device: torch.device) -> Tensor:
    """Return uint8 (N, H, W, 3) as (N, 3, H, W) in [0, 1], in the same order in memory: channels_last."""
    return pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)


def _without_border(images: Tensor, border: int) -> Tensor:
    return images[..., border:-border, border:-border] if border else images

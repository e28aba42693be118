"""Examples from one picture: crops of it as HR; as LR the same crops, downsampled by its kernel and interpolated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.orientation import ORIENTATIONS, orient, restore
from upscale_cli.resize import resize
from upscale_cli.zero_shot.network import INTERPOLATION_REACH, interpolate

FACTORS = (1.0, 0.85, 0.7, 0.5)  # of the picture's size: its own smaller versions are examples too
SHARE_UNRESIZED = 0.5


@dataclass(frozen=True)
class Pair:
    """``interpolated``: LR enlarged bicubically, ``hr``: what it should become. Both (N, C, H, W) in [0, 1]."""

    interpolated: Tensor
    hr: Tensor


def paired(hr: Tensor, kernel: BlurKernel) -> Pair:
    """Return ``hr`` (N, C, H, W) beside what is left of it after downsampling by ``kernel`` and interpolating."""
    enlarged = interpolate(downsample(hr, kernel, kernel.scale), kernel.scale)
    return Pair(enlarged[..., : hr.shape[-2], : hr.shape[-1]], hr)


class Examples:
    """Random square crops of ``side`` pixels of ``image`` (1, C, H, W), at least so large, and its smaller versions."""

    def __init__(self, image: Tensor, kernel: BlurKernel, side: int, seed: int) -> None:
        self._kernel, self._side = kernel, side
        self._rng = np.random.default_rng(seed)
        height, width = image.shape[-2:]
        sizes = [(round(height * factor), round(width * factor)) for factor in FACTORS[1:]]
        smaller = [resize(image, size, "bicubic").clamp(0, 1) for size in sizes if min(size) >= side]
        self._versions = [image, *smaller]
        scale = kernel.scale
        self._margin = scale * (-(-(kernel.size // 2) // scale) + INTERPOLATION_REACH)

    def draw(self, count: int) -> Pair:
        """Return ``count`` crops."""
        pairs = [self._drawn() for _ in range(count)]
        return Pair(torch.cat([pair.interpolated for pair in pairs]), torch.cat([pair.hr for pair in pairs]))

    def _drawn(self) -> Pair:
        """Return a crop in one of eight orientations, blurred from beyond its border where the picture goes on."""
        unresized = len(self._versions) == 1 or self._rng.random() < SHARE_UNRESIZED
        version = self._versions[0 if unresized else int(self._rng.integers(1, len(self._versions)))]
        orientation = ORIENTATIONS[self._rng.integers(len(ORIENTATIONS))]
        (rows, above), (columns, before) = (self._span(length) for length in version.shape[-2:])
        pair = paired(orient(version[..., rows, columns], orientation), self._kernel)

        def cropped(window: Tensor) -> Tensor:
            upright = restore(window, orientation)
            return orient(upright[..., above : above + self._side, before : before + self._side], orientation)

        return Pair(cropped(pair.interpolated), cropped(pair.hr))

    def _span(self, length: int) -> tuple[slice, int]:
        """Return where a crop and its surroundings lie, on LR's grid from either end, and where in it the crop is."""
        start = int(self._rng.integers(length - self._side + 1))
        scale = self._kernel.scale
        rooms = (start, length - self._side - start)
        before, after = (min(self._margin, room // scale * scale) for room in rooms)
        return slice(start - before, start + self._side + after), before

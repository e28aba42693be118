"""Degraded versions of one crop, as training shows them to a network, with what was drawn for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.degradation import chains
from upscale_cli.degradation.blur import NO_BLUR, KernelParameters
from upscale_cli.degradation.chains import Parameters, SecondOrder, StageParameters
from upscale_cli.images.picture import Picture
from upscale_cli.images.sheet import contact_sheet
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.files import read_kernels
from upscale_cli.levels import to_pixels, to_planes

LEAST_WIDTH = 340  # of a cell, so that its label has room


@dataclass(frozen=True)
class Version:
    """A degraded crop (1, 3, h, w) in [0, 1], and what was done to it, in lines."""

    lr: Tensor
    label: str


def middle(picture: Picture, side: int, scale: int) -> Tensor:
    """Return the square in the middle, at most ``side`` wide and a multiple of ``scale``, without alpha.

    (1, 3, s, s) in [0, 1], in levels of 255. Neither side of the picture is smaller than ``scale``.
    """
    side = min(side, picture.height, picture.width) // scale * scale
    assert side > 0
    top, left = (picture.height - side) // 2, (picture.width - side) // 2
    crop = to_planes(picture.color[top : top + side, left : left + side])
    return chains.in_levels(crop).expand(1, 3, -1, -1).contiguous()


def second_order(hr: Tensor, scale: int, count: int, seed: Sequence[int]) -> list[Version]:
    """Return versions by the second-order chain; each has its own resizes, as if from a batch of its own."""
    drawn = [chains.draw(SecondOrder(), 1, [*seed, index]) for index in range(count)]
    return [Version(chains.apply(hr, scale, parameters), described(parameters)) for parameters in drawn]


def scale_of(path: Path) -> int:
    """Return how much smaller pictures become by the first kernel of a file or folder. Raises InputError."""
    return read_kernels(path)[0].scale


def by_kernels(hr: Tensor, scale: int, count: int, path: Path) -> list[Version]:
    """Return versions by the first kernels of a file or folder, at most ``count``. Raises InputError."""
    kernels = read_kernels(path)[:count]
    names = (f"kernel {index + 1}: {kernel.size}x{kernel.size}" for index, kernel in enumerate(kernels))
    small = (chains.in_levels(downsample(hr, kernel, scale)) for kernel in kernels)
    return [Version(lr, name) for lr, name in zip(small, names, strict=True)]


def described(parameters: Parameters) -> str:
    """Return two lines, one for each stage, for parameters of one picture."""
    return f"{_stage(parameters.first)}\n{_stage(parameters.second)}"


def _stage(stage: StageParameters) -> str:
    noise = stage.noise[0]
    kind = "poisson" if noise.kind == "poisson" else "noise"
    return f"{_blur(stage.kernels[0])}, x{stage.factor:.2f}, {kind} {noise.strength:.2g}, q{stage.quality[0]}"


def _blur(kernel: KernelParameters) -> str:
    if kernel == NO_BLUR:
        return "sharp"
    if kernel.kind == "sinc":
        return f"sinc {kernel.cutoff:.1f}"
    round_ = kernel.kind.endswith("_iso") or kernel.kind == "iso"
    return f"blur {kernel.sigma_x:.1f}" + ("" if round_ else f"/{kernel.sigma_y:.1f}")


def sheet(hr: Tensor, versions: Sequence[Version]) -> Picture:
    """Return the crop and its versions, enlarged to its size by repeating pixels, as near to a square as rows allow."""
    side = hr.shape[-1]
    shown = side * math.ceil(LEAST_WIDTH / side)
    images = (hr, *(version.lr for version in versions))
    enlarged = (F.interpolate(image, (shown, shown), mode="nearest-exact") for image in images)
    cells = [Picture(to_pixels(image, np.uint8)) for image in enlarged]
    labels = [f"original, {side}x{side}", *(version.label for version in versions)]
    return contact_sheet(cells, labels, math.ceil(math.sqrt(len(cells))))

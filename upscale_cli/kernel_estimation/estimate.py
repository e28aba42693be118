"""From a picture to the kernel it was shrunk with: runs of KernelGAN or a Gaussian, put where kernels belong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from upscale_cli.errors import InputError, UsageError
from upscale_cli.images.picture import Picture
from upscale_cli.kernel_estimation import crops, kernelgan, spectrum
from upscale_cli.kernels import blur_kernel, similarity
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.values import Values

Prior = Literal["none", "gaussian"]
SCALES = (2, 4)
SMALLEST_SIDE = max(kernelgan.CROP, spectrum.WINDOW)
FLATTEST = 1 / 255  # of smoothed gradients: rounding alone makes that much
CENTER = (spectrum.SCALE - 1) / 2  # of kernels, right of and below the middle
GAUSSIAN_SIZE = 21
HIDING_TIMES = 2.0  # as large as the picture's own noise
NOISE_TIMES = 2.0  # what is taken off, in deviations of a kernel's noise


@dataclass(frozen=True)
class Settings:
    """``scale``: how much smaller the picture became, 2 or 4; ``real``: a camera picture, whose
    noise is hidden from the discriminator."""

    scale: int = 2
    iterations: int = kernelgan.ITERATIONS
    seed: int = 0
    runs: int = 1
    prior: Prior = "none"
    real: bool = False

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UsageError(f"Kernels cannot be estimated for a scale of {self.scale}.", "Use 2 or 4.")


@dataclass(frozen=True)
class Estimate:
    """``runs``: the kernel of each run for scale 2, of sum 1 but not centred, whose mean ``kernel`` is."""

    kernel: BlurKernel
    runs: tuple[Values, ...]

    @property
    def agreement(self) -> float | None:
        """Mean cross-correlation between the kernels of the runs: the nearer to 1 the surer. None for one run."""
        return similarity.agreement(self.runs)


@dataclass(frozen=True)
class Progress:
    """Step ``step`` of run ``run``, both from 0."""

    run: int
    step: kernelgan.Progress


def unheard(progress: Progress) -> None:
    """Nobody listens."""


def estimate(
    picture: Picture, settings: Settings, on_step: Callable[[Progress], None] = unheard, name: str = "The picture"
) -> Estimate:
    """The kernel that ``picture``, called ``name``, was shrunk with; alpha plays no part. Settings decide all.

    Raises InputError for pictures that are too small, or flat.
    """
    image = _as_tensor(picture)
    _require_usable(image, name)
    found = tuple(_of_run(image, settings, run, on_step) for run in range(settings.runs))
    kernel = blur_kernel.centred(similarity.averaged(found, CENTER), spectrum.SCALE)
    at_scale = kernel if settings.scale == spectrum.SCALE else blur_kernel.applied_twice(kernel)
    return Estimate(at_scale, found)


def _as_tensor(picture: Picture) -> Tensor:
    """(C, H, W) in [0, 1]."""
    levels = picture.color.astype(np.float32) / np.iinfo(picture.color.dtype).max
    return torch.from_numpy(levels).permute(2, 0, 1).contiguous()


def _require_usable(image: Tensor, name: str) -> None:
    height, width = image.shape[1:]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"{name} is only {width}x{height} pixels: too little to tell its kernel from.",
            f"{SMALLEST_SIDE}x{SMALLEST_SIDE} and more are needed.",
        )
    if crops.gradient_map(image).max() < FLATTEST:
        raise InputError(f"{name} is flat: without edges nothing tells its kernel.", "Take a picture with details.")


def _of_run(image: Tensor, settings: Settings, run: int, on_step: Callable[[Progress], None]) -> Values:
    """A kernel of sum 1 for scale 2, not yet centred. Runs of a Gaussian differ in the parts of the picture drawn."""
    seed = settings.seed + run
    if settings.prior == "gaussian":
        seen = spectrum.spectrum(image, seed if settings.runs > 1 else None)
        return gaussian(spectrum.fitted(seen).covariance.numpy())
    fit = spectrum.fitted(spectrum.spectrum(image))
    trained = kernelgan.train(
        image,
        fit,
        iterations=settings.iterations,
        seed=seed,
        noise=max(kernelgan.NOISE, _hiding(fit, len(image))) if settings.real else kernelgan.NOISE,
        on_step=lambda step: on_step(Progress(run, step)),
    )
    return without_noise(trained.double().numpy())


def _hiding(fit: spectrum.Fit, channels: int) -> float:
    """Deviation in [-1, 1] of what hides the picture's own noise, which shrinking takes away, from a discriminator."""
    of_the_mean = float(fit.log_floor.exp().sqrt()) / spectrum.LEVELS
    return HIDING_TIMES * 2 * of_the_mean * math.sqrt(channels)


def gaussian(covariance: Values) -> Values:
    """Of sum 1, (21, 21), its centre where that of a kernel for scale 2 lies."""
    offsets = np.arange(GAUSSIAN_SIZE) - GAUSSIAN_SIZE // 2 - CENTER
    place = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), -1)
    distance = np.einsum("yxi,ij,yxj->yx", place, np.linalg.inv(covariance), place)
    values = np.exp(-0.5 * distance)
    return np.asarray(values / values.sum())


def without_noise(values: Values) -> Values:
    """Of sum 1, nothing negative left.

    Blur adds light and takes none away, so negative values tell how large the noise is: twice their root mean square
    is taken off. The published source takes off 0.75 times the 40th largest value, too much of wide kernels.
    """
    negative = values[values < 0]
    noise = float(np.sqrt(np.mean(negative**2))) if len(negative) else 0.0
    clipped = np.clip(values - NOISE_TIMES * noise, 0, None)
    return np.asarray(clipped / clipped.sum())

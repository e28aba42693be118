"""From a picture to the kernel it was downsampled with: runs of KernelGAN or a Gaussian, centred for their scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from upscale_cli.errors import InputError, UsageError
from upscale_cli.images.picture import Picture
from upscale_cli.kernel_estimation import crops, kernelgan, spectrum
from upscale_cli.kernels import blur_kernel, similarity
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.gaussian import gaussian
from upscale_cli.kernels.values import Values
from upscale_cli.levels import to_planes

Prior = Literal["none", "gaussian"]
SCALES = (2, 4)
SMALLEST_SIDE = max(kernelgan.CROP, spectrum.WINDOW)
FLATTEST = 1 / 255  # of smoothed gradients: rounding alone makes that much
CENTER = (spectrum.SCALE - 1) / 2  # of kernels, right of and below the middle
# Bicubic's misfit in that of the best Gaussian: at most 1.5 on pictures downsampled so, 2.8 and more on DIV2KRK's.
AS_WELL = 1.6
HIDING_TIMES = 2.0  # as large as the picture's own noise
NOISE_TIMES = 2.0  # what is subtracted, in standard deviations of a kernel's noise


@dataclass(frozen=True)
class Settings:
    """What decides an estimate, beside the picture.

    ``scale``: how much smaller the picture became, 2 or 4; ``real``: a camera picture, whose noise is hidden from the
    discriminator.
    """

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
    """``kernel`` is the mean of ``runs``, the kernel of each run for scale 2, which sum to 1 but are not centred."""

    kernel: BlurKernel
    runs: tuple[Values, ...]

    @property
    def agreement(self) -> float | None:
        """Mean cross-correlation between the kernels of the runs: the nearer to 1, the surer. None for one run."""
        return similarity.agreement(self.runs)


@dataclass(frozen=True)
class Progress:
    """Step ``step`` of run ``run``, both from 0."""

    run: int
    step: kernelgan.Progress


def estimate(
    picture: Picture,
    settings: Settings,
    on_step: Callable[[Progress], None] = lambda progress: None,
    name: str = "The picture",
) -> Estimate:
    """Return the kernel that ``picture`` was downsampled with; alpha plays no part.

    Equal settings give equal kernels. ``name`` begins the sentence of the InputError for pictures that are too small,
    or flat.
    """
    image = to_planes(picture.color)[0].contiguous()
    _require_usable(image, name)
    found = tuple(_of_run(image, settings, run, on_step) for run in range(settings.runs))
    kernel = blur_kernel.centred(similarity.averaged(found, CENTER), spectrum.SCALE)
    at_scale = kernel if settings.scale == spectrum.SCALE else blur_kernel.applied_twice(kernel)
    return Estimate(at_scale, found)


def measured(picture: Picture, scale: int) -> BlurKernel:
    """Return the Gaussian that ``picture`` was downsampled with, or bicubic's kernel where that explains it as well.

    ``scale``: 2 or 4. Raises InputError for pictures that are too small, or flat.
    """
    image = to_planes(picture.color)[0]
    _require_usable(image, "The picture")
    seen = spectrum.spectrum(image)
    fit = spectrum.fitted(seen)
    if spectrum.fitted(seen, blur_kernel.bicubic(spectrum.SCALE).values).misfit < AS_WELL * fit.misfit:
        return blur_kernel.bicubic(scale)
    kernel = blur_kernel.centred(gaussian(fit.covariance.numpy(), spectrum.SCALE), spectrum.SCALE)
    return kernel if scale == spectrum.SCALE else blur_kernel.applied_twice(kernel)


def _require_usable(image: Tensor, name: str) -> None:
    height, width = image.shape[1:]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"{name} has only {width}x{height} pixels, too few to estimate its kernel from.",
            f"At least {SMALLEST_SIDE}x{SMALLEST_SIDE} are needed.",
        )
    if crops.gradient_map(image).max() < FLATTEST:
        raise InputError(f"{name} is flat: without edges its kernel cannot be estimated.", "Take one with details.")


def _of_run(image: Tensor, settings: Settings, run: int, on_step: Callable[[Progress], None]) -> Values:
    """Return a kernel for scale 2 that sums to 1, not yet centred.

    Runs of a Gaussian differ in the parts of the picture that are drawn.
    """
    seed = settings.seed + run
    if settings.prior == "gaussian":
        seen = spectrum.spectrum(image, seed if settings.runs > 1 else None)
        return gaussian(spectrum.fitted(seen).covariance.numpy(), spectrum.SCALE)
    fit, noise = spectrum.fitted(spectrum.spectrum(image)), kernelgan.NOISE
    if settings.real:
        # Downsampling takes the picture's own noise away, which would tell patches of the result from real ones. More
        # noise, in [-1, 1], hides it from the discriminator.
        of_the_mean = float(fit.log_floor.exp().sqrt()) / spectrum.LEVELS
        noise = max(noise, HIDING_TIMES * 2 * of_the_mean * math.sqrt(len(image)))
    trained = kernelgan.train(
        image,
        fit,
        iterations=settings.iterations,
        seed=seed,
        noise=noise,
        on_step=lambda step: on_step(Progress(run, step)),
    )
    return without_noise(trained.double().numpy())


def without_noise(values: Values) -> Values:
    """Return ``values`` less their noise, without negative ones, summing to 1.

    Blur adds light and takes none away, so negative values tell how strong the noise is: twice their root mean square
    is subtracted. The published source subtracts 0.75 times the 40th largest value, which is too much for wide kernels.
    """
    negative = values[values < 0]
    noise = float(np.sqrt(np.mean(negative**2))) if len(negative) else 0.0
    clipped = np.clip(values - NOISE_TIMES * noise, 0, None)
    return np.asarray(clipped / clipped.sum())

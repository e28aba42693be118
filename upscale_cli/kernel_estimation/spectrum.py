"""What a picture's power spectrum tells of the kernel it was downsampled with: our own criterion beside KernelGAN's.

KernelGAN's principle, that patches look alike at all scales, has a second-order form: natural pictures have power
spectra A(θ) · f^(-2β) (Field 1987). Downsampling by a kernel K multiplies that by |K|² and folds it, so that the LR
picture's spectrum tells the width of the kernel in every direction, as far as its frequencies reach. Kernels are fitted
as ``kernels.gaussian`` has them: cut off and uneven, they let more through than a whole Gaussian does, which would
make wide ones too wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from upscale_cli.kernels.gaussian import UNEVEN, gaussian
from upscale_cli.kernels.values import Values

SCALE = 2
WINDOW, STEP = 64, 21  # LR pixels
LOWEST, HIGHEST = 0.06, 0.5  # cycles per LR pixel
BLACKMAN_HARRIS = (0.35875, -0.48829, 0.14128, -0.01168)
FOLDS = ((0, 0), (0, 1), (1, 0), (1, 1))  # cycles per LR pixel between the frequencies that become one
MIDDLE_FALL, FALL_VARIES = 1.2, 0.15  # β
DIRECTION_VARIES = 0.3
MIDDLE_WIDTH, WIDTH_VARIES = 0.3, 2.0  # log of standard deviations in HR pixels
WIDTHS = (-4.0, 3.0)  # logs between which they are looked for
WIDEST = math.exp(WIDTHS[1])
FLOOR_VARIES = 2.0  # log of the noise's power, from that of rounding to levels on
PRIOR_SHARE = 1 / 900  # of a prior's square in the mean square of the spectrum's residuals
LEVELS = 255.0
THINNED = 3
LEAST_PASSED = 1e-9  # of the power, where kernels let nothing through


@dataclass(frozen=True)
class Spectrum:
    """The power spectrum of an LR picture.

    ``log_power`` (F,) at some of its frequencies; ``frequencies`` (4, F, 2), rows first, in cycles per HR pixel, of
    what folds onto each; ``rounding``: log of the power of rounding to levels, the least noise there is.
    """

    log_power: Tensor
    frequencies: Tensor
    rounding: float


@dataclass(frozen=True)
class Fit:
    """What explains a ``spectrum``, as logs of power: HR's own (4, F), the noise's; the blur's covariance (2, 2).

    ``misfit``: the mean square difference of log power that it leaves, priors included.
    """

    spectrum: Spectrum
    log_picture: Tensor
    log_floor: Tensor
    covariance: Tensor
    misfit: float = math.inf


def spectrum(image: Tensor, draw: int | None = None) -> Spectrum:
    """Return the spectrum of ``image`` (C, H, W) in [0, 1], at least 64 pixels high and wide.

    ``draw``: the seed by which windows are drawn, some several times and others not at all (a bootstrap); without,
    each counts once.
    """
    power = _mean_power(image.double().mean(0) * LEVELS, draw)
    axis = torch.fft.fftfreq(WINDOW, dtype=torch.float64)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    radius = torch.hypot(rows, columns)
    on_axis = torch.minimum(rows.abs(), columns.abs()) < 1.5 / WINDOW  # borders of pictures and of JPEG blocks
    used = (rows > 0) & (radius > LOWEST) & (radius <= HIGHEST) & ~on_axis
    seen = torch.stack([rows[used], columns[used]], -1)
    folded = (seen + torch.tensor(FOLDS, dtype=torch.float64)[:, None]) / SCALE
    rounding = 1 / 12 / len(image)
    return Spectrum(power[used].clamp(min=rounding).log(), torch.remainder(folded + 0.5, 1) - 0.5, math.log(rounding))


def _mean_power(plane: Tensor, draw: int | None) -> Tensor:
    """Return the mean power of windows (64, 64) all over (H, W), each without its mean and tapered to its borders."""
    windows = plane.unfold(0, WINDOW, STEP).unfold(1, WINDOW, STEP)
    count = windows.shape[0] * windows.shape[1]
    times = torch.ones(count, dtype=torch.float64)
    if draw is not None:
        drawn = torch.randint(count, (count,), generator=torch.Generator().manual_seed(draw))
        times = torch.bincount(drawn, minlength=count).double()
    turns = 2 * math.pi * (torch.arange(WINDOW, dtype=torch.float64) + 0.5) / WINDOW
    row = torch.stack([height * torch.cos(index * turns) for index, height in enumerate(BLACKMAN_HARRIS)]).sum(0)
    taper = torch.outer(row, row)
    taper /= taper.square().sum().sqrt()  # of energy 1
    total = torch.zeros(WINDOW, WINDOW, dtype=torch.float64)
    for strip, counts in zip(windows, times.view(windows.shape[:2]), strict=True):
        mean = (strip * taper).sum((-2, -1), keepdim=True) / taper.sum()
        power = torch.fft.fft2((strip - mean) * taper).abs().square()
        total += torch.tensordot(counts, power, 1)
    return total / count


def fitted(seen: Spectrum, kernel: Values | None = None) -> Fit:
    """Return the spectrum of a picture and the Gaussian blur that explain ``seen`` best.

    Where ``kernel`` (k, k), symmetric about its middle, is given, it is the blur.
    """
    floor = max(seen.rounding, float(seen.log_power.min()) - 1)  # below all that was seen, which may be noise or not
    start = (float(seen.log_power.max()) - 5, MIDDLE_FALL, MIDDLE_WIDTH, 0.0, MIDDLE_WIDTH, floor, 0.0, 0.0)
    waves = _waves(seen, len(gaussian(np.eye(2), SCALE) if kernel is None else kernel))

    def residuals(parameters: Values) -> Tensor:
        fit = _explained(torch.from_numpy(parameters), seen)
        blur = gaussian(fit.covariance.numpy(), SCALE) if kernel is None else kernel
        return _residuals(torch.from_numpy(parameters), fit, waves, torch.from_numpy(blur).flatten())

    found = optimize.least_squares(residuals, start, method="lm")
    return replace(_explained(torch.from_numpy(found.x), seen), misfit=2 * float(found.cost))


def _explained(parameters: Tensor, seen: Spectrum) -> Fit:
    """Return the fit of eight ``parameters``.

    They are the log of the amplitude, β, the Cholesky factor of the covariance (a, b, c; logs of its diagonal a and
    c), the log of the noise's power, and two of the direction's harmonic: streets and forests differ in it.
    """
    amplitude, fall, a, b, c, log_floor, even, odd = parameters
    a, c = (log.clamp(*WIDTHS).exp() for log in (a, c))
    factor = torch.stack([a, torch.zeros_like(a), b.clamp(-WIDEST, WIDEST), c]).view(2, 2)
    rows, columns = seen.frequencies.unbind(-1)
    turned = 2 * torch.atan2(rows, columns)
    log_picture = amplitude - fall * seen.frequencies.square().sum(-1).log()
    log_picture = log_picture + even * torch.cos(turned) + odd * torch.sin(turned)
    return Fit(seen, log_picture, log_floor, factor @ factor.T)


def _waves(seen: Spectrum, size: int) -> Tensor:
    """Return the cosines (4, F, k²) whose sums over kernels, symmetric about their middle, are their transforms."""
    offsets = torch.arange(size, dtype=torch.float64) - size // 2 - (SCALE - 1) / 2
    return torch.cos(2 * math.pi * seen.frequencies @ torch.cartesian_prod(offsets, offsets).T)


def _residuals(parameters: Tensor, fit: Fit, waves: Tensor, kernel: Tensor) -> Tensor:
    seen = fit.spectrum
    passed = (waves @ kernel).square() + UNEVEN**2 / 3 * kernel.square().sum() + LEAST_PASSED
    differences = log_power(fit, passed.log()) - seen.log_power
    priors = torch.cat(
        [
            (parameters[1:2] - MIDDLE_FALL) / FALL_VARIES,
            (parameters[2:5:2] - MIDDLE_WIDTH) / WIDTH_VARIES,
            (parameters[5:6] - seen.rounding) / FLOOR_VARIES,
            parameters[6:] / DIRECTION_VARIES,
        ]
    )
    return torch.cat([differences / len(differences) ** 0.5, priors * PRIOR_SHARE**0.5])


def log_power(fit: Fit, log_passed: Tensor) -> Tensor:
    """Return the log power (F,) of LR when the kernel lets exp(``log_passed``) (4, F) of the power through."""
    folded = (fit.log_picture + log_passed).logsumexp(0)
    return torch.logaddexp(folded, fit.log_floor.expand_as(folded))


@dataclass(frozen=True)
class Criterion:
    """How far a kernel is from explaining a picture's spectrum: what ``fit`` found, and a transform (2, 4·F, k²)."""

    fit: Fit
    transform: Tensor

    def loss(self, kernel: Tensor) -> Tensor:
        """Return the mean squared difference of log power for ``kernel`` (k, k); differentiable."""
        real, imaginary = self.transform @ kernel.flatten()
        passed = (real.square() + imaginary.square() + LEAST_PASSED).log().view(4, -1)
        return (log_power(self.fit, passed) - self.fit.spectrum.log_power).square().mean()


def criterion(fit: Fit, size: int) -> Criterion:
    """Return the criterion for kernels (size, size), at every third frequency: the window blurs over more than that."""
    seen = fit.spectrum
    thin = replace(
        seen, log_power=seen.log_power[::THINNED].float(), frequencies=seen.frequencies[:, ::THINNED].contiguous()
    )
    thinned = replace(
        fit, spectrum=thin, log_picture=fit.log_picture[:, ::THINNED].float(), log_floor=fit.log_floor.float()
    )
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    places = torch.cartesian_prod(offsets, offsets)
    phases = 2 * math.pi * thin.frequencies.flatten(0, 1) @ places.T
    return Criterion(thinned, torch.stack([phases.cos(), phases.sin()]).float())

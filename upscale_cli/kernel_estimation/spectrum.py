"""What a picture's power spectrum tells of the kernel it was shrunk with: a criterion of our own beside KernelGAN's.

KernelGAN's principle, that patches look alike at all scales, has a second-order form: natural pictures have power
spectra A(θ) · f^(-2β) (Field 1987). Shrinking by a kernel K multiplies that by |K|² and folds it, so that the low
resolution picture's spectrum tells the width of the kernel in every direction, as far as its frequencies reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

SCALE = 2
WINDOW, STEP = 64, 21  # LR pixels
LOWEST, HIGHEST = 0.06, 0.5  # cycles per LR pixel
BLACKMAN_HARRIS = (0.35875, -0.48829, 0.14128, -0.01168)
HARMONICS = 1  # of twice the direction: streets and forests differ in it
MIDDLE_FALL, FALL_VARIES = 1.2, 0.15  # β
DIRECTION_VARIES = 0.3
MIDDLE_WIDTH, WIDTH_VARIES = 0.3, 2.0  # log of deviations in HR pixels
FLOOR_VARIES = 2.0  # log of the noise's power, from that of rounding to levels on
PRIOR_SHARE = 1 / 900  # of a prior's square in the mean square of the spectrum's residuals
LEVELS = 255.0
THINNED = 3
MOST_DAMPING, LEAST_GAIN, DIFFERENCE = 1e8, 1e-7, 1e-5  # of the least squares
LEAST_PASSED = 1e-9  # of the power, where kernels let nothing through


@dataclass(frozen=True)
class Spectrum:
    """``log_power`` (F,) at some frequencies of the LR picture; ``frequencies`` (4, F, 2), rows first, in cycles per HR
    pixel, of what folds onto each; ``rounding``: log of the power of rounding to levels, the least noise there is."""

    log_power: Tensor
    frequencies: Tensor
    rounding: float


@dataclass(frozen=True)
class Fit:
    """The picture's own spectrum, log (4, F), that of its noise, and the covariance (2, 2) of the blur, rows first."""

    spectrum: Spectrum
    log_picture: Tensor
    log_floor: Tensor
    covariance: Tensor


def spectrum(image: Tensor, draw: int | None = None) -> Spectrum:
    """Of ``image`` (C, H, W) in [0, 1], at least 64 pixels high and wide.

    ``draw``: the seed by which windows are drawn, some several times and others not
    at all (a bootstrap); without, each counts once.
    """
    power = _mean_power(image.double().mean(0) * LEVELS, draw)
    axis = torch.fft.fftfreq(WINDOW, dtype=torch.float64)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    radius = torch.hypot(rows, columns)
    on_axis = torch.minimum(rows.abs(), columns.abs()) < 1.5 / WINDOW  # where borders of pictures and of blocks speak
    used = (rows > 0) & (radius > LOWEST) & (radius <= HIGHEST) & ~on_axis
    seen = torch.stack([rows[used], columns[used]], -1)
    folds = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)[:, None]
    frequencies = torch.remainder((seen + folds) / SCALE + 0.5, 1) - 0.5
    rounding = 1 / 12 / len(image)
    return Spectrum(power[used].clamp(min=rounding).log(), frequencies, math.log(rounding))


def _mean_power(plane: Tensor, draw: int | None) -> Tensor:
    """Of windows (64, 64) all over (H, W), each without its mean."""
    windows = plane.unfold(0, WINDOW, STEP).unfold(1, WINDOW, STEP)
    times = _times_drawn(windows.shape[0] * windows.shape[1], draw).view(windows.shape[:2])
    taper = _taper()
    total = torch.zeros(WINDOW, WINDOW, dtype=torch.float64)
    for strip, counts in zip(windows, times, strict=True):
        mean = (strip * taper).sum((-2, -1), keepdim=True) / taper.sum()
        power = torch.fft.fft2((strip - mean) * taper).abs().square()
        total += torch.tensordot(counts, power, 1)
    return total / times.sum()


def _taper() -> Tensor:
    """The window of Blackman and Harris in both directions (64, 64), of energy 1."""
    turns = 2 * math.pi * (torch.arange(WINDOW, dtype=torch.float64) + 0.5) / WINDOW
    row = torch.stack([height * torch.cos(index * turns) for index, height in enumerate(BLACKMAN_HARRIS)]).sum(0)
    taper = torch.outer(row, row)
    return taper / taper.square().sum().sqrt()


def _times_drawn(count: int, seed: int | None) -> Tensor:
    if seed is None:
        return torch.ones(count, dtype=torch.float64)
    rng = torch.Generator().manual_seed(seed)
    return torch.bincount(torch.randint(count, (count,), generator=rng), minlength=count).double()


def fitted(seen: Spectrum) -> Fit:
    """The spectrum of a picture and the Gaussian blur that explain ``seen`` best."""
    start = torch.zeros(6 + 2 * HARMONICS, dtype=torch.float64)
    start[0] = seen.log_power.max() - 5
    start[1], start[2:5:2], start[5] = MIDDLE_FALL, MIDDLE_WIDTH, _first_floor(seen)
    found = least_squares(lambda parameters: _residuals(parameters, seen), start)
    return _explained(found, seen)


def _first_floor(seen: Spectrum) -> float:
    """Somewhat below the least power seen, where noise may be it and may not."""
    return max(seen.rounding, float(seen.log_power.min()) - 1)


def _explained(parameters: Tensor, seen: Spectrum) -> Fit:
    """``parameters``: log amplitude, β, the Cholesky factor of the covariance (logs of its diagonal), log of the
    noise's power, and pairs of the directions' harmonics."""
    factor = torch.stack([parameters[2].exp(), torch.zeros_like(parameters[2]), parameters[3], parameters[4].exp()])
    factor = factor.view(2, 2)
    rows, columns = seen.frequencies.unbind(-1)
    angle = torch.atan2(rows, columns)
    log_picture = parameters[0] - parameters[1] * seen.frequencies.square().sum(-1).log()
    for index in range(HARMONICS):
        turned = 2 * (index + 1) * angle
        even, odd = parameters[6 + 2 * index], parameters[7 + 2 * index]
        log_picture = log_picture + even * torch.cos(turned) + odd * torch.sin(turned)
    return Fit(seen, log_picture, parameters[5], factor @ factor.T)


def _residuals(parameters: Tensor, seen: Spectrum) -> Tensor:
    fit = _explained(parameters, seen)
    through = torch.einsum("afi,ij,afj->af", seen.frequencies, fit.covariance, seen.frequencies)
    differences = log_power(fit, -4 * math.pi**2 * through) - seen.log_power
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
    """Of the LR picture (F,) when the kernel lets exp(``log_passed``) (4, F) of the power through."""
    folded = (fit.log_picture + log_passed).logsumexp(0)
    return torch.logaddexp(folded, fit.log_floor.expand_as(folded))


def least_squares(residuals: Callable[[Tensor], Tensor], start: Tensor, steps: int = 60) -> Tensor:
    """Parameters of the least sum of squares near ``start``, by Levenberg and Marquardt's method."""
    point, damping = start, 1e-2
    errors = residuals(point)
    for _ in range(steps):
        slopes = _slopes(residuals, point)
        curvature, downhill = slopes.T @ slopes, -slopes.T @ errors
        gain = 0.0
        while gain <= 0 and damping < MOST_DAMPING:
            step = torch.linalg.solve(curvature + damping * torch.diag(curvature.diagonal() + 1e-6), downhill)
            tried = residuals(point + step.clamp(-1, 1))
            gain = float(errors @ errors - tried @ tried)
            damping *= 4
        if gain <= LEAST_GAIN * float(errors @ errors):
            break
        point, errors, damping = point + step.clamp(-1, 1), tried, damping / 20
    return point


def _slopes(residuals: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """(residuals, parameters), by central differences."""
    steps = DIFFERENCE * torch.eye(len(point), dtype=point.dtype)
    return torch.stack([(residuals(point + step) - residuals(point - step)) / (2 * DIFFERENCE) for step in steps], 1)


@dataclass(frozen=True)
class Criterion:
    """How far a kernel is from explaining a picture's spectrum: what ``fit`` found, and (2, 4·F, k²) of a transform."""

    fit: Fit
    transform: Tensor

    def loss(self, kernel: Tensor) -> Tensor:
        """Mean squared difference of log power for ``kernel`` (k, k); differentiable."""
        real, imaginary = self.transform @ kernel.flatten()
        passed = (real.square() + imaginary.square() + LEAST_PASSED).log().view(4, -1)
        return (log_power(self.fit, passed) - self.fit.spectrum.log_power).square().mean()


def criterion(fit: Fit, size: int) -> Criterion:
    """For kernels (size, size), at every third frequency: the window blurs over more than that."""
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

"""PSNR, SSIM and MS-SSIM as the field reports them: on RGB or on Y (ITU-R BT.601), with a border left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the sizes of MS-SSIM, the largest first
LUMA = np.array([65.481, 128.553, 24.966]) / 255

Levels = NDArray[Any]  # (H, W) or (H, W, C), 0 to 255


@dataclass(frozen=True)
class Scores:
    """PSNR in dB and SSIM of one result, on Y and on RGB."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float


def score(sr: Levels, hr: Levels, border: int) -> Scores:
    """Return the scores of uint8 pictures (H, W, 1 or 3) of one size, without ``border`` pixels at every side.

    Gray counts as R = G = B.
    """
    sr_inner, hr_inner = inside(sr, hr, border)
    sr_y, hr_y = luma(sr_inner), luma(hr_inner)
    return Scores(psnr(sr_y, hr_y), ssim(sr_y, hr_y), psnr(sr_inner, hr_inner), ssim(sr_inner, hr_inner))


def inside(sr: Levels, hr: Levels, border: int) -> tuple[Levels, Levels]:
    """Return both pictures (H, W, 1 or 3), with as many channels as the other has, without ``border`` pixels a side."""
    channels = max(sr.shape[2], hr.shape[2])
    kept = np.s_[border : sr.shape[0] - border, border : sr.shape[1] - border]
    return with_channels(sr, channels)[kept], with_channels(hr, channels)[kept]


def with_channels(picture: Levels, channels: int) -> Levels:
    """Return ``picture`` (H, W, 1 or ``channels``) as floats (H, W, ``channels``)."""
    return np.broadcast_to(picture, (*picture.shape[:2], channels)).astype(np.float64)


def luma(picture: Levels) -> Levels:
    """Return Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, (H, W), unrounded; gray counts as R = G = B."""
    y: Levels = 16 + with_channels(picture, 3) @ LUMA
    return y


def psnr(a: Levels, b: Levels) -> float:
    """Return the peak signal-to-noise ratio in dB for a peak of 255; infinity for equal pictures."""
    error = float(np.mean(np.subtract(a, b, dtype=np.float64) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(a: Levels, b: Levels) -> float:
    """Return the structural similarity (Wang et al. 2004), the mean over channels; NaN for less than 11x11 pixels.

    Its Gaussian window of 11x11 pixels, σ 1.5, is used only where it lies inside the picture.
    """
    if a.ndim == 3:
        return float(np.mean([ssim(a[..., c], b[..., c]) for c in range(a.shape[2])]))
    if min(a.shape) < WINDOW:
        return math.nan
    luminance, structure = _similarity(a, b)
    return float((luminance * structure).mean())


def ms_ssim(a: Levels, b: Levels) -> float:
    """Return the multi-scale structural similarity (Wang et al. 2003) of pictures (H, W); NaN below 176 pixels a side.

    Of five sizes, each half the one before by averaging: contrast and structure of all, luminance of the smallest.
    """
    if min(a.shape) < WINDOW * 2 ** (len(WEIGHTS) - 1):
        return math.nan
    product = 1.0
    for number, weight in enumerate(WEIGHTS, 1):
        luminance, structure = _similarity(a, b)
        similarity = structure if number < len(WEIGHTS) else luminance * structure
        product *= max(float(similarity.mean()), 0) ** weight
        a, b = _halved(a), _halved(b)
    return product


def _halved(picture: Levels) -> Levels:
    """Return the means of 2 x 2 pixels; a last odd row or column is left out."""
    height, width = (side // 2 for side in picture.shape)
    means: Levels = picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))
    return means


def _similarity(a: Levels, b: Levels) -> tuple[Levels, Levels]:
    """Return the similarity of luminance, and of contrast and structure, at every window of pictures (H, W)."""
    a, b = a.astype(np.float64), b.astype(np.float64)  # squares of uint8 wrap around
    mean_a, mean_b = _windowed(a), _windowed(b)
    variance_a, variance_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    luminance: Levels = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure: Levels = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return luminance, structure


def _windowed(values: Levels) -> Levels:
    """Return the Gaussian means of all windows that lie inside."""
    reach = WINDOW // 2
    means: Levels = gaussian_filter(values, SIGMA, radius=reach)[reach:-reach, reach:-reach]
    return means

"""Gaussian kernels as those of KernelGAN's benchmark, DIV2KRK: cut off, at scale 2 to 11×11 pixels, and uneven."""

from __future__ import annotations

import math

import numpy as np

from upscale_cli.kernels.values import Values

UNEVEN = 0.25  # their values are multiplied by noise from 1 - UNEVEN to 1 + UNEVEN
NARROWEST = 1e-3  # squared HR pixels, added to every variance: none is 0 in any direction
REACH = 5  # HR pixels from the middle, at scale 2; at 4 what downsampling twice by such a kernel reaches


def gaussian_reach(scale: int) -> int:
    """Return how many HR pixels from their middle Gaussian kernels for ``scale`` reach."""
    return REACH * max(1, scale - 1)


def gaussian(covariance: Values, scale: int) -> Values:
    """Return a Gaussian (k, k) that sums to 1, centred for ``scale``, of ``covariance`` (2, 2) in squared HR pixels.

    Being cut off, wide ones have less than that covariance.
    """
    reach, center = gaussian_reach(scale), (scale - 1) / 2
    half = reach + math.ceil(center)
    offsets = np.arange(-half, half + 1) - center
    place = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), -1)
    distance = np.einsum("yxi,ij,yxj->yx", place, np.linalg.inv(covariance + NARROWEST * np.eye(2)), place)
    values = np.exp(-0.5 * (distance - distance.min())) * (np.abs(place).max(-1) <= reach + 0.5)
    return np.asarray(values / values.sum())

"""NIQE, the natural image quality evaluator (Mittal, Soundararajan and Bovik 2013): no ground truth, lower is better.

The statistics of a picture's blocks, two sizes of it, are compared with those of undistorted pictures. The latter come
from a file of the authors' or of BasicSR; all numbers that papers state depend on it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import gamma

from upscale_cli.errors import InputError
from upscale_cli.kernels.mat_file import read_matrices
from upscale_cli.kernels.values import NotAKernelError
from upscale_cli.metrics import Levels
from upscale_cli.resize import matlab_bicubic

BLOCK = 96  # pixels on a side
FEATURES = 36
_SIGMA, _REACH = 7 / 6, 3  # of the Gaussian window of 7 x 7
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
_MEANS = ("mu_pris_param", "mu_prisparam", "pop_mu")  # as files of various programs name them
_COVARIANCES = ("cov_pris_param", "cov_prisparam", "pop_cov")

# What readers raise for files that are damaged or of another kind.
_DAMAGE = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, RuntimeError, StopIteration, MemoryError),
    *(BadZipFile, NotAKernelError, struct.error, zlib.error),
)
LARGEST = 1 << 20  # bytes of a file of statistics, unpacked

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pristine:
    """Mean (36) and covariance (36, 36) of the features of undistorted pictures' blocks."""

    mean: Floats
    covariance: Floats


def read_pristine(path: Path) -> Pristine:
    """Return the statistics in an .npz or .mat file. Raises InputError."""
    hint = "Take niqe_pris_params.npz of BasicSR, or modelparameters.mat of NIQE's authors."
    if not path.is_file():
        raise InputError(f"There is no file {path}.", hint)
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("too large")
        found = _of_mat(path.read_bytes()) if path.suffix.lower() == ".mat" else _of_npz(path)
        mean, covariance = (next(found[name] for name in names if name in found) for names in (_MEANS, _COVARIANCES))
        pristine = Pristine(np.asarray(mean, np.float64).ravel(), np.asarray(covariance, np.float64))
    except _DAMAGE as error:
        raise InputError(f"{path} holds no statistics for NIQE.", hint) from error
    if pristine.mean.shape != (FEATURES,) or pristine.covariance.shape != (FEATURES, FEATURES):
        raise InputError(f"{path} holds statistics of another number of features.", hint)
    if not (np.isfinite(pristine.mean).all() and np.isfinite(pristine.covariance).all()):
        raise InputError(f"{path} holds statistics that are not finite.", hint)
    return pristine


def _of_mat(data: bytes) -> dict[str, NDArray[Any]]:
    return read_matrices(data, (*_MEANS, *_COVARIANCES))


def _of_npz(path: Path) -> dict[str, NDArray[Any]]:
    with ZipFile(path) as archive:  # what it claims to unpack to, before anything is
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
            raise ValueError("too large")
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return {name: file[name] for name in (*_MEANS, *_COVARIANCES) if name in file}


def niqe(y: Levels, pristine: Pristine) -> float:
    """Return NIQE of Y (H, W), 0 to 255; NaN where there are fewer than two blocks of 96 pixels that are not flat."""
    features = block_features(y)
    usable = features[~np.isnan(features).any(1)]
    if len(usable) < 2:
        return float("nan")
    away = pristine.mean - np.nanmean(features, 0)
    inverse = np.linalg.pinv((pristine.covariance + np.cov(usable, rowvar=False)) / 2)
    return float(np.sqrt(away @ inverse @ away))


def block_features(y: Levels) -> Floats:
    """Return the features (n, 36) of the blocks of Y (H, W), of whole levels 0 to 255; what is flat has NaNs."""
    rows, columns = y.shape[0] // BLOCK, y.shape[1] // BLOCK
    picture = np.rint(y[: rows * BLOCK, : columns * BLOCK]).astype(np.float64)
    if not picture.size:
        return np.empty((0, FEATURES))
    half = 255 * matlab_bicubic(torch.from_numpy(picture / 255)[None].float(), 0.5)[0].double().numpy()
    return np.concatenate([np.array(list(_of_blocks(part, BLOCK // n))) for n, part in ((1, picture), (2, half))], 1)


def _of_blocks(picture: Floats, side: int) -> Iterator[list[float]]:
    """Yield 18 features of each block of contrasts: levels less their local mean, over their local deviation."""
    mean = _windowed(picture)
    deviation = np.sqrt(np.abs(_windowed(picture * picture) - mean * mean))
    contrasts = (picture - mean) / (deviation + 1)
    for top in range(0, picture.shape[0], side):
        for left in range(0, picture.shape[1], side):
            block = contrasts[top : top + side, left : left + side]
            shape, below, above = _asymmetric(block)
            found = [shape, (below + above) / 2]
            for shift in _SHIFTS:
                shape, below, above = _asymmetric(block * np.roll(block, shift, (0, 1)))
                found += [shape, (above - below) * gamma(2 / shape) / gamma(1 / shape), below, above]
            yield found


def _windowed(values: Floats) -> Floats:
    means: Floats = gaussian_filter(values, _SIGMA, radius=_REACH, mode="nearest")
    return means


@cache
def _shapes() -> tuple[Floats, Floats]:
    """Return shapes of generalised Gaussians, and the ratio (mean of magnitudes)² / (mean of squares) of each."""
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


def _asymmetric(values: Floats) -> tuple[float, float, float]:
    """Return shape and both widths of the asymmetric generalised Gaussian that fits ``values``, NaN for flat ones."""
    below, above = values[values < 0], values[values > 0]
    if not below.size or not above.size:
        return (float("nan"),) * 3
    left, right = (float(np.sqrt(np.mean(part * part))) for part in (below, above))
    ratio, share = left / right, np.mean(np.abs(values)) ** 2 / np.mean(values * values)
    wanted = share * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes, ratios = _shapes()
    shape = float(shapes[np.argmin((ratios - wanted) ** 2)])
    scale = float(np.sqrt(gamma(1 / shape) / gamma(3 / shape)))
    return shape, left * scale, right * scale

"""What kind a picture is of: measured from its pixels and its file, by the rules of docs/models.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale_cli.images.convert import with_depth
from upscale_cli.images.picture import Picture
from upscale_cli.noise import CLEAN_BELOW, measured_noise

Kind = Literal["line art", "animation", "degraded photograph", "clean photograph"]
Plane = NDArray[np.float32]

LARGEST_SIDE = 1024  # pixels of the middle that is measured
BLACK, WHITE = 32, 223  # levels of 255 beyond which a pixel counts as black or white
STRONG_EDGE = 24  # levels between neighbours

GRAY_SATURATION, LINE_ART_EXTREMES = 2, 0.7
COLOURED_SATURATION, OUTLINED_EXTREMES, OUTLINED_EDGES = 10, 0.32, 0.24
FLAT_SHARE, FLAT_EDGES = 0.35, 0.08
LEAST_QUALITY = 85
JPEG_BLOCK, BLOCKED = 8, 0.15


@dataclass(frozen=True)
class Measures:
    """What is measured of a picture.

    ``saturation``: mean difference of a pixel's largest and smallest channel, 0 to 255. ``flatness``: share of pixels
    that equal their neighbours below and beside. ``edges``: share that differ by more than 24 levels. ``extremes``:
    share of black and white pixels. ``noise``: standard deviation in levels. ``blocking``: how much
    more often steps stand between blocks of 8 pixels than elsewhere, as a share. ``jpeg_quality``: 0 to 100, None
    elsewhere.
    """

    saturation: float
    flatness: float
    edges: float
    extremes: float
    noise: float
    blocking: float
    jpeg_quality: float | None


def measured_picture(picture: Picture) -> Measures:
    """Return the measures of ``picture``, of its middle where it is large."""
    color, opaque = _middle(picture)
    luma = color.mean(2)
    differences = np.maximum(
        np.abs(np.diff(color, axis=1, append=color[:, -1:])).max(2),
        np.abs(np.diff(color, axis=0, append=color[-1:])).max(2),
    )[opaque]
    return Measures(
        saturation=float((color.max(2) - color.min(2))[opaque].mean()),
        flatness=float((differences == 0).mean()),
        edges=float((differences > STRONG_EDGE).mean()),
        extremes=float(((luma < BLACK) | (luma > WHITE))[opaque].mean()),
        noise=measured_noise(picture.color),
        blocking=min(_blocking(luma), _blocking(luma.T)),
        jpeg_quality=picture.jpeg_quality,
    )


def _middle(picture: Picture) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the middle in levels of 255 (H, W, C), and which of its pixels are seen; all where none is."""
    top, left = (max(0, side - LARGEST_SIDE) // 2 for side in (picture.height, picture.width))
    inside = np.s_[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
    color = with_depth(picture.color[inside], 8).astype(np.float32)
    seen = np.ones(color.shape[:2], bool) if picture.alpha is None else picture.alpha[inside] > 0
    return color, seen if seen.any() else np.ones_like(seen)


def _blocking(luma: Plane) -> float:
    """Return how much more often neighbours differ most at every eighth column, the worst of eight, than at the others.

    A step counts where it is larger than those left and right of it. The first column of pixels may lie anywhere in a
    block. 0 for pictures narrower than three blocks.
    """
    if luma.shape[1] < 3 * JPEG_BLOCK:
        return 0.0
    steps = np.abs(np.diff(luma, axis=1))
    peaks = ((steps[:, 1:-1] > steps[:, :-2]) & (steps[:, 1:-1] > steps[:, 2:])).mean(0)
    shares = [peaks[first::JPEG_BLOCK].mean() for first in range(JPEG_BLOCK)]
    return float(max(shares) - np.median(shares))


def kind_of(measures: Measures) -> tuple[Kind, str]:
    """Return the picture's kind, and by which of its measures."""
    m = measures
    if m.saturation < GRAY_SATURATION and m.extremes > LINE_ART_EXTREMES:
        return "line art", f"gray, and {m.extremes:.0%} of its pixels are black or white"
    if m.flatness > FLAT_SHARE and m.edges > FLAT_EDGES:
        return "animation", f"{m.flatness:.0%} of its pixels equal their neighbours, between strong edges"
    if m.saturation > COLOURED_SATURATION and m.extremes > OUTLINED_EXTREMES and m.edges > OUTLINED_EDGES:
        return "animation", f"coloured, and {m.extremes:.0%} of its pixels are black or white, between strong edges"
    if reason := _degradation(m):
        return "degraded photograph", reason
    return "clean photograph", "neither drawn, nor noisy, nor strongly compressed"


def _degradation(m: Measures) -> str:
    """Return by what a photograph is degraded, "" for a clean one."""
    if m.jpeg_quality is not None and m.jpeg_quality < LEAST_QUALITY:
        return f"a JPEG file of quality {m.jpeg_quality:.0f}"
    if m.blocking > BLOCKED:
        return "steps between blocks of 8 pixels, as strong compression leaves them"
    return f"noise with a standard deviation of {m.noise:.1f} levels" if m.noise > CLEAN_BELOW else ""

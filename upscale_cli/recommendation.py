"""Which networks suit a picture or clip: measured from its pixels and its file, by the rules of docs/models.md."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.images.convert import with_depth
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.noise import CLEAN_BELOW, measured_noise
from upscale_cli.video.kinds import is_clip, require_pyav

Kind = Literal["line art", "animation", "degraded photograph", "clean photograph"]
Plane = NDArray[np.float32]

LARGEST_SIDE = 1024  # pixels of the middle that is measured
BLACK, WHITE = 32, 223  # levels of 255 beyond which a pixel counts as black or white
STRONG_EDGE = 24  # levels between neighbours

GRAY_SATURATION, LINE_ART_EXTREMES = 2, 0.7
COLOURED_SATURATION, OUTLINED_EXTREMES, OUTLINED_EDGES = 10, 0.32, 0.24
FLAT_SHARE, FLAT_EDGES = 0.35, 0.08
LEAST_QUALITY = 85


@dataclass(frozen=True)
class Measures:
    """What is measured of a picture.

    ``saturation``: mean difference of a pixel's largest and smallest channel, 0 to 255. ``flatness``: share of pixels
    that equal their neighbours below and beside. ``edges``: share that differ by more than 24 levels. ``extremes``:
    share of black and white pixels. ``noise``: standard deviation in levels. ``jpeg_quality``: 0 to 100, None
    elsewhere.
    """

    saturation: float
    flatness: float
    edges: float
    extremes: float
    noise: float
    jpeg_quality: float | None


@dataclass(frozen=True)
class Suggestion:
    """A network of the manifest, and why it suits."""

    model: str
    reason: str


SUGGESTIONS: dict[Kind, tuple[Suggestion, Suggestion, Suggestion]] = {
    "line art": (
        Suggestion("4x-eula-digimanga-bw-v1", "trained on black and white manga"),
        Suggestion("4x-Manga109Attempt", "trained on scanned manga, free for commercial use"),
        Suggestion("realesr-animevideov3", "small and fast, keeps lines thin"),
    ),
    "animation": (
        Suggestion("realesr-animevideov3", "small and fast, removes compression, made for frames"),
        Suggestion("realesrgan-x4plus-anime", "for illustrations, sharper and slower"),
        Suggestion("2x-AnimeSharpV4", "for twice the size, keeps soft shading"),
    ),
    "degraded photograph": (
        Suggestion("lite-x4-restore", "embedded and the fastest: removes noise and compression"),
        Suggestion("realesr-general-x4v3", "small; -dn sets how much noise it removes"),
        Suggestion("realesrgan-x4plus", "invents detail, best on a GPU"),
    ),
    "clean photograph": (
        Suggestion("lite-x4", "embedded and the fastest: adds nothing that is not there"),
        Suggestion("4x-classicalSR-DF2K-s64w8-SwinIR-M", "the closest to the original, slow"),
        Suggestion("esrgan-x4", "sharper texture, invented; --alpha sets how much"),
    ),
}

_OF_DRAWN_CLIPS = (
    Suggestion("realesr-animevideov3", "made for frames: small and fast, removes compression"),
    Suggestion("2x-HFA2kAVCCompact", "for twice the size, trained on compressed video"),
    Suggestion("2x-AnimeJaNai-HD-V3-UltraCompact", "for HD, the fastest of the three"),
)
CLIP_SUGGESTIONS: dict[Kind, tuple[Suggestion, Suggestion, Suggestion]] = {
    "line art": _OF_DRAWN_CLIPS,
    "animation": _OF_DRAWN_CLIPS,
    "degraded photograph": (
        Suggestion("lite-x4-restore", "embedded and the fastest: removes noise and compression"),
        Suggestion("realesr-general-x4v3", "small; -dn sets how much noise it removes"),
        Suggestion("realesrgan-x2plus", "invents detail, for a GPU; detail may flicker"),
    ),
    "clean photograph": (
        Suggestion("lite-x2", "embedded and the fastest: adds nothing that is not there, so nothing flickers"),
        Suggestion("lite-x4", "the same for four times the size"),
        Suggestion("realesr-general-x4v3", "sharper, and still small; -dn 0 keeps the most grain"),
    ),
}
CLIP_MOMENTS = (Fraction(1, 10), Fraction(1, 2), Fraction(9, 10))  # of a clip's length, at which a frame is measured


def measured(path: Path) -> Measures:
    """Return the measures of the picture ``path``, or the medians of a clip's frames. Raises what reading raises."""
    if not is_clip(path):
        return measured_picture(read_picture(path))
    require_pyav()
    from upscale_cli.video.clip import ClipReader
    from upscale_cli.video.info import Wanted

    found: list[Measures] = []
    for share in CLIP_MOMENTS:
        with closing(ClipReader(path, Wanted(deinterlace=True, skip_damaged=True))) as reader:
            info = reader.info
            frame = next(reader.frames(info.start + round(info.frames / info.rate * share / info.time_base) - 1), None)
        found += [measured_picture(Picture(frame.pixels))] if frame is not None else []
    if not found:
        raise InputError(f"{path} has no frame that can be decoded.", "Is the file damaged?")
    return Measures(
        saturation=median(one.saturation for one in found),
        flatness=median(one.flatness for one in found),
        edges=median(one.edges for one in found),
        extremes=median(one.extremes for one in found),
        noise=median(one.noise for one in found),
        jpeg_quality=None,
    )


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
        jpeg_quality=picture.jpeg_quality,
    )


def _middle(picture: Picture) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the middle in levels of 255 (H, W, C), and which of its pixels are seen; all where none is."""
    top, left = (max(0, side - LARGEST_SIDE) // 2 for side in (picture.height, picture.width))
    inside = np.s_[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
    color = with_depth(picture.color[inside], 8).astype(np.float32)
    seen = np.ones(color.shape[:2], bool) if picture.alpha is None else picture.alpha[inside] > 0
    return color, seen if seen.any() else np.ones_like(seen)


def suggestions_for(path: Path, kind: Kind) -> tuple[Suggestion, Suggestion, Suggestion]:
    """Return three networks for the picture or clip ``path`` of that kind."""
    return (CLIP_SUGGESTIONS if is_clip(path) else SUGGESTIONS)[kind]


def kind_of(measures: Measures) -> tuple[Kind, str]:
    """Return the picture's kind, and by which of its measures."""
    m = measures
    if m.saturation < GRAY_SATURATION and m.extremes > LINE_ART_EXTREMES:
        return "line art", f"gray, and {m.extremes:.0%} of its pixels are black or white"
    if m.flatness > FLAT_SHARE and m.edges > FLAT_EDGES:
        return "animation", f"{m.flatness:.0%} of its pixels equal their neighbours, between strong edges"
    if m.saturation > COLOURED_SATURATION and m.extremes > OUTLINED_EXTREMES and m.edges > OUTLINED_EDGES:
        return "animation", f"coloured, and {m.extremes:.0%} of its pixels are black or white, between strong edges"
    if m.jpeg_quality is not None and m.jpeg_quality < LEAST_QUALITY:
        return "degraded photograph", f"a JPEG file of quality {m.jpeg_quality:.0f}"
    if m.noise > CLEAN_BELOW:
        return "degraded photograph", f"noise with a standard deviation of {m.noise:.1f} levels"
    return "clean photograph", "neither drawn, nor noisy, nor strongly compressed"

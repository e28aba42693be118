"""Networks measured on pictures whose ground truth is known: fidelity and time."""

from __future__ import annotations

import time
from collections.abc import Callable

from upscale_cli.evaluation import Case
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.resize import resize_pixels
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import Upscaler

Enlarge = Callable[[Picture], Pixels]
Numbers = Callable[[Pixels, Pixels, int], dict[str, float]]  # of a result, HR and a border, see ``measures.table``


def network(upscaler: Upscaler, scale: int) -> Enlarge:
    """Return the function that enlarges as ``upscale`` does."""
    return lambda picture: upscaler.upscale_picture(picture, Size(scale=scale)).color


def bicubic(scale: int) -> Enlarge:
    """Return MATLAB's bicubic interpolation, which every network must beat."""
    return lambda picture: resize_pixels(
        picture.color, (picture.height * scale, picture.width * scale), "bicubic", picture.color.dtype
    )


def scored(enlarge: Enlarge, case: Case, border: int, numbers: Numbers) -> dict[str, float]:
    """Enlarge the LR picture of ``case`` and return the measures of the result, by name, and the seconds it took."""
    started = time.perf_counter()
    sr = enlarge(Picture(case.lr, jpeg_quality=case.jpeg_quality))
    seconds = time.perf_counter() - started
    return numbers(sr, case.hr, border) | {"seconds": seconds}

"""The last step of an enlargement: from what the network reaches to the size that was asked for."""

from __future__ import annotations

from upscale_cli.borders import Wraps
from upscale_cli.images.picture import Pixels
from upscale_cli.images.storage import Step
from upscale_cli.resize import Filter, resize_pixels

# Downsampling further than this, averaging shows less ringing than Lanczos' negative lobes.
AREA_BELOW = 0.5


def filter_for(pixels: Pixels, target: tuple[int, int]) -> Filter:
    """Return the filter that brings ``pixels`` to ``target`` (height, width)."""
    smaller = min(target[0] / pixels.shape[0], target[1] / pixels.shape[1])
    return "area" if smaller < AREA_BELOW else "lanczos"


def resized(pixels: Pixels, kind: Filter, wraps: Wraps, step: Step) -> Pixels:
    """Return ``pixels`` at the size of the array of ``step``, in it."""
    if not step.complete:
        resize_pixels(pixels, (step.pixels.shape[0], step.pixels.shape[1]), kind, step.pixels.dtype, wraps, step.pixels)
        step.end()
    return step.pixels

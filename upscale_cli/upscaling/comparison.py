"""The before/after picture: the input enlarged bicubically beside the result."""

from __future__ import annotations

import numpy as np

from upscale_cli.images.convert import over_white
from upscale_cli.images.picture import Metadata, Picture, Pixels
from upscale_cli.resize import resize_pixels

DIVIDER = 8  # pixels


def side_by_side(before: Picture, after: Picture) -> Picture:
    """Return ``before`` at the size of ``after``, a white line, and ``after``; transparency laid over white."""
    left = resize_pixels(_opaque(before), (after.height, after.width), "bicubic", after.color.dtype)
    right = _opaque(after)
    line = np.full((after.height, DIVIDER, right.shape[2]), np.iinfo(right.dtype).max, right.dtype)
    return Picture(np.concatenate([left, line, right], axis=1), None, Metadata(icc=after.metadata.icc))


def _opaque(picture: Picture) -> Pixels:
    return picture.color if picture.alpha is None else over_white(picture.color, picture.alpha)

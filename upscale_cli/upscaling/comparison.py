"""The before/after picture: the input enlarged bicubically beside the result."""

from __future__ import annotations

import numpy as np

from upscale_cli.images.convert import displayed, over_white, with_depth
from upscale_cli.images.picture import Metadata, Picture, Pixels
from upscale_cli.images.sheet import text_strip
from upscale_cli.resize import resize_pixels

DIVIDER = 8  # pixels


def side_by_side(before: Picture, after: Picture, label: str) -> Picture:
    """Return ``before`` at the size of ``after``, a white line, and ``after``; transparency laid over white.

    Under them stands "bicubic" and ``label``.
    """
    before, after = displayed(before), displayed(after)
    left = resize_pixels(_opaque(before), (after.height, after.width), "bicubic", after.color.dtype)
    right = _opaque(after)
    line = np.full((after.height, DIVIDER, right.shape[2]), np.iinfo(right.dtype).max, right.dtype)
    both = np.concatenate([left, line, right], axis=1)
    labels = with_depth(text_strip(both.shape[1], {0: "bicubic", after.width + DIVIDER: label}), after.depth)
    return Picture(np.concatenate([both, labels[..., : both.shape[2]]]), None, Metadata(icc=after.metadata.icc))


def _opaque(picture: Picture) -> Pixels:
    return picture.color if picture.alpha is None else over_white(picture.color, picture.alpha)

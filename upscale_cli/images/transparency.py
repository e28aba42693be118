"""Colours and edges of transparent pictures: what nobody sees must not reach what is seen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from upscale_cli.borders import NO_WRAPS, Wraps
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Picture, Pixels

REACH = 256  # rows beyond a strip in which the nearest visible colour is sought: further than networks see
STRIP = 1 << 22  # pixels that are worked on at a time


def with_hidden_filled(picture: Picture, wraps: Wraps = NO_WRAPS) -> Picture:
    """Return ``picture`` with every colour under alpha 0 replaced by the nearest that is seen, across edges that wrap.

    Programs leave anything there, and networks would mix it into the edges. In strips, so that memory does not grow
    with the picture; hidden pixels with none that is seen within ``REACH`` rows may keep their colour.
    """
    alpha = picture.alpha
    if alpha is None or alpha.all() or not alpha.any():
        return picture
    if any(wraps):
        wider = Picture(_repeated(picture.color, REACH, wraps), _repeated(alpha, REACH, wraps))
        top, left = (REACH * wrapping for wrapping in wraps)
        inside = np.s_[top : top + picture.height, left : left + picture.width]
        return replace(picture, color=with_hidden_filled(wider).color[inside])
    color, height = picture.color.copy(), max(1, STRIP // picture.width)
    for top in range(0, picture.height, height):
        above, bottom = max(0, top - REACH), min(picture.height, top + height)
        seen = alpha[above : bottom + REACH] != 0
        if not seen.any() or seen[top - above : bottom - above].all():
            continue
        _, labels = cv2.distanceTransformWithLabels(
            (~seen).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        colors = np.zeros((labels.max() + 1, color.shape[2]), color.dtype)
        colors[labels[seen]] = picture.color[above : bottom + REACH][seen]
        color[top:bottom] = colors[labels[top - above : bottom - above]]
    return replace(picture, color=color)


def kept_within_neighbours(alpha: Pixels, source: Pixels, wraps: Wraps = NO_WRAPS) -> Pixels:
    """Return enlarged ``alpha`` (H, W), nowhere outside the range of the 3 x 3 pixels of ``source`` (h, w) around it.

    So what is empty or opaque stays that; where ``alpha`` is smaller, as many pixels more as it is smaller count.
    """
    rows, columns = (
        np.minimum((np.arange(size) + 0.5) * (of / size), of - 1).astype(np.intp)
        for size, of in zip(alpha.shape, source.shape, strict=True)
    )
    reach = math.ceil(max(of / size for size, of in zip(alpha.shape, source.shape, strict=True)))
    window, wider = np.ones((2 * reach + 1,) * 2, np.uint8), _repeated(source, reach, wraps)
    rows, columns = rows + reach * wraps[0], columns + reach * wraps[1]
    least, most = cv2.erode(wider, window), cv2.dilate(wider, window)
    kept, height = np.empty_like(alpha), max(1, STRIP // alpha.shape[1])
    for top in range(0, len(alpha), height):
        strip = np.s_[top : top + height]
        inside = np.ix_(rows[strip], columns)
        np.clip(alpha[strip], least[inside], most[inside], out=kept[strip])
    return kept


def _repeated(pixels: Pixels, margin: int, wraps: Wraps) -> Pixels:
    """Return pixels (H, W) or (H, W, C) with ``margin`` more at the sides that wrap."""
    margins = [(margin * wrapping,) * 2 for wrapping in wraps]
    return np.pad(pixels, [*margins, *[(0, 0)] * (pixels.ndim - 2)], "wrap")

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
    step = picture.storage.step("seen", picture.color.shape, picture.color.dtype)
    if not step.complete:
        _fill_hidden(step.pixels, picture.color, alpha)
        step.end()
    return replace(picture, color=step.pixels)


def _fill_hidden(color: Pixels, source: Pixels, alpha: Pixels) -> None:
    """Write ``source`` (H, W, C) into ``color``, what ``alpha`` (H, W) hides replaced."""
    height = max(1, STRIP // source.shape[1])
    for top in range(0, len(source), height):
        above, bottom = max(0, top - REACH), min(len(source), top + height)
        color[top:bottom] = source[top:bottom]
        seen = alpha[above : bottom + REACH] != 0
        if not seen.any() or seen[top - above : bottom - above].all():
            continue
        _, labels = cv2.distanceTransformWithLabels(
            (~seen).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        colors = np.zeros((labels.max() + 1, color.shape[2]), color.dtype)
        colors[labels[seen]] = source[above : bottom + REACH][seen]
        color[top:bottom] = colors[labels[top - above : bottom - above]]


def keep_within_neighbours(alpha: Pixels, source: Pixels, wraps: Wraps = NO_WRAPS) -> None:
    """Change enlarged ``alpha`` (H, W) so that it is nowhere outside the range of the 3 x 3 pixels of ``source`` (h, w)
    around it. Done twice it is as done once.

    So what is empty or opaque stays that; where ``alpha`` is smaller, as many pixels more as it is smaller count.
    """
    rows, columns = (
        np.minimum((np.arange(size) + 0.5) * (of / size), of - 1).astype(np.intp)
        for size, of in zip(alpha.shape, source.shape, strict=True)
    )
    reach = math.ceil(max(of / size for size, of in zip(alpha.shape, source.shape, strict=True)))
    window, wider = np.ones((2 * reach + 1,) * 2, np.uint8), _repeated(source, reach, wraps)
    rows, columns = rows + reach * wraps[0], columns + reach * wraps[1]
    height = max(1, STRIP // alpha.shape[1])
    for top in range(0, len(alpha), height):
        strip = np.s_[top : top + height]
        above = max(0, rows[top] - reach)
        part = wider[above : rows[strip][-1] + reach + 1]
        inside = np.ix_(rows[strip] - above, columns)
        least, most = cv2.erode(part, window)[inside], cv2.dilate(part, window)[inside]
        alpha[strip] = np.clip(alpha[strip], least, most)


def _repeated(pixels: Pixels, margin: int, wraps: Wraps) -> Pixels:
    """Return pixels (H, W) or (H, W, C) with ``margin`` more at the sides that wrap."""
    if not any(wraps):
        return pixels
    margins = [(margin * wrapping,) * 2 for wrapping in wraps]
    return np.pad(pixels, [*margins, *[(0, 0)] * (pixels.ndim - 2)], "wrap")

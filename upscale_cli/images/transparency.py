"""Colours and edges of transparent pictures: what nobody sees must not reach what is seen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Picture, Pixels

REACH = 256  # rows beyond a strip in which the nearest visible colour is sought: further than networks see
STRIP = 1 << 22  # pixels that are worked on at a time


def with_hidden_filled(picture: Picture) -> Picture:
    """Return ``picture`` with every colour under alpha 0 replaced by the nearest that is seen.

    Programs leave anything there, and networks would mix it into the edges. In strips, so that memory does not grow
    with the picture; hidden pixels with none that is seen within ``REACH`` rows may keep their colour.
    """
    alpha = picture.alpha
    if alpha is None or alpha.all() or not alpha.any():
        return picture
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


def kept_within_neighbours(alpha: Pixels, source: Pixels) -> Pixels:
    """Return enlarged ``alpha`` (H, W), nowhere outside the range of the 3 x 3 pixels of ``source`` (h, w) around it.

    So what is empty or opaque stays that; where ``alpha`` is smaller, as many pixels more as it is smaller count.
    """
    rows, columns = (
        np.minimum((np.arange(size) + 0.5) * (of / size), of - 1).astype(np.intp)
        for size, of in zip(alpha.shape, source.shape, strict=True)
    )
    reach = (1 + 2 * math.ceil(max(of / size for size, of in zip(alpha.shape, source.shape, strict=True))),) * 2
    window = np.ones(reach, np.uint8)
    least, most = cv2.erode(source, window), cv2.dilate(source, window)
    kept, height = np.empty_like(alpha), max(1, STRIP // alpha.shape[1])
    for top in range(0, len(alpha), height):
        strip = np.s_[top : top + height]
        inside = np.ix_(rows[strip], columns)
        np.clip(alpha[strip], least[inside], most[inside], out=kept[strip])
    return kept

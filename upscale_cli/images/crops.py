"""Squares cut out of pictures, beyond their borders too, in any of the eight orientations."""

from __future__ import annotations

import numpy as np

from upscale_cli.borders import mirrored
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Pixels

# By quarter turns and whether the result is flipped: whether OpenCV has to swap the axes, and what it flips then.
_TURNS: dict[tuple[int, bool], tuple[bool, int | None]] = {
    (0, False): (False, None),
    (0, True): (False, 1),
    (1, False): (True, 0),
    (1, True): (True, -1),
    (2, False): (False, -1),
    (2, True): (False, 0),
    (3, False): (True, 1),
    (3, True): (True, None),
}


def window(picture: Pixels, y: int, x: int, side: int) -> Pixels:
    """Return the square of ``side`` at (y, x), mirrored, edge pixels repeated, where it leaves the picture."""
    height, width = picture.shape[:2]
    if min(y, x) >= 0 and y + side <= height and x + side <= width:
        return picture[y : y + side, x : x + side]
    rows, columns = (mirrored(at, at + side, size, edge_twice=True) for at, size in ((y, height), (x, width)))
    beyond: Pixels = picture[np.ix_(rows, columns)]
    return beyond


def turned(pixels: Pixels, turns: int, flipped: bool) -> Pixels:
    """Return ``pixels`` turned anticlockwise, then flipped left to right.

    By OpenCV, which is far faster at it than strided copies.
    """
    swapped, flip = _TURNS[turns, flipped]
    transposed: Pixels = cv2.transpose(pixels) if swapped else pixels
    return transposed if flip is None else cv2.flip(transposed, flip)

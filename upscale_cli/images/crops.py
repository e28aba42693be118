"""Squares cut out of pictures, beyond their borders too, in any of the eight orientations."""

from __future__ import annotations

import numpy as np

from upscale_cli.borders import mirrored
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Pixels
from upscale_cli.orientation import ORIENTATIONS, Orientation

# In the order of ORIENTATIONS: whether OpenCV has to swap the axes, and what it flips then.
_STEPS = (
    *((False, None), (True, 0), (False, -1), (True, 1)),
    *((False, 1), (True, None), (False, 0), (True, -1)),
)


def window(picture: Pixels, y: int, x: int, side: int) -> Pixels:
    """Return the square of ``side`` at (y, x), mirrored, edge pixels repeated, where it leaves the picture."""
    height, width = picture.shape[:2]
    if min(y, x) >= 0 and y + side <= height and x + side <= width:
        return picture[y : y + side, x : x + side]
    rows, columns = (mirrored(at, at + side, size, edge_twice=True) for at, size in ((y, height), (x, width)))
    beyond: Pixels = picture[np.ix_(rows, columns)]
    return beyond


def oriented(pixels: Pixels, orientation: Orientation) -> Pixels:
    """Return ``pixels`` as ``orient`` turns tensors. By OpenCV, which is far faster at it than strided copies."""
    swapped, flip = _STEPS[ORIENTATIONS.index(orientation)]
    transposed: Pixels = cv2.transpose(pixels) if swapped else pixels
    return transposed if flip is None else cv2.flip(transposed, flip)

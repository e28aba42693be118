"""Squares cut out of pictures, beyond their borders too, in any of the eight orientations."""

from __future__ import annotations

from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Pixels

# By quarter turns and whether the result is mirrored: whether OpenCV has to swap the axes, and what it flips then.
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
    """The square at (y, x), mirrored, edge pixels repeated, where it leaves the picture."""
    inside = picture[max(y, 0) : y + side, max(x, 0) : x + side]
    top, left = max(-y, 0), max(-x, 0)
    bottom, right = side - top - inside.shape[0], side - left - inside.shape[1]
    if not (top or left or bottom or right):
        return inside
    mirrored: Pixels = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REFLECT)
    return mirrored


def turned(pixels: Pixels, turns: int, mirrored: bool) -> Pixels:
    """Turned anticlockwise, then mirrored. By OpenCV, which is far faster at it than strided copies."""
    swapped, flip = _TURNS[turns, mirrored]
    transposed: Pixels = cv2.transpose(pixels) if swapped else pixels
    return transposed if flip is None else cv2.flip(transposed, flip)

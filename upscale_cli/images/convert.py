"""Pixels as a file format holds them: orientation, depth, and transparency laid over white."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from upscale_cli.images.picture import Picture, Pixels


def with_depth(pixels: Pixels, depth: int) -> Pixels:
    """Return the pixels with 8 or 16 bits per channel, the same array where they have them."""
    if pixels.dtype.itemsize * 8 == depth:
        return pixels
    if depth == 16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def upright(pixels: Pixels, turned: int) -> Pixels:
    """Return contiguous pixels, turned as EXIF's orientation says."""
    if turned >= 5:
        pixels = pixels.swapaxes(0, 1)
    if turned in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turned in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def over_white(color: Pixels, alpha: Pixels) -> Pixels:
    """Return the colours (H, W, C) laid over white by their alpha (H, W)."""
    top = np.iinfo(color.dtype).max
    share = alpha[..., None].astype(np.float32) / top
    return np.rint(color * share + top * (1 - share)).astype(color.dtype)


def opaque_rgb8(picture: Picture) -> Pixels:
    """Return the pixels as uint8 (H, W, 3), transparency laid over white."""
    return StoredPixels(picture, 8, 3).rows(0, picture.height)


@dataclass(frozen=True)
class StoredPixels:
    """A picture's pixels as a file is to hold them, converted when they are asked for.

    ``depth``: bits per channel. ``channels``: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha; where alpha is not
    stored, transparency is laid over white. ``binary``: alpha becomes nothing or all, cut in the middle.
    """

    picture: Picture
    depth: int
    channels: int
    binary: bool = False

    def rows(self, top: int, bottom: int) -> Pixels:
        """Return contiguous rows of pixels, (bottom - top, W, channels) or fewer at the end."""
        color = with_depth(self.picture.color[top:bottom], self.depth)
        if self.channels >= 3 and color.shape[2] == 1:
            color = np.repeat(color, 3, axis=2)
        if self.picture.alpha is None:
            return np.ascontiguousarray(color)
        alpha = with_depth(self.picture.alpha[top:bottom], self.depth)
        if self.binary:
            alpha = np.where(alpha > np.iinfo(alpha.dtype).max // 2, np.iinfo(alpha.dtype).max, 0).astype(alpha.dtype)
        stored = np.dstack([color, alpha]) if self.channels in (2, 4) else over_white(color, alpha)
        return np.ascontiguousarray(stored)

    def strips(self, height: int) -> Iterator[Pixels]:
        """Yield all rows, ``height`` at a time, so that converting them needs little memory."""
        for top in range(0, self.picture.height, height):
            yield self.rows(top, top + height)

"""Pixels as a file format holds them: orientation, depth, and transparency laid over white."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from upscale_cli.images import light
from upscale_cli.images.picture import Light, Picture, Pixels


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


def unmultiplied(color: Pixels, alpha: Pixels) -> Pixels:
    """Return colours (H, W, C) that their alpha (H, W) was multiplied into, without it."""
    top = np.iinfo(color.dtype).max
    share = np.maximum(alpha, 1)[..., None] / np.float32(top)
    return np.rint(np.minimum(color / share, top)).astype(color.dtype)


def unmultiplied_light(color: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return light (H, W, C) that its alpha (H, W), 0 to 1, was multiplied into, without it; unchanged under 0."""
    divisors = np.where(alpha > 0, alpha, np.float32(1))
    return (color / divisors[..., None]).astype(np.float32, copy=False)


def displayed(picture: Picture) -> Picture:
    """Return ``picture`` as displays show it: of linear light what is brighter than white is white."""
    if picture.light is None:
        return picture
    return replace(picture, color=light.displayed(picture.light)[picture.color], light=None)


def over_white(color: Pixels, alpha: Pixels) -> Pixels:
    """Return the colours (H, W, C) laid over white by their alpha (H, W)."""
    top = np.iinfo(color.dtype).max
    share = alpha[..., None].astype(np.float32) / top
    return np.rint(color * share + top * (1 - share)).astype(color.dtype)


def opaque_rgb8(picture: Picture) -> Pixels:
    """Return the pixels as uint8 (H, W, 3), transparency laid over white."""
    return StoredPixels(picture, 8, 3).rows(0, picture.height)


class NotEncodable(Exception):
    """The format cannot hold so many pixels."""


@dataclass(frozen=True)
class StoredPixels:
    """A picture's pixels as a file is to hold them, converted when they are asked for.

    ``depth``: bits per channel, of linear light in ``floating`` point or else of what displays show.
    ``channels``: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha; where alpha is not
    stored, transparency is laid over white. ``binary``: alpha becomes nothing or all, cut in the middle.
    """

    picture: Picture
    depth: int
    channels: int
    binary: bool = False
    floating: bool = False

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.picture.height * self.picture.width * self.channels * self.depth // 8

    def rows(self, top: int, bottom: int) -> Pixels:
        """Return contiguous rows of pixels, (bottom - top, W, channels) or fewer at the end."""
        color = self._converted(self.picture.color[top:bottom])
        if self.channels >= 3 and color.shape[2] == 1:
            color = np.repeat(color, 3, axis=2)
        if self.picture.alpha is None:
            return np.ascontiguousarray(color)
        alpha = with_depth(self.picture.alpha[top:bottom], 16 if self.floating else self.depth)
        if self.floating:
            opacity = (alpha / np.float32(65535)).astype(color.dtype)
            return np.ascontiguousarray(np.dstack([color, opacity]))
        if self.binary:
            alpha = np.where(alpha > np.iinfo(alpha.dtype).max // 2, np.iinfo(alpha.dtype).max, 0).astype(alpha.dtype)
        stored = np.dstack([color, alpha]) if self.channels in (2, 4) else over_white(color, alpha)
        return np.ascontiguousarray(stored)

    def _converted(self, color: Pixels) -> Pixels:
        """Return levels as linear light, or levels of light as displays show them, where that is asked for."""
        meaning = self.picture.light
        if self.floating:
            values = light.values_of(meaning or Light())[with_depth(color, 16)]
            return values.astype(f"f{self.depth // 8}")
        return with_depth(color if meaning is None else light.displayed(meaning)[color], self.depth)

    def strips(self, height: int) -> Iterator[Pixels]:
        """Yield all rows, ``height`` at a time, so that converting them needs little memory."""
        for top in range(0, self.picture.height, height):
            yield self.rows(top, top + height)

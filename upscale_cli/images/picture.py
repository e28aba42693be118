"""What a picture is, inside this program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import UsageError
from upscale_cli.images.storage import MEMORY, Storage

Pixels = NDArray[Any]  # uint8 or uint16, which numpy's type variables cannot say and still allow arithmetic


@dataclass(frozen=True)
class Metadata:
    """What a file holds beside its pixels, as raw blocks.

    ICC profile, EXIF (TIFF structure), XMP packet, ``text``: (kind, content) of PNG's text chunks, ``comment`` of JPEG
    and GIF, ``resolution`` in pixels per inch (horizontal, vertical), kept as it is whatever the size becomes.
    ``pages``: how many pictures the file held, of which this is the first. ``chromaticities`` of EXR: (x, y) of red,
    green, blue and white. ``unread``: sentences on what else the file holds.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    text: tuple[tuple[bytes, bytes], ...] = ()
    comment: bytes | None = None
    resolution: tuple[float, float] | None = None
    pages: int = 1
    chromaticities: tuple[float, ...] | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Light:
    """What 16-bit levels mean that stand for linear light (see ``light.py``).

    ``peak``: the light of the highest level, at least 1, where 1 is a display's white. ``bits`` of the file's numbers.
    """

    peak: float = 1.0
    bits: int = 32


@dataclass(frozen=True)
class Picture:
    """Upright pixels in RGB order. ``color`` is (H, W, 1) or (H, W, 3), ``alpha`` (H, W) or None, of the same depth.

    Arrays may be read-only or memory-mapped. ``jpeg_quality``: of the file they were read from, None for other formats.
    ``light``: what levels of linear light mean, None for pictures as displays show them.
    ``storage``: where the arrays go that are made of it.
    Raises UsageError where the arrays are something else.
    """

    color: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)
    jpeg_quality: float | None = None
    light: Light | None = None
    storage: Storage = MEMORY

    def __post_init__(self) -> None:
        color, alpha = self.color, self.alpha
        if not _is_pixels(color) or color.ndim != 3 or color.shape[2] not in (1, 3) or not color.size:
            raise UsageError(f"Not a picture: {_described(color)}.", "Give uint8 or uint16 of shape (H, W, 1 or 3).")
        if alpha is not None and (
            not _is_pixels(alpha) or (alpha.shape, alpha.dtype) != (color.shape[:2], color.dtype)
        ):
            raise UsageError(f"Not an alpha channel: {_described(alpha)}.", "Give the colours' height, width and type.")

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.color.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.color.shape[1])

    @property
    def depth(self) -> int:
        """Bits per channel: 8 or 16."""
        return int(self.color.dtype.itemsize) * 8

    @property
    def frames(self) -> tuple[Picture]:
        """The picture alone, as an animation has several."""
        return (self,)


def _is_pixels(pixels: Any) -> bool:
    return isinstance(pixels, np.ndarray) and pixels.dtype in (np.uint8, np.uint16)


def _described(pixels: Any) -> str:
    """Return an array's type and shape, and of anything else its type."""
    return f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__


@dataclass(frozen=True)
class Pages:
    """At least two pictures of one file, each with a size and metadata of its own."""

    frames: tuple[Picture, ...]


@dataclass(frozen=True)
class Animation:
    """At least two pictures of one size, how long each is shown, and how often the whole is shown (0: for ever)."""

    frames: tuple[Picture, ...]
    durations_ms: tuple[int, ...]
    loop_count: int = 0


Image = Picture | Animation | Pages

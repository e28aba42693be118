"""What a picture is, inside this program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]  # uint8 or uint16, which numpy's type variables cannot say and still allow arithmetic


@dataclass(frozen=True)
class Metadata:
    """Raw blocks as they stand in the file: ICC profile, EXIF (TIFF structure), XMP packet."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


@dataclass(frozen=True)
class Picture:
    """Upright pixels in RGB order. ``color`` is (H, W, 1) or (H, W, 3), ``alpha`` (H, W) or None, of the same depth."""

    color: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        assert self.color.ndim == 3, self.color.shape
        assert self.color.shape[2] in (1, 3), self.color.shape
        assert self.color.dtype in (np.uint8, np.uint16), self.color.dtype
        if self.alpha is not None:
            assert self.alpha.shape == self.color.shape[:2], self.alpha.shape
            assert self.alpha.dtype == self.color.dtype, self.alpha.dtype

    @property
    def height(self) -> int:
        return int(self.color.shape[0])

    @property
    def width(self) -> int:
        return int(self.color.shape[1])

    @property
    def depth(self) -> int:
        """Bits per channel: 8 or 16."""
        return int(self.color.dtype.itemsize) * 8


@dataclass(frozen=True)
class Animation:
    """At least two pictures of one size, how long each is shown, and how often the whole repeats (0: for ever)."""

    frames: tuple[Picture, ...]
    durations_ms: tuple[int, ...]
    loop_count: int = 0

"""What a file says of its picture before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field

from upscale_cli.images.picture import Metadata

FINEST = 1e6  # pixels per inch that are taken for a resolution; formats cannot hold much larger ones


@dataclass(frozen=True)
class Header:
    """Size and kind of the pixels as they are stored, before they are turned upright.

    ``frames``: None for a still picture. ``gray``: no colours are stored. ``depth``: bits per channel of AVIF, HEIF.
    ``by_pillow``: for stills that OpenCV does not decode rightly. ``gray_alpha``: a TIFF file of two channels.
    ``profiled``: CMYK or LAB, of which decoding makes sRGB by the profile.
    ``transparent``: there may be alpha; not known of GIF.
    ``pixel_bytes``: what a pixel takes once decoded, as far as is known.
    ``interlaced``: pixels come in several passes over the picture, which decoders hold as a whole.
    ``dense``: pixels take some of the file each; otherwise a few bytes may stand for any number of equal ones.
    ``floating``: light in floating point. ``weight``: of decoding a pixel, against one of four channels of 16 bits.
    """

    height: int
    width: int
    metadata: Metadata = field(default_factory=Metadata)
    frames: int | None = None
    gray: bool = False
    depth: int = 8
    dense: bool = True
    by_pillow: bool = False
    profiled: bool = False
    gray_alpha: bool = False
    transparent: bool = False
    floating: bool = False
    weight: int = 1
    pixel_bytes: int = 4
    interlaced: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


def per_inch(x: float, y: float, units_per_inch: float | None) -> tuple[float, float] | None:
    """Return a resolution in pixels per inch, None where it is none."""
    found = (x * units_per_inch, y * units_per_inch) if units_per_inch else (0, 0)
    return found if min(found) > 0 and max(found) <= FINEST else None

"""The file formats: what each can hold, how its files are named and how they begin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from upscale_cli.errors import UsageError


@dataclass(frozen=True)
class Format:
    """A file format. ``magic`` matches the first bytes of its files; ``lossy`` ones take a quality.

    ``depths``: bits per channel it holds (12: what is left of 16). ``icc``, ``exif``, ``xmp``: which metadata travel.
    """

    name: str
    extensions: tuple[str, ...]
    magic: bytes
    depths: tuple[int, ...] = (8,)
    alpha: bool = False
    animation: bool = False
    icc: bool = False
    exif: bool = False
    xmp: bool = False
    quality: int | None = None

    @property
    def lossy(self) -> bool:
        return self.quality is not None


FORMATS: tuple[Format, ...] = (
    Format("jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff", icc=True, exif=True, xmp=True, quality=95),
    Format(
        "png",
        (".png", ".apng"),
        rb"\x89PNG\r\n\x1a\n",
        depths=(8, 16),
        alpha=True,
        animation=True,
        icc=True,
        exif=True,
        xmp=True,
    ),
    Format("webp", (".webp",), rb"RIFF....WEBP", alpha=True, animation=True, icc=True, exif=True, xmp=True, quality=95),
    Format(
        "tiff",
        (".tif", ".tiff"),
        rb"(II\*\x00|MM\x00\*)",
        depths=(8, 16),
        alpha=True,
        icc=True,
        exif=True,
        xmp=True,
    ),
    Format(
        "avif", (".avif",), rb"....ftypavi[fs]", depths=(8, 12), alpha=True, icc=True, exif=True, xmp=True, quality=90
    ),
    Format("bmp", (".bmp", ".dib"), rb"BM"),
    Format("ppm", (".ppm", ".pgm", ".pnm", ".pbm"), rb"P[1-6]\s", depths=(8, 16)),
    Format("gif", (".gif",), rb"GIF8[79]a", alpha=True, animation=True),
)

EXTENSIONS = frozenset(extension for known in FORMATS for extension in known.extensions)
NAMES = ", ".join(known.name for known in FORMATS)


def by_name(name: str) -> Format:
    """The format called ``name``, or one of its extensions. Raises UsageError with the known names."""
    wanted = name.lower().lstrip(".")
    for known in FORMATS:
        if wanted == known.name or f".{wanted}" in known.extensions:
            return known
    raise UsageError(f"There is no picture format {name!r}.", f"Known are: {NAMES}.")


def of_path(path: Path) -> Format | None:
    """The format that the file's extension names."""
    return next((known for known in FORMATS if path.suffix.lower() in known.extensions), None)


def of_content(data: bytes) -> Format | None:
    """The format that a file's bytes are in, whatever its name."""
    return next((known for known in FORMATS if re.match(known.magic, data[:16], re.DOTALL)), None)

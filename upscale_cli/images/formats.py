"""The file formats: what each can hold, how its files are named and how they begin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from upscale_cli.errors import UsageError
from upscale_cli.images.tiff_tags import Buffer


@dataclass(frozen=True)
class Format:
    """A file format. ``magic`` matches the first bytes of its files; ``lossy`` ones take a quality.

    ``depths``: bits per channel it holds (12: what is left of 16). ``metadata``: the fields of ``Metadata`` it holds.
    """

    name: str
    extensions: tuple[str, ...]
    magic: bytes
    depths: tuple[int, ...] = (8,)
    alpha: bool = False
    animation: bool = False
    metadata: tuple[str, ...] = ()
    quality: int | None = None

    @property
    def lossy(self) -> bool:
        """Whether pixels change in it."""
        return self.quality is not None


MAGIC = 17  # bytes that tell the format
_BLOCKS = ("icc", "exif", "xmp")
FORMATS: tuple[Format, ...] = (
    Format(
        "jpeg",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        rb"\xff\xd8\xff",
        metadata=(*_BLOCKS, "comment", "resolution"),
        quality=95,
    ),
    Format(
        "png",
        (".png", ".apng"),
        rb"\x89PNG\r\n\x1a\n",
        depths=(8, 16),
        alpha=True,
        animation=True,
        metadata=(*_BLOCKS, "text", "comment", "resolution"),
    ),
    Format("webp", (".webp",), rb"RIFF....WEBP", alpha=True, animation=True, metadata=_BLOCKS, quality=95),
    Format(
        "tiff",
        (".tif", ".tiff"),
        rb"(II\*\x00|MM\x00\*)",
        depths=(8, 16),
        alpha=True,
        metadata=(*_BLOCKS, "resolution"),
    ),
    Format("avif", (".avif",), rb"....ftypavi[fs]", depths=(8, 12), alpha=True, metadata=_BLOCKS, quality=90),
    Format("bmp", (".bmp", ".dib"), rb"BM"),
    Format("ppm", (".ppm", ".pgm", ".pnm", ".pbm"), rb"P[1-6]\s", depths=(8, 16)),
    Format("gif", (".gif",), rb"GIF8[79]a", alpha=True, animation=True),
)

# TGA files begin with no mark: an image type that fits its colour map, and a depth that exists.
READ_ONLY: tuple[Format, ...] = (
    Format("dds", (".dds",), rb"DDS \x7c\x00\x00\x00", alpha=True),
    Format("tga", (".tga",), rb".(\x00[\x02\x03\x0a\x0b]|\x01[\x01\x09]).{13}[\x08\x0f\x10\x18\x20]", alpha=True),
)

EXTENSIONS = frozenset(extension for known in (*FORMATS, *READ_ONLY) for extension in known.extensions)
NAMES = ", ".join(known.name for known in FORMATS)
READABLE = ", ".join(known.name for known in (*FORMATS, *READ_ONLY))


def by_name(name: str) -> Format:
    """Return the format of that name or extension. Raises UsageError with the known names."""
    wanted = name.lower().lstrip(".")
    for known in FORMATS:
        if wanted == known.name or f".{wanted}" in known.extensions:
            return known
    raise UsageError(f"There is no picture format {name!r}.", f"Known are: {NAMES}.")


def of_path(path: Path) -> Format | None:
    """Return the format that the file's extension names, None for one that is unknown or only read."""
    return next((known for known in FORMATS if path.suffix.lower() in known.extensions), None)


def of_target(path: Path) -> Format:
    """Return the format that the extension of a file to be written names. Raises UsageError for an unknown one."""
    kind = of_path(path)
    if kind is None:
        reason = " has no extension of a picture format"
        if path.suffix.lower() in EXTENSIONS:
            reason = f": {path.suffix.lower()[1:]} files are only read"
        raise UsageError(f"{path}{reason}.", f"Known formats: {NAMES}.")
    return kind


def of_content(data: Buffer) -> Format | None:
    """Return the format of a file's bytes, whatever its name, None for an unknown one."""
    return next((known for known in (*FORMATS, *READ_ONLY) if re.match(known.magic, data[:MAGIC], re.DOTALL)), None)

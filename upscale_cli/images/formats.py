"""The file formats: what each can hold, how its files are named and how they begin."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from upscale_cli.errors import OutputError, UsageError
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.tiff_tags import Buffer


@dataclass(frozen=True)
class Format:
    """A file format. ``magic`` matches the first bytes of its files; ``lossy`` ones take a quality.

    ``depths``: bits per channel it holds (12: what is left of 16; 32, of EXR 16 too, are floating point).
    ``metadata``: the fields of ``Metadata`` it holds. ``extra``: what has to be installed for it.
    ``longest`` and ``largest``: pixels of a side, and of the whole, that it holds, or that its library takes.
    """

    name: str
    extensions: tuple[str, ...]
    magic: bytes
    depths: tuple[int, ...] = (8,)
    alpha: bool = False
    animation: bool = False
    metadata: tuple[str, ...] = ()
    quality: int | None = None
    extra: str | None = None
    longest: int | None = None
    largest: int | None = None

    @property
    def lossy(self) -> bool:
        """Whether pixels change in it."""
        return self.quality is not None

    def refusal(self, height: int, width: int) -> str | None:
        """Return why a file of the format cannot hold a picture of that size, None where it can."""
        size = f"{self.name} cannot hold {width}x{height} pixels"
        if self.longest is not None and max(height, width) > self.longest:
            return f"{size}: its sides have at most {self.longest:,}"
        if self.largest is not None and height * width > self.largest:
            return f"{size}: it has at most {self.largest:,}"
        return None

    def require_size(self, path: Path, height: int, width: int) -> None:
        """Raise OutputError where ``path``, a file of the format, cannot hold a picture of that size."""
        if reason := self.refusal(height, width):
            others = "tiff" if self.name == "png" else "png or tiff"
            raise OutputError(f"{path}: {reason}.", f"Choose --format {others}, or a smaller size.")


MAGIC = 17  # bytes that tell the format
_BLOCKS = ("icc", "exif", "xmp")
FORMATS: tuple[Format, ...] = (
    Format(
        "jpeg",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        rb"\xff\xd8\xff",
        metadata=(*_BLOCKS, "comment", "resolution"),
        quality=95,
        longest=65_500,
    ),
    Format(
        "png",
        (".png", ".apng"),
        rb"\x89PNG\r\n\x1a\n",
        depths=(8, 16),
        alpha=True,
        animation=True,
        metadata=(*_BLOCKS, "text", "comment", "resolution"),
        longest=1_000_000,
    ),
    Format(
        "webp", (".webp",), rb"RIFF....WEBP", alpha=True, animation=True, metadata=_BLOCKS, quality=95, longest=16_383
    ),
    Format(
        "tiff",
        (".tif", ".tiff"),
        rb"(II[*+]\x00|MM\x00[*+])",
        depths=(8, 16, 32),
        alpha=True,
        metadata=(*_BLOCKS, "resolution"),
    ),
    Format(
        "avif",
        (".avif",),
        rb"....ftypavi[fs]",
        depths=(8, 12),
        alpha=True,
        animation=True,
        metadata=_BLOCKS,
        quality=90,
        longest=32_768,
        largest=16_384**2,
    ),
    Format("bmp", (".bmp", ".dib"), rb"BM"),
    Format("ppm", (".ppm", ".pgm", ".pnm", ".pbm"), rb"P[1-6]\s", depths=(8, 16)),
    Format("gif", (".gif",), rb"GIF8[79]a", alpha=True, animation=True, longest=65_535),
    Format(
        "jxl",
        (".jxl",),
        rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n",
        alpha=True,
        metadata=("exif", "xmp"),
        quality=95,
        extra="jxl",
    ),
    Format(
        "exr",
        (".exr",),
        rb"v/1\x01",
        depths=(16, 32),
        alpha=True,
        metadata=("comment", "resolution", "chromaticities"),
        extra="exr",
    ),
)
_RAW = Format(
    "raw",
    (
        *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        *(".3fr", ".erf", ".iiq", ".kdc", ".dcr", ".mrw", ".mef", ".mos", ".rwl", ".x3f"),
    ),
    rb"FUJIFILMCCD-RAW|IIU\x00|IIR[OS]|MMOR|II\*\x00....CR|....ftypcrx |\x00MRM|FOVb",
    extra="raw",
)

# TGA files begin with no mark: an image type that fits its colour map, and a depth that exists.
READ_ONLY: tuple[Format, ...] = (
    Format(
        "heif",
        (".heic", ".heif", ".hif"),
        rb"....ftyp(hei[cxms]|hev[cxms]|mif[12]|msf1)",
        depths=(8, 12),
        alpha=True,
        extra="heif",
    ),
    _RAW,
    Format("dds", (".dds",), rb"DDS \x7c\x00\x00\x00", alpha=True),
    Format("tga", (".tga",), rb".(\x00[\x02\x03\x0a\x0b]|\x01[\x01\x09]).{13}[\x08\x0f\x10\x18\x20]", alpha=True),
)

EXTENSIONS = frozenset(extension for known in (*FORMATS, *READ_ONLY) for extension in known.extensions)
NAMES = ", ".join(known.name for known in FORMATS)
READABLE = ", ".join(known.name for known in (*FORMATS, *READ_ONLY))
MOST_CHILDREN = 32
_SEARCHED = (_RAW, *FORMATS, *READ_ONLY)


def by_name(name: str) -> Format:
    """Return the format of that name or extension. Raises UsageError with the known names."""
    wanted = name.lower().lstrip(".")
    for known in FORMATS:
        if wanted == known.name or f".{wanted}" in known.extensions:
            return known
    read_only = any(wanted == known.name or f".{wanted}" in known.extensions for known in READ_ONLY)
    reason = f"{name} files are only read." if read_only else f"There is no picture format {name!r}."
    raise UsageError(reason, f"Known are: {NAMES}.")


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
    """Return the format of a file's bytes, all of them, whatever its name, None for an unknown one."""
    found = next((known for known in _SEARCHED if re.match(known.magic, data[:MAGIC], re.DOTALL)), None)
    return _RAW if found and found.name == "tiff" and _of_a_sensor(data) else found


def _of_a_sensor(tiff: Buffer) -> bool:
    """Return whether the TIFF structure is a camera's: it, or a picture within, holds what a sensor measured."""
    kinds, inside = set(), {tags.PHOTOMETRIC, tags.SUB_DIRECTORIES}
    with suppress(tags.TiffError):
        main, _ = tags.read_directory(tiff, wanted=inside)
        children = main[tags.SUB_DIRECTORIES].numbers[:MOST_CHILDREN] if tags.SUB_DIRECTORIES in main else []
        for found in (main, *(tags.read_directory(tiff, child, inside)[0] for child in children)):
            kinds |= {found[tags.PHOTOMETRIC].number} if tags.PHOTOMETRIC in found else set()
    return not kinds.isdisjoint(tags.OF_SENSORS)

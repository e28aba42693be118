"""Pictures into files: whole or not at all, with as much of depth, alpha and metadata as the format holds."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from upscale_cli import atomic
from upscale_cli.errors import OutputError, UsageError
from upscale_cli.images import chunks, pillow
from upscale_cli.images.animation import encode_animation
from upscale_cli.images.convert import NotEncodable, StoredPixels, with_depth
from upscale_cli.images.encode import encode, encode_tiff
from upscale_cli.images.extras import install, is_installed
from upscale_cli.images.formats import Format
from upscale_cli.images.metadata import for_size, icc_fits
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Animation, Image, Metadata, Pages, Picture
from upscale_cli.notices import Notice, note

_NAMES = {"icc": "ICC profile", "exif": "EXIF", "xmp": "XMP"}  # of other fields of Metadata: their own
_DEEPER = "png and tiff hold 16"
_SCREEN = {(72, 72), (96, 96)}  # pixels per inch that programs write where nobody chose any


@dataclass(frozen=True)
class WriteOptions:
    """``quality``: 1 to 100, of lossy formats (None: the format's own). ``depth``: 8, 16 or 32 (None: the picture's).

    ``max_bytes``: of the file; the quality is lowered as far as that needs. ``threads``: that compress it (None: one
    for each core).
    """

    format: Format
    quality: int | None = None
    depth: int | None = None
    max_bytes: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        name = self.format.name
        if self.quality is not None and not self.format.lossy:
            raise UsageError(f"{name} is lossless and takes no --quality.", "Leave it out, or choose --format jpeg.")
        if self.max_bytes is not None and not self.format.lossy:
            raise UsageError(f"{name} is lossless and takes no --max-bytes.", "Choose --format jpeg, webp or avif.")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"A quality of {self.quality} is out of range.", "Use --quality 1 to 100.")
        if self.depth is not None and not min(self.format.depths) <= self.depth <= max(self.format.depths):
            better = {8: "png, jpeg or tiff", 16: "png or tiff"}.get(self.depth, "tiff or exr")
            raise UsageError(f"{name} does not hold {self.depth} bits per channel.", f"Choose --format {better}.")
        if self.format.extra and not is_installed(self.format.extra):
            raise UsageError(f"Writing {name} files needs an extra.", install(self.format.extra))


def write_image(image: Image, path: Path, options: WriteOptions, replaces: bool = True) -> list[Notice]:
    """Write to ``path``. Returns one sentence for each thing that the format cannot hold. Raises OutputError.

    ``replaces``: see ``atomic.replacing``.
    """
    kind, quality = options.format, options.quality or options.format.quality or 0
    frames = image.frames
    notices: list[Notice] = []
    if kind.name == "jxl":
        frames = tuple(_without_profile(frame, notices) for frame in frames[:1]) + frames[1:]
    if isinstance(image, Pages) and kind.name == "tiff":
        return _write_pages(image, path, options, replaces)
    if isinstance(image, Pages):
        frames = frames[:1]
        notices.append(note(f"{kind.name} holds one page: only the first was written (tiff holds all)."))
    if len(frames) > 1 and not kind.animation:
        frames = frames[:1]
        notices.append(note(f"{kind.name} holds no animation: only the first frame was written."))
    if len(frames) > 1 and isinstance(image, Animation) and kind.name == "avif" and image.loop_count:
        notices.append(note(f"avif is shown for ever, not {image.loop_count} times (png, webp and gif hold it)."))
    pixels, of_pixels = _fit_pixels(frames, options)
    metadata, of_metadata = _fit_metadata(frames[0], kind, pixels[0])
    kind.require_size(path, frames[0].height, frames[0].width)
    with atomic.replacing(path, replaces=replaces) as temporary, temporary.open("wb") as file:
        try:
            if isinstance(image, Animation) and len(frames) > 1:
                write = partial(encode_animation, pixels, image, metadata, file, kind)
            else:
                write = partial(encode, pixels[0], metadata, file, kind, threads=options.threads)
            write(quality)
            if options.max_bytes is not None and file.tell() > options.max_bytes:
                notices.append(_write_smaller(write, file, quality, options.max_bytes, path))
        except (NotEncodable, cv2.error, struct.error) as error:
            several = f"these {len(frames)} frames of " if len(frames) > 1 else ""
            size = f"{several}{frames[0].width}x{frames[0].height}"
            hint = f"Choose --format png{'' if several else ' or tiff'}."
            raise OutputError(f"{path}: {kind.name} cannot hold {size} pixels.", hint) from error
    return [*notices, *of_pixels, *of_metadata]


def _without_profile(picture: Picture, notices: list[Notice]) -> Picture:
    """Return ``picture`` in sRGB, which the encoder of JPEG XL takes, where its profile is usable."""
    icc = picture.metadata.icc
    if picture.light or icc is None or not icc_fits(icc, 3) or picture.color.shape[2] != 3:
        return picture
    color = pillow.in_srgb(np.ascontiguousarray(with_depth(picture.color, 8)), icc)
    if color is None:
        return picture
    notices.append(note("jxl is written in sRGB: the colours were converted, the ICC profile left out."))
    alpha = None if picture.alpha is None else with_depth(picture.alpha, 8)
    return replace(picture, color=color, alpha=alpha, metadata=replace(picture.metadata, icc=None))


def _write_pages(image: Pages, path: Path, options: WriteOptions, replaces: bool) -> list[Notice]:
    """Write a TIFF file of all pages. Returns and raises what ``write_image`` does."""
    pages, notices = [], []
    for page in image.frames:
        (pixels,), of_pixels = _fit_pixels((page,), options)
        metadata, of_metadata = _fit_metadata(page, options.format, pixels)
        pages.append((pixels, metadata))
        notices += [*of_pixels, *of_metadata]
    with atomic.replacing(path, replaces=replaces) as temporary, temporary.open("wb") as file:
        try:
            encode_tiff(pages, file, options.threads)
        except struct.error as error:
            raise OutputError(f"{path}: tiff cannot hold {len(pages)} pages so large.", "Use a smaller -s.") from error
    return list(dict.fromkeys(notices))


def _write_smaller(write: Callable[[int], None], file: BinaryIO, quality: int, most: int, path: Path) -> Notice:
    """Write ``file`` anew with the highest quality below ``quality`` that takes at most ``most`` bytes.

    Raises OutputError where none does.
    """

    def size(tried: int) -> int:
        file.seek(0)
        file.truncate()
        write(tried)
        return file.tell()

    best, below, tried = 0, quality, quality
    while below - best > 1:
        tried = (best + below) // 2
        best, below = (tried, below) if size(tried) <= most else (best, tried)
    if best == 0:
        reason = f"{path} takes more than {most} bytes even with the lowest quality."
        raise OutputError(reason, "Allow more with --max-bytes, or make it smaller.")
    if tried != best:
        size(best)
    return note(f"{path} was written with quality {best}, to take at most {most} bytes.")


def _fit_pixels(frames: Sequence[Picture], options: WriteOptions) -> tuple[list[StoredPixels], list[Notice]]:
    """Return the frames' pixels as the format is to hold them, and what it cannot."""
    kind, first = options.format, frames[0]
    notices = []
    depth = 8 if len(frames) > 1 else _depth(first, options)
    floating = depth == 32 or kind.name == "exr"
    if depth > max(kind.depths):
        notices.append(note(f"{kind.name} holds {max(kind.depths)} bits per channel: 16 were rounded ({_DEEPER})."))
        depth = 8 if max(kind.depths) == 8 else 16
    if first.light and first.light.peak > 1 and not floating:
        name = f"{kind.name} of {depth} bits" if kind.name == "tiff" else kind.name
        notices.append(note(f"{name} holds no light above 1: it became white (tiff of 32 bits and exr hold it)."))
    if first.alpha is not None and not kind.alpha:
        notices.append(note(f"{kind.name} holds no transparency: laid over white (png and webp hold it)."))
    binary = kind.name == "gif"
    if binary and first.alpha is not None and not np.isin(first.alpha, (0, np.iinfo(first.alpha.dtype).max)).all():
        notices.append(note("gif holds no partial transparency (png and webp hold it)."))
    # Some formats, or the ways of writing them, know gray only without alpha.
    alpha = first.alpha is not None and kind.alpha
    colored = kind.name in ("webp", "gif") or (alpha and kind.name not in ("png", "jxl", "exr"))
    channels = 3 if colored else int(first.color.shape[2])
    return [StoredPixels(frame, depth, channels + alpha, binary, floating) for frame in frames], notices


def _depth(picture: Picture, options: WriteOptions) -> int:
    """Return the bits per channel that were asked for, or else the picture's, which the format may not hold."""
    if options.depth is not None:
        return options.depth
    if options.format.name == "exr":
        return picture.light.bits if picture.light else 2 * picture.depth
    return 32 if picture.light and options.format.name == "tiff" else picture.depth


def _fit_metadata(picture: Picture, kind: Format, pixels: StoredPixels) -> tuple[Metadata, list[Notice]]:
    """Return the metadata that the format holds, true of the picture's size, and what it does not hold."""
    found = picture.metadata
    notices = [note(text) for text in found.unread]
    if found.pages > 1:
        notices.append(note(f"The file holds {found.pages} pages: only the first was read."))
    fields = ("icc", "exif", "xmp", "text", "comment", "resolution", "chromaticities")
    dropped = [name for name in fields if getattr(found, name) and not _holds(kind, name, found, pixels)]
    worth_telling = [_NAMES.get(name, name) for name in dropped if getattr(found, name) not in _SCREEN]
    if worth_telling:
        notices.append(note(f"{kind.name} does not hold this picture's {', '.join(worth_telling)}: dropped."))
    nothing: dict[str, Any] = {name: getattr(Metadata(), name) for name in dropped}
    return for_size(replace(found, **nothing), picture.width, picture.height), notices


def _holds(kind: Format, name: str, found: Metadata, pixels: StoredPixels) -> bool:
    of_these = pixels.floating == (pixels.picture.light is not None)  # else it describes another curve
    if name == "icc" and not (of_these and icc_fits(found.icc or b"", 3 if pixels.channels >= 3 else 1)):
        return False
    header = {"exif": chunks.EXIF_HEADER, "xmp": chunks.XMP_HEADER, "comment": b""}.get(name)
    too_long = header is not None and len(header + getattr(found, name)) > chunks.LARGEST_SEGMENT
    return name in kind.metadata and not (kind.name == "jpeg" and too_long)

"""Pictures from files: upright, RGB, colour and alpha apart, with their metadata."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.images import chunks, exr, heif, jxl, pillow, raw
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.animation import decode_animation
from upscale_cli.images.convert import upright
from upscale_cli.images.extras import install, is_installed
from upscale_cli.images.formats import READABLE, Format, by_name, of_content
from upscale_cli.images.header import Header
from upscale_cli.images.jpeg_quality import jpeg_quality
from upscale_cli.images.metadata import for_size, orientation, with_plain_alpha
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Image, Pages, Picture, Pixels
from upscale_cli.images.read_header import read_header
from upscale_cli.images.tiff_floats import decoded_floats
from upscale_cli.images.tiff_gray import decoded_gray_alpha
from upscale_cli.images.tiff_header import further_pages
from upscale_cli.images.tiff_tags import Buffer

DEFAULT_MAX_MEGAPIXELS = 500.0
MOST_FRAMES = 10_000
MOST_PIXELS_PER_BYTE = 10_000  # of dense files; Deflate holds 8,256 of one bit each
MOST_SCANS = 64  # passes over a JPEG picture; encoders make some ten
_STRIP = 64  # rows that are converted at a time
_BY_EXTRAS: dict[str, Callable[[Path, bytes, Header], Picture | bytes]] = {
    "jxl": jxl.decoded,
    "heif": heif.decoded,
    "raw": raw.decoded,
    "exr": exr.decoded,
}


def read_image(
    path: Path,
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS,
    on_header: Callable[[int], None] = lambda pixels: None,
) -> Image:
    """Return the picture, animation or pages in the file, whatever its extension. Raises InputError in one sentence.

    ``on_header`` is called before decoding, with the number of pixels of all frames.
    """
    with opened(path) as file:
        data = file.read()
    known, header = require_harmless(path, data, max_megapixels)
    require_whole(path, data, known)
    if known.name == "tiff" and header.metadata.pages > 1:
        return _read_pages(path, data, max_megapixels, on_header)
    on_header(header.height * header.width * (header.frames or 1) * header.weight)
    try:
        if header.frames is not None:
            return decode_animation(data, known, header)
        return _decode(path, data, known, header)
    except (cv2.error, *pillow.ERRORS) as error:
        raise InputError(f"{path} is damaged and cannot be decoded.", "Copy or download it again.") from error


def _read_pages(path: Path, data: bytes, max_megapixels: float, on_header: Callable[[int], None]) -> Pages:
    """Return all pages of a TIFF file: each is read as if the file began with it."""
    first = tags.first_directory(data)
    _, after = tags.read_directory(data, first, ())
    positions = [first, *further_pages(data, after)]
    headers = [require_harmless(path, tags.beginning_at(data, at), max_megapixels) for at in positions]
    pixels = sum(header.height * header.width for _, header in headers)
    if pixels > max_megapixels * 1e6:
        raise InputError(
            f"{path} claims {len(headers)} pages of together more than {max_megapixels:g} megapixels.",
            f"If that is right, raise the limit: --max-megapixels {pixels / 1e6 + 1:.0f}.",
        )
    on_header(sum(header.height * header.width * header.weight for _, header in headers))
    try:
        pages = [
            _decode(path, tags.beginning_at(data, at), *known) for at, known in zip(positions, headers, strict=True)
        ]
    except (cv2.error, *pillow.ERRORS) as error:
        raise InputError(f"{path} is damaged and cannot be decoded.", "Copy or download it again.") from error
    return Pages(tuple(replace(page, metadata=replace(page.metadata, pages=1)) for page in pages))


def read_picture(path: Path, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Picture:
    """Return the picture in the file, or the first frame or page. Raises InputError."""
    image = read_image(path, max_megapixels)
    return image.frames[0]


def picture_header(path: Path, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Header:
    """Return the file's header, its size that of the upright picture, without decoding. Raises InputError."""
    return format_and_header(path, max_megapixels)[1]


def format_and_header(path: Path, max_megapixels: float) -> tuple[Format, Header]:
    """Return the file's format, and what ``picture_header`` does."""
    with opened(path) as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    known, header = require_harmless(path, memoryview(data), max_megapixels)
    turned = orientation(header.metadata.exif) >= 5
    return known, replace(header, height=header.width, width=header.height) if turned else header


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Yield the file, which is not empty. Raises InputError where it cannot be read."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a picture.", "Give the folder itself, or a file.")
    try:
        with path.open("rb") as file:
            if not file.peek(1):
                raise InputError(f"{path} is empty.", "Copy or download it again.")
            yield file
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.", "Check the path.") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"Cannot read {path}: {reason}.", "Check the file and its permissions.") from error


def require_harmless(path: Path, data: Buffer, max_megapixels: float) -> tuple[Format, Header]:
    """Return the file's format and header, which claims no more than what is allowed."""
    known = of_content(data)
    if known is None:
        raise InputError(f"{path} is no picture of a known format.", f"Known are: {READABLE}.")
    if known.extra and not is_installed(known.extra):
        raise InputError(f"{path} is of the format {known.name}, which needs an extra.", install(known.extra))
    header = read_header(data, known)
    if header is None:
        raise InputError(f"{path} is damaged: its header does not tell its size.", "Copy or download it again.")
    frames = header.frames or 1
    claimed = f"{f'{frames} frames of ' if frames > 1 else ''}{header.width}x{header.height} pixels"
    megapixels = frames * header.height * header.width / 1e6
    if megapixels > max_megapixels:
        raise InputError(
            f"{path} claims {claimed}, more than {max_megapixels:g} megapixels.",
            f"If that is right, raise the limit: --max-megapixels {megapixels + 1:.0f}.",
        )
    if reason := known.refusal(header.height, header.width):
        raise InputError(f"{path} claims {claimed}, and {reason}.", "Copy or download it again.")
    if header.dense and header.height * header.width > MOST_PIXELS_PER_BYTE * len(data):
        raise InputError(f"{path} is damaged: {len(data)} bytes cannot hold {claimed}.", "Copy or download it again.")
    if frames > MOST_FRAMES:
        raise InputError(f"{path} claims {claimed}, more than {MOST_FRAMES} frames.", "Split it into several files.")
    return known, header


def require_whole(path: Path, data: Buffer, known: Format) -> None:
    """Refuse files that lack their end where decoders are lenient or loud about it, and those that take for ever."""
    if known.name == "png":
        whole = any(kind == b"IEND" for kind, _ in chunks.png_chunks(memoryview(data)))
    elif known.name == "jpeg":
        markers = Counter(segment.marker for segment in chunks.jpeg_segments(memoryview(data)))
        whole = chunks.END in markers
        if markers[chunks.START_OF_SCAN] > MOST_SCANS:
            raise InputError(f"{path} needs over {MOST_SCANS} passes to decode.", "Save it anew in another program.")
    else:
        return
    if not whole:
        raise InputError(f"{path} is cut off: its end is missing.", "Copy or download it again.")


def _decode(path: Path, data: bytes, known: Format, header: Header) -> Picture:
    """Return a still picture. Raises cv2.error or pillow.ERRORS where the file is damaged."""
    if known.name in _BY_EXTRAS:
        made = _BY_EXTRAS[known.name](path, data, header)
        picture = _of_jpeg(path, made) if isinstance(made, bytes) else made
        return _of_size(replace(picture, metadata=for_size(picture.metadata, picture.width, picture.height)), header)
    if header.floating:
        return _of_size(decoded_floats(path, data, header), header)
    if header.gray_alpha:
        pixels = decoded_gray_alpha(path, data, orientation(header.metadata.exif))
    else:
        pixels = pillow.decoded(data, known.name) if header.by_pillow else _by_opencv(path, data, known, header)
    if sorted(pixels.shape[:2]) != sorted((header.height, header.width)):
        raise ValueError("the header tells another size")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    color = pixels.reshape(*pixels.shape[:2], channels)[..., : 1 if header.gray or channels == 2 else 3]
    alpha = pixels[..., -1] if channels in (2, 4) else None
    if known.name in ("bmp", "tga") and alpha is not None and not alpha.any():
        alpha = None  # 32-bit BMP and TGA files seldom use their fourth byte
    # The decoders of TIFF obey the orientation themselves.
    turned = 1 if known.name == "tiff" else orientation(header.metadata.exif)
    color, alpha = upright(color, turned), None if alpha is None else upright(alpha, turned)
    stored = replace(header.metadata, icc=None) if header.profiled else header.metadata
    metadata = for_size(stored, color.shape[1], color.shape[0])
    return Picture(color, alpha, metadata, jpeg_quality(data) if known.name == "jpeg" else None)


def _of_jpeg(path: Path, jpeg: bytes) -> Picture:
    """Return the picture of the JPEG file that another one holds."""
    known = by_name("jpeg")
    header = read_header(jpeg, known)
    if header is None:
        raise ValueError("the JPEG file inside is damaged")
    return _decode(path, jpeg, known, header)


def _of_size(picture: Picture, header: Header) -> Picture:
    if sorted(picture.color.shape[:2]) != sorted((header.height, header.width)):
        raise ValueError("the header tells another size")
    return picture


def _by_opencv(path: Path, data: bytes, known: Format, header: Header) -> Pixels:
    """Return gray (H, W), RGB or RGBA pixels of the full range of 8 or 16 bits."""
    if known.name == "png":
        data = chunks.only(data, chunks.PNG_STILL)
    if known.name == "tiff":
        data = with_plain_alpha(data)
    pixels: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("nothing was decoded")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path} has pixels of type {pixels.dtype}.", "Convert it to 8 or 16 bits per channel.")
    full_range = np.rint(np.arange(2**header.depth) * (65535 / (2**header.depth - 1))).astype(np.uint16)
    for top in range(0, len(pixels), _STRIP):
        strip = pixels[top : top + _STRIP]  # changed where it is
        if known.name == "avif":
            strip[...] = full_range.take(strip, mode="clip")
        if strip.ndim == 3 and strip.shape[2] >= 3:
            strip[...] = cv2.cvtColor(strip, cv2.COLOR_BGR2RGB if strip.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return pixels

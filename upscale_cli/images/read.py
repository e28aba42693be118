"""Pictures from files: upright, RGB, colour and alpha apart, with their metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.images import header, metadata
from upscale_cli.images.formats import NAMES, Format, of_content
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Animation, Metadata, Picture, Pixels

DEFAULT_MAX_MEGAPIXELS = 500.0
SHORTEST_FRAME_MS = 10


def read_image(path: Path, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Picture | Animation:
    """The picture or animation in the file, whatever its extension. Raises InputError in one sentence."""
    data = _bytes_of(path)
    known = of_content(data)
    if known is None:
        raise InputError(f"{path} is no picture of a known format.", f"Known are: {NAMES}.")
    _require_size(path, header.size(data, known), max_megapixels)
    if not header.is_complete(data, known):
        raise InputError(f"{path} is cut off: its end is missing.", "Copy or download it again.")
    if header.is_animated(data, known):
        return _decode_animation(path, data, max_megapixels)
    return _decode(path, data, known)


def read_picture(path: Path, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Picture:
    """As ``read_image``, but of an animation the first frame."""
    image = read_image(path, max_megapixels)
    return image.frames[0] if isinstance(image, Animation) else image


def _bytes_of(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a picture.", "Give the folder itself, or a file.")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.", "Check the path.") from error
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror or error}.", "Check the file and its permissions."
        ) from error
    if not data:
        raise InputError(f"{path} is empty.", "Copy or download it again.")
    return data


def _require_size(path: Path, size: tuple[int, int] | None, max_megapixels: float) -> None:
    if size is None:
        raise InputError(f"{path} is damaged: its header does not tell its size.", "Copy or download it again.")
    megapixels = size[0] * size[1] / 1e6
    if megapixels > max_megapixels:
        raise InputError(
            f"{path} claims {size[1]}x{size[0]} pixels, more than {max_megapixels:g} megapixels.",
            f"If that is right, raise the limit: --max-megapixels {megapixels + 1:.0f}.",
        )


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged and cannot be decoded.", "Copy or download it again.")


def _decode(path: Path, data: bytes, known: Format) -> Picture:
    stored = metadata.with_plain_alpha(data) if known.name == "tiff" else data
    try:
        pixels, kinds, blocks = cv2.imdecodeWithMetadata(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _damaged(path) from error
    if pixels is None:
        raise _damaged(path)
    found = _metadata(data, known, kinds, blocks)
    pixels = _to_full_range(path, pixels, header.avif_depth(data) if known.name == "avif" else 16)
    # The TIFF decoder obeys the orientation itself.
    turned = pixels if known.name == "tiff" else _upright(pixels, metadata.orientation(found.exif))
    color, alpha = _split(turned)
    if header.is_gray_with_alpha(data, known):
        color = color[..., :1]
    if known.name == "bmp" and alpha is not None and not alpha.any():
        alpha = None  # 32-bit BMP files seldom use their fourth byte
    if known.name == "gif" and alpha is not None and alpha.all():
        alpha = None  # a palette may reserve a transparent colour and not use it
    return Picture(
        np.ascontiguousarray(color),
        None if alpha is None else np.ascontiguousarray(alpha),
        metadata.for_size(found, turned.shape[1], turned.shape[0]),
    )


def _metadata(data: bytes, known: Format, kinds: Sequence[int], blocks: Sequence[Pixels]) -> Metadata:
    if known.name == "tiff":
        return metadata.of_tiff(data)
    found = {int(kind): block.tobytes() for kind, block in zip(kinds, blocks, strict=True)}
    exif = found.get(cv2.IMAGE_METADATA_EXIF)
    if known.name == "avif":
        return replace(metadata.of_avif(data), exif=exif)
    xmp = found.get(cv2.IMAGE_METADATA_XMP)
    return Metadata(found.get(cv2.IMAGE_METADATA_ICCP), exif, xmp.rstrip(b"\0") if xmp else None)


def _to_full_range(path: Path, pixels: Pixels, depth: int) -> Pixels:
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path} has pixels of type {pixels.dtype}.", "Convert it to 8 or 16 bits per channel.")
    if pixels.dtype == np.uint16 and depth < 16:
        full: Pixels = np.rint(pixels * (65535 / (2**depth - 1))).astype(np.uint16)
        return full
    return pixels


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _split(pixels: Pixels) -> tuple[Pixels, Pixels | None]:
    """(H, W), BGR or BGRA to RGB or gray (H, W, C) and alpha."""
    if pixels.ndim == 2:
        return pixels[..., None], None
    if pixels.shape[2] == 2:
        return pixels[..., :1], pixels[..., 1]
    if pixels.shape[2] == 1:
        return pixels, None
    if pixels.shape[2] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), None
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB), pixels[..., 3]


def _decode_animation(path: Path, data: bytes, max_megapixels: float) -> Picture | Animation:
    known = of_content(data)
    assert known is not None
    height, width = header.size(data, known) or (1, 1)
    most = max(1, int(max_megapixels * 1e6 / (height * width)))
    try:
        ok, animation = cv2.imdecodeanimation(np.frombuffer(data, np.uint8), 0, min(most + 1, 32767))
    except cv2.error as error:
        raise _damaged(path) from error
    if not ok or not animation.frames:
        raise _damaged(path)
    if len(animation.frames) > most:
        raise InputError(
            f"{path} has over {most} frames, more than {max_megapixels:g} megapixels.", "Raise --max-megapixels."
        )
    frames = tuple(_frame(pixels) for pixels in animation.frames)
    if all(frame.alpha is not None and frame.alpha.all() for frame in frames) and known.name == "gif":
        frames = tuple(replace(frame, alpha=None) for frame in frames)
    if len(frames) == 1:
        return _decode(path, data, known)
    durations = tuple(max(SHORTEST_FRAME_MS, int(duration)) for duration in animation.durations)
    return Animation(frames, durations, int(animation.loop_count))


def _frame(pixels: Pixels) -> Picture:
    color, alpha = _split(pixels)
    return Picture(np.ascontiguousarray(color), None if alpha is None else np.ascontiguousarray(alpha))

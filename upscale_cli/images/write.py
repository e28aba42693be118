"""Pictures into files: whole or not at all, with as much of depth, alpha and metadata as the format holds."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from upscale_cli import atomic
from upscale_cli.errors import OutputError, UsageError
from upscale_cli.images import header, metadata
from upscale_cli.images.formats import Format
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Animation, Metadata, Picture, Pixels
from upscale_cli.notices import Notice, note

PNG_COMPRESSION = 4


@dataclass(frozen=True)
class WriteOptions:
    """``quality``: 1 to 100, of lossy formats (None: the format's own). ``depth``: 8 or 16 (None: the picture's)."""

    format: Format
    quality: int | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        name = self.format.name
        if self.quality is not None and not self.format.lossy:
            raise UsageError(f"{name} is lossless and takes no --quality.", "Leave it out, or choose --format jpeg.")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"A quality of {self.quality} is out of range.", "Use --quality 1 to 100.")
        if self.depth == 16 and max(self.format.depths) < 16:
            raise UsageError(f"{name} does not hold 16 bits per channel.", "Choose --format png or tiff.")


def write_image(image: Picture | Animation, path: Path, options: WriteOptions) -> list[Notice]:
    """Write to ``path``. Returns one sentence for each thing that the format could not hold. Raises OutputError."""
    fitting, notices = fit(image, options)
    if isinstance(fitting, Animation):
        atomic.write_bytes(path, _encode_animation(fitting, path, options))
    else:
        atomic.write_bytes(path, _encode(fitting, path, options))
    return notices


def fit(image: Picture | Animation, options: WriteOptions) -> tuple[Picture | Animation, list[Notice]]:
    """The image as the format can hold it, and what had to go."""
    name = options.format.name
    if isinstance(image, Picture):
        return _fit_picture(image, options)
    if not options.format.animation:
        picture, notices = _fit_picture(image.frames[0], options)
        return picture, [note(f"{name} holds no animation: only the first frame was written."), *notices]
    fitted = [_fit_picture(frame, replace(options, depth=8)) for frame in image.frames]
    return replace(image, frames=tuple(frame for frame, _ in fitted)), fitted[0][1]


def _fit_picture(picture: Picture, options: WriteOptions) -> tuple[Picture, list[Notice]]:
    kind = options.format
    notices: list[Notice] = []
    depth = options.depth or picture.depth
    if depth == 16 and max(kind.depths) == 8:
        depth = 8
        notices.append(note(f"{kind.name} holds 8 bits per channel: 16 were rounded (png and tiff hold 16)."))
    elif depth == 16 and 12 in kind.depths:
        notices.append(note(f"{kind.name} holds 12 bits per channel: 16 were rounded (png and tiff hold 16)."))
    color, alpha = _with_depth(picture.color, depth), picture.alpha
    alpha = None if alpha is None else _with_depth(alpha, depth)
    if alpha is not None and not kind.alpha:
        color, alpha = over_white(color, alpha), None
        notices.append(note(f"{kind.name} holds no transparency: laid over white (png and webp hold it)."))
    if alpha is not None and kind.name == "gif" and ((alpha > 0) & (alpha < 255)).any():
        notices.append(note("gif holds no partial transparency (png and webp hold it)."))
    kept, dropped = _fit_metadata(picture.metadata, kind, _stored_channels(color, alpha, kind))
    if dropped:
        notices.append(note(f"{kind.name} does not hold this picture's {', '.join(dropped)}: dropped."))
    return Picture(color, alpha, metadata.for_size(kept, picture.width, picture.height)), notices


def _stored_channels(color: Pixels, alpha: Pixels | None, kind: Format) -> int:
    """Colour channels in the file: some formats, or OpenCV's way of writing them, know gray only without alpha."""
    always_rgb = kind.name in ("webp", "gif") or (alpha is not None and kind.name != "png")
    return 3 if always_rgb else int(color.shape[2])


def _with_depth(pixels: Pixels, depth: int) -> Pixels:
    if pixels.dtype.itemsize * 8 == depth:
        return pixels
    if depth == 16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def over_white(color: Pixels, alpha: Pixels) -> Pixels:
    """Return ``color`` (H, W, C) laid over white by ``alpha`` (H, W), of the same depth."""
    top = np.iinfo(color.dtype).max
    share = alpha[..., None].astype(np.float32) / top
    return np.rint(color * share + top * (1 - share)).astype(color.dtype)


def _fit_metadata(found: Metadata, kind: Format, channels: int) -> tuple[Metadata, list[str]]:
    dropped = []
    if found.icc and not (kind.icc and metadata.icc_fits(found.icc, channels)):
        found = replace(found, icc=None)
        dropped.append("ICC profile")
    if found.exif and not kind.exif:
        found = replace(found, exif=None)
        dropped.append("EXIF")
    if found.xmp and not (kind.xmp and (kind.name != "jpeg" or metadata.fits_jpeg(found.xmp))):
        found = replace(found, xmp=None)
        dropped.append("XMP")
    return found, dropped


def _encode(picture: Picture, path: Path, options: WriteOptions) -> bytes:
    name, found = options.format.name, picture.metadata
    if name == "png" and picture.alpha is not None and picture.color.shape[2] == 1:
        return _png_with_gray_alpha(picture, path, options)
    # OpenCV writes neither XMP into JPEG nor anything into TIFF.
    direct = {"jpeg": replace(found, xmp=None), "tiff": Metadata()}.get(name, found)
    pixels = _in_color(_joined(picture)) if name == "gif" else _joined(picture)
    data = _imencode(pixels, direct, path, options)
    if name == "tiff":
        return metadata.into_tiff(data, found, picture.alpha is not None)
    return metadata.into_jpeg(data, found.xmp) if name == "jpeg" and found.xmp else data


def _joined(picture: Picture) -> Pixels:
    """The pixels in OpenCV's order: (H, W), BGR or BGRA."""
    gray = picture.color.shape[2] == 1
    if picture.alpha is None:
        return picture.color[..., 0] if gray else cv2.cvtColor(picture.color, cv2.COLOR_RGB2BGR)
    joined: Pixels = cv2.cvtColor(picture.color, cv2.COLOR_GRAY2BGRA if gray else cv2.COLOR_RGB2BGRA)
    joined[..., 3] = picture.alpha
    return joined


def _imencode(pixels: Pixels, found: Metadata, path: Path, options: WriteOptions) -> bytes:
    kinds, blocks = [], []
    named = (
        (cv2.IMAGE_METADATA_EXIF, found.exif),
        (cv2.IMAGE_METADATA_XMP, found.xmp),
        (cv2.IMAGE_METADATA_ICCP, found.icc),
    )
    for kind, block in named:
        if block:
            kinds.append(kind)
            # The encoder of PNG takes text up to its end mark.
            ended = block + b"\0" if kind == cv2.IMAGE_METADATA_XMP and options.format.name == "png" else block
            blocks.append(np.frombuffer(ended, np.uint8).reshape(1, -1))
    if options.format.name == "avif" and pixels.dtype == np.uint16:
        pixels = np.rint(pixels * (4095 / 65535)).astype(np.uint16)
    try:
        ok, encoded = cv2.imencodeWithMetadata(
            _extension(options.format, pixels), pixels, kinds, blocks, _parameters(options, pixels)
        )
    except cv2.error as error:
        raise _not_encodable(path, options.format, pixels.shape[1], pixels.shape[0]) from error
    if not ok:
        raise _not_encodable(path, options.format, pixels.shape[1], pixels.shape[0])
    return bytes(encoded.tobytes())


def _not_encodable(path: Path, kind: Format, width: int, height: int) -> OutputError:
    return OutputError(f"{path}: {kind.name} cannot hold {width}x{height} pixels.", "Choose --format png or tiff.")


def _extension(kind: Format, pixels: Pixels) -> str:
    if kind.name == "ppm":
        return ".pgm" if pixels.ndim == 2 else ".ppm"
    return kind.extensions[0]


def _parameters(options: WriteOptions, pixels: Pixels) -> list[int]:
    quality = options.quality or options.format.quality or 0
    return {
        "jpeg": [
            cv2.IMWRITE_JPEG_QUALITY,
            quality,
            cv2.IMWRITE_JPEG_OPTIMIZE,
            1,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        "avif": [cv2.IMWRITE_AVIF_QUALITY, quality, cv2.IMWRITE_AVIF_DEPTH, 12 if pixels.dtype == np.uint16 else 8],
        # The palette made for the picture; OpenCV's other ways use a fixed one of 3-3-2 bits.
        "gif": [cv2.IMWRITE_GIF_QUALITY, 7, cv2.IMWRITE_GIF_DITHER, 3],
        "tiff": [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE],
    }.get(options.format.name, [])


def _png_with_gray_alpha(picture: Picture, path: Path, options: WriteOptions) -> bytes:
    """PNG's colour type 4, which OpenCV cannot write: its gray PNG with the type and the pixels exchanged."""
    assert picture.alpha is not None
    gray = _imencode(picture.color[..., 0], picture.metadata, path, options)
    samples = np.dstack([picture.color[..., 0], picture.alpha])
    rows = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8).reshape(picture.height, -1)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack(
        [np.full((picture.height, 1), 2, np.uint8), rows - above]
    )  # filter 2: difference to the row above
    pixels = zlib.compress(filtered.tobytes(), PNG_COMPRESSION)
    result, written = gray[:8], False
    for kind, content in header.png_chunks(gray):
        if kind == b"IHDR":
            result += _png_chunk(kind, content[:9] + b"\x04" + content[10:])
        elif kind != b"IDAT":
            result += _png_chunk(kind, content)
        elif not written:
            result, written = result + _png_chunk(kind, pixels), True
    return result


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _encode_animation(animation: Animation, path: Path, options: WriteOptions) -> bytes:
    encoded = cv2.Animation()
    encoded.frames = [_in_color(_joined(frame)) for frame in animation.frames]
    encoded.durations = list(animation.durations_ms)
    encoded.loop_count = animation.loop_count
    try:
        ok, data = cv2.imencodeanimation(options.format.extensions[0], encoded, _parameters(options, encoded.frames[0]))
    except cv2.error as error:
        raise _not_encodable(path, options.format, animation.frames[0].width, animation.frames[0].height) from error
    if not ok:
        raise _not_encodable(path, options.format, animation.frames[0].width, animation.frames[0].height)
    return bytes(data.tobytes())


def _in_color(pixels: Pixels) -> Pixels:
    return np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels

"""What a file says of its picture, metadata included, before anything is decoded."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import Any

from PIL import AvifImagePlugin, BmpImagePlugin, DdsImagePlugin, PpmImagePlugin, TgaImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from upscale_cli.images import chunks, exr, heif, jxl, pillow, raw, tiff_header
from upscale_cli.images.formats import Format
from upscale_cli.images.header import Header, per_inch
from upscale_cli.images.picture import Metadata
from upscale_cli.images.tiff_tags import Buffer

LARGEST_TEXT = 1 << 24  # bytes of an ICC profile or XMP packet, once decompressed
MOST_TEXTS = 1000
LONGEST_HEADER = 1 << 16  # of BMP and PPM files, comments and palette included


def read_header(data: Buffer, known: Format) -> Header | None:
    """Return the header of a file of that format, None where it is damaged."""
    try:
        header = _READERS[known.name](memoryview(data))
    except pillow.ERRORS:
        return None
    return header if min(header.height, header.width) > 0 else None


def _jpeg(data: memoryview) -> Header:
    height, width, channels, interlaced = 0, 0, 0, False
    found: dict[str, Any] = {}
    profile: dict[bytes, bytes] = {}
    for segment in chunks.jpeg_segments(data):
        content = bytes(segment.content)
        if segment.marker == chunks.START_OF_SCAN:
            break
        if segment.marker in chunks.STARTS_OF_FRAME:
            height, width, channels = struct.unpack_from(">HHB", content, 1)
            interlaced = segment.marker in chunks.PROGRESSIVE_FRAMES
        elif segment.marker == chunks.APP2 and content.startswith(chunks.ICC_HEADER):
            start = len(chunks.ICC_HEADER)
            profile[content[start : start + 1]] = content[start + 2 :]
        else:
            name, value = _of_segment(segment.marker, content)
            found.setdefault(name, value)
    found.pop("", None)
    icc = b"".join(profile[part] for part in sorted(profile))
    cmyk, metadata = channels == 4, Metadata(icc=icc or None, **found)
    kinds = {"gray": channels == 1, "by_pillow": cmyk, "profiled": cmyk, "interlaced": interlaced}
    return Header(height, width, metadata, pixel_bytes=min(channels, 3), **kinds)


def _of_segment(marker: int, content: bytes) -> tuple[str, Any]:
    """Return the field of the metadata that a segment holds, "" for none, and its value."""
    if marker == chunks.APP0 and content.startswith(b"JFIF\0") and len(content) >= 12:
        unit, x, y = struct.unpack_from(">BHH", content, 7)
        return "resolution", per_inch(x, y, {1: 1.0, 2: 2.54}.get(unit))
    if marker == chunks.APP1 and content.startswith(chunks.EXIF_HEADER):
        return "exif", content[len(chunks.EXIF_HEADER) :]
    if marker == chunks.APP1 and content.startswith(chunks.XMP_HEADER):
        return "xmp", content[len(chunks.XMP_HEADER) :]
    return ("comment", content) if marker == chunks.COMMENT else ("", None)


def _png(data: memoryview) -> Header:
    width, height, depth, kind, interlaced = struct.unpack_from(">IIBBxxB", data, 16)
    single: dict[bytes, bytes] = {}
    text: list[tuple[bytes, bytes]] = []
    xmp, frames, controls, transparent = None, 0, 0, kind in (4, 6)
    for name, content in chunks.png_chunks(data):
        if name in chunks.PNG_TEXT and bytes(content[: len(chunks.PNG_XMP)]) == chunks.PNG_XMP:
            xmp = _international_text(bytes(content[len(chunks.PNG_XMP) :]))
        elif name in chunks.PNG_TEXT and len(text) < MOST_TEXTS:
            text.append((name, bytes(content)))
        elif name in (b"iCCP", b"eXIf", b"pHYs"):
            single[name] = bytes(content)
        frames += name == b"fcTL"
        controls += name == b"acTL"
        transparent = transparent or name == b"tRNS"
    if controls > 1:
        raise ValueError("several animations in one file")
    sizes = single.get(b"pHYs", b"")
    x, y, unit = struct.unpack(">IIB", sizes) if len(sizes) == 9 else (0, 0, 0)
    resolution = per_inch(x, y, 0.0254 if unit == 1 else None)
    icc = _inflated(single.get(b"iCCP", b"").partition(b"\0")[2][1:])
    found = Metadata(icc, single.get(b"eXIf"), xmp, tuple(text), resolution=resolution)
    of_animation = frames if controls else None
    channels = (1 if kind in (0, 4) else 3) + transparent
    return Header(
        height,
        width,
        found,
        of_animation,
        gray=kind in (0, 4),
        transparent=transparent,
        pixel_bytes=channels * (2 if depth == 16 else 1),
        interlaced=bool(interlaced),
    )


def _international_text(content: bytes) -> bytes | None:
    """Return the text of an iTXt chunk from behind its keyword on."""
    text = content[2:].split(b"\0", 2)[-1]
    return _inflated(text) if content[:1] == b"\1" else text


def _inflated(compressed: bytes) -> bytes | None:
    """Return what was compressed, None where it is damaged or larger than any real profile."""
    inflater = zlib.decompressobj()
    with suppress(zlib.error):
        content = inflater.decompress(compressed, LARGEST_TEXT)
        return content if inflater.eof else None
    return None


def _gif(data: memoryview) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    frames = 0
    for bottom, right in chunks.gif_frames(data):
        frames, height, width = frames + 1, max(height, bottom), max(width, right)
    if not frames:
        raise ValueError("no frame")
    return Header(height, width, frames=frames)


def _opened(plugin: type[ImageFile], data: memoryview) -> Header:
    """Return the header that Pillow reads."""
    with pillow.silenced():
        image = plugin(BytesIO(data))
    exif, resolution = image.info.get("exif"), image.info.get("dpi", (0, 0))
    exif = exif.removeprefix(chunks.EXIF_HEADER) if exif else None
    found = Metadata(
        image.info.get("icc_profile"),
        exif,
        image.info.get("xmp"),
        resolution=per_inch(resolution[0], resolution[1], 1.0),
    )
    frames, transparent = getattr(image, "n_frames", 1), image.mode in ("RGBA", "LA")
    return Header(image.height, image.width, found, frames, dense=False, transparent=transparent)


def _webp(data: memoryview) -> Header:
    header = _opened(WebPImagePlugin.WebPImageFile, data)
    return header if header.frames != 1 else replace(header, frames=None)


def _avif(data: memoryview) -> Header:
    header = _opened(AvifImagePlugin.AvifImageFile, data)
    # Bits per channel are in the box pixi, which Pillow does not tell of.
    found = re.search(rb"pixi.{5}(.)", data, re.DOTALL)
    depth = found[1][0] if found else 8
    frames = header.frames if header.frames != 1 else None
    # OpenCV refuses transparent pictures with XMP and without EXIF; Pillow knows 8 bits only.
    return replace(header, frames=frames, depth=depth, by_pillow=depth == 8)


_READERS: dict[str, Callable[[memoryview], Header]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "tiff": tiff_header.read,
    "avif": _avif,
    "bmp": lambda data: replace(_opened(BmpImagePlugin.BmpImageFile, data[:LONGEST_HEADER]), frames=None),
    "ppm": lambda data: replace(_opened(PpmImagePlugin.PpmImageFile, data[:LONGEST_HEADER]), frames=None, dense=True),
    "gif": _gif,
    "jxl": jxl.header,
    "exr": exr.header,
    "heif": heif.header,
    "raw": raw.header,
    "dds": lambda data: replace(_opened(DdsImagePlugin.DdsImageFile, data), frames=None, dense=True, by_pillow=True),
    "tga": lambda data: replace(_opened(TgaImagePlugin.TgaImageFile, data), frames=None, dense=True, by_pillow=True),
}

"""Metadata on its way from one file to another: what turning and enlarging a picture makes untrue is corrected."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import replace

from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.picture import Metadata
from upscale_cli.images.tiff_tags import Entry, TiffError

_ICC_SPACES = {b"GRAY": 1, b"RGB ": 3}


def orientation(exif: bytes | None) -> int:
    """Return how stored pixels must be turned to stand upright, 1 (not at all) to 8 (EXIF 2.3, tag 0x0112)."""
    with suppress(TiffError):
        entry = tags.read_directory(exif or b"")[0].get(tags.ORIENTATION)
        if entry and entry.kind in (tags.SHORT, tags.LONG) and 1 <= entry.number <= 8:
            return entry.number
    return 1


def for_size(metadata: Metadata, width: int, height: int) -> Metadata:
    """Return the metadata of an upright picture of that size: sizes corrected, the outdated thumbnail dropped."""
    exif = _exif_for_size(metadata.exif, width, height) if metadata.exif else None
    xmp = _xmp_for_size(metadata.xmp, width, height) if metadata.xmp else None
    return replace(metadata, exif=exif, xmp=xmp)


def with_resolution(metadata: Metadata, dpi: float) -> Metadata:
    """Return the metadata of a picture that is to be printed with ``dpi`` pixels per inch."""
    exif, thousandths = metadata.exif, struct.pack("<II", round(dpi * 1000), 1000)
    with suppress(TiffError):
        main, _ = tags.read_directory(exif or b"")
        block = bytearray(exif or b"")
        for tag in {tags.X_RESOLUTION, tags.Y_RESOLUTION} & main.keys():
            if main[tag].kind == tags.RATIONAL:
                numbers = struct.unpack("<II", thousandths)
                struct.pack_into(tags.byte_order(block) + "II", block, main[tag].position, *numbers)
        if tags.RESOLUTION_UNIT in main and main[tags.RESOLUTION_UNIT].kind == tags.SHORT:
            _overwrite(block, main[tags.RESOLUTION_UNIT], 2)
        exif = bytes(block)
    return replace(metadata, exif=exif, resolution=(dpi, dpi))


def _exif_for_size(exif: bytes, width: int, height: int) -> bytes | None:
    """Change values where they stand: moving anything would break what camera makers keep at fixed positions."""
    block = bytearray(exif)
    try:
        main, next_directory = tags.read_directory(exif)
        sub = main.get(tags.EXIF_DIRECTORY)
        entries = [*main.values(), *(tags.read_directory(exif, sub.number)[0].values() if sub else ())]
    except TiffError:
        return None
    corrected = {
        tags.ORIENTATION: 1,
        tags.IMAGE_WIDTH: width,
        tags.IMAGE_LENGTH: height,
        tags.PIXEL_WIDTH: width,
        tags.PIXEL_HEIGHT: height,
    }
    for entry in entries:
        if entry.tag in corrected and entry.kind in (tags.SHORT, tags.LONG):
            _overwrite(block, entry, corrected[entry.tag])
    block[next_directory : next_directory + 4] = bytes(4)  # the thumbnail shows the picture as it was
    return bytes(block)


def _overwrite(block: bytearray, entry: Entry, value: int) -> None:
    code, most = ("H", 0xFFFF) if entry.kind == tags.SHORT else ("I", 0xFFFFFFFF)
    struct.pack_into(tags.byte_order(block) + code, block, entry.position, min(value, most))


def _xmp_for_size(xmp: bytes, width: int, height: int) -> bytes:
    values = {
        b"tiff:Orientation": 1,
        b"tiff:ImageWidth": width,
        b"tiff:ImageLength": height,
        b"exif:PixelXDimension": width,
        b"exif:PixelYDimension": height,
    }
    for name, value in values.items():
        # As an attribute or as an element.
        xmp = re.sub(rb"(" + name + rb"\s*=\s*[\"']|<" + name + rb">)\d+", rb"\g<1>%d" % value, xmp)
    return xmp


def icc_fits(icc: bytes, channels: int) -> bool:
    """Return whether the profile describes pixels of 1 (gray) or 3 (RGB) channels (ICC.1:2010, bytes 16 to 19)."""
    return _ICC_SPACES.get(icc[16:20]) == channels


def with_plain_alpha(tiff: bytes) -> bytes:
    """Return the TIFF file with its alpha declared as any channel, so that no decoder multiplies it into colours."""
    main, _ = tags.read_directory(tiff, wanted={tags.EXTRA_SAMPLES})
    extra = main.get(tags.EXTRA_SAMPLES)
    if extra is None or extra.number != 2:
        return tiff
    block = bytearray(tiff)
    _overwrite(block, extra, 0)
    return bytes(block)

"""What cameras' sensors measured (DNG, NEF, CR2, ARW and others), developed by LibRaw (the extra ``raw``)."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from upscale_cli.images import chunks, tiff_header
from upscale_cli.images.extras import library
from upscale_cli.images.header import Header
from upscale_cli.images.metadata import for_size
from upscale_cli.images.picture import Metadata, Picture, Pixels

# As the camera balanced white, in sRGB with its curve; brightened until a thousandth of the pixels is white.
DEVELOPMENT = {"use_camera_wb": True, "output_bps": 16, "gamma": (2.4, 12.92), "auto_bright_thr": 0.001}
_JPEG_OF_RAF = 84  # where the position of the camera's own JPEG stands


def header(data: memoryview) -> Header:
    """Return the header, its size that of the upright picture. Raises ValueError where it is damaged."""
    with _opened(data) as raw:
        height, width, turned = raw.sizes.height, raw.sizes.width, raw.sizes.flip
    if turned & 4:
        height, width = width, height
    return Header(height, width, for_size(_metadata(data), width, height), dense=False)


def _opened(data: memoryview | bytes) -> Any:
    rawpy = library("raw")
    try:
        return rawpy.imread(BytesIO(data))
    except rawpy.LibRawError as error:
        raise ValueError("LibRaw refuses it") from error


def _metadata(data: memoryview) -> Metadata:
    """Return EXIF and XMP, as far as the file is built like TIFF, or holds the camera's JPEG."""
    with suppress(ValueError, struct.error, IndexError):
        if bytes(data[:8]) == b"FUJIFILM":
            start, size = struct.unpack_from(">II", data, _JPEG_OF_RAF)
            segments = chunks.jpeg_segments(data[start : start + size])
            blocks = (bytes(segment.content) for segment in segments if segment.marker == chunks.APP1)
            exif = next((block for block in blocks if block.startswith(chunks.EXIF_HEADER)), None)
            return Metadata(exif=exif.removeprefix(chunks.EXIF_HEADER) if exif else None)
        order = b"II*\0" if bytes(data[:2]) == b"II" else b"MM\0*"  # some makers have marks of their own behind that
        found = tiff_header.read(memoryview(order + data[4:])).metadata
        return Metadata(exif=found.exif, xmp=found.xmp)
    return Metadata()


def decoded(path: Path, data: bytes, head: Header) -> Picture:
    """Return the developed picture, upright, of 16 bits per channel. Raises ValueError where the file is damaged."""
    with _opened(data) as raw:
        try:
            pixels: Pixels = raw.postprocess(**DEVELOPMENT)
        except library("raw").LibRawError as error:
            raise ValueError("LibRaw cannot develop it") from error
    return Picture(np.ascontiguousarray(pixels), None, head.metadata)

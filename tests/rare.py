"""Small files of formats that need an extra, made here."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.picture import Pixels

Floats = NDArray[np.float32]


def heic(pixels: Pixels, quality: int = 100, **metadata: Any) -> bytes:
    """A HEIC file of uint8 or uint16 (H, W, 3 or 4)."""
    import pillow_heif

    content, mode = BytesIO(), {1: "L", 3: "RGB", 4: "RGBA"}[pixels.shape[2]] + ";16" * (pixels.dtype == np.uint16)
    size = pixels.shape[1], pixels.shape[0]
    pillow_heif.encode(mode, size, pixels.tobytes(), content, quality=quality, chroma=444, **metadata)
    return content.getvalue()


def exr(channels: dict[str, NDArray[Any]], **attributes: Any) -> bytes:
    """An EXR file of these channels (H, W)."""
    import OpenEXR

    about = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **attributes}
    content = BytesIO()
    OpenEXR.File(about, {name: np.ascontiguousarray(plane) for name, plane in channels.items()}).write(content)
    return content.getvalue()


def rgb(values: Floats, dtype: type = np.float32) -> dict[str, NDArray[Any]]:
    return {name: values[..., index].astype(dtype) for index, name in enumerate("RGBA"[: values.shape[2]])}


def dng(mosaic: Pixels, turned: int = 1) -> bytes:
    """A DNG file of what a sensor with the pattern RGGB measured, uint16 (H, W); see Adobe's DNG specification 1.4."""
    height, width = mosaic.shape
    to_camera = (3240, -1537, -499, -969, 1876, 42, 56, -204, 1057)  # from XYZ, thousandths: that of sRGB
    thousandths = [struct.pack("<ii", value, 1000) for value in to_camera]
    entries = [
        tags.numbers(tags.SUBFILE_TYPE, tags.LONG, 0),
        tags.numbers(tags.IMAGE_WIDTH, tags.LONG, width),
        tags.numbers(tags.IMAGE_LENGTH, tags.LONG, height),
        tags.numbers(tags.BITS_PER_SAMPLE, tags.SHORT, 16),
        tags.numbers(tags.COMPRESSION, tags.SHORT, 1),
        tags.numbers(tags.PHOTOMETRIC, tags.SHORT, 32803),
        tags.Entry(0x10F, 2, b"Maker of cameras\0"),
        tags.Entry(0x110, 2, b"Model\0"),
        tags.numbers(tags.STRIP_OFFSETS, tags.LONG, 8),
        tags.numbers(tags.ORIENTATION, tags.SHORT, turned),
        tags.numbers(tags.SAMPLES_PER_PIXEL, tags.SHORT, 1),
        tags.numbers(tags.ROWS_PER_STRIP, tags.LONG, height),
        tags.numbers(tags.STRIP_SIZES, tags.LONG, 2 * mosaic.size),
        tags.numbers(tags.PLANES, tags.SHORT, 1),
        tags.numbers(0x828D, tags.SHORT, 2, 2),
        tags.Entry(0x828E, tags.BYTE, bytes([0, 1, 1, 2])),
        tags.Entry(0xC612, tags.BYTE, bytes([1, 4, 0, 0])),
        tags.Entry(0xC614, 2, b"Maker Model\0"),
        tags.numbers(0xC61A, tags.LONG, 0),
        tags.numbers(0xC61D, tags.LONG, 65535),
        tags.numbers(0xC65A, tags.SHORT, 21),
        tags.Entry(0xC621, 10, b"".join(thousandths)),
        tags.numbers(0xC628, tags.RATIONAL, 1000, 1000, 1000, 1000, 1000, 1000),  # neutral, as shot
    ]
    at = 8 + 2 * mosaic.size
    return b"II*\0" + struct.pack("<I", at) + mosaic.astype("<u2").tobytes() + tags.write_directory(entries, at)

"""HEIF pictures (HEIC, of phones and cameras), read by libheif (the extra ``heif``)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from upscale_cli.images.convert import unmultiplied
from upscale_cli.images.extras import library
from upscale_cli.images.header import Header
from upscale_cli.images.metadata import for_size
from upscale_cli.images.picture import Metadata, Picture, Pixels

_EXIF_HEADER = b"Exif\0\0"
_OF_HDR = (16, 18)  # transfer characteristics: PQ and HLG


def header(data: memoryview) -> Header:
    """Return the header; pictures come upright from the decoder, so their size is that, and EXIF is told."""
    image, count = _opened(data)
    width, height = image.size
    exif = image.info.get("exif")
    exif = exif.removeprefix(_EXIF_HEADER) if exif else None
    hdr = image.info.get("nclx_profile", {}).get("transfer_characteristics") in _OF_HDR
    unread = ("Its brightness is coded for HDR displays (PQ or HLG), and left so.",) if hdr else ()
    found = Metadata(image.info.get("icc_profile"), exif, image.info.get("xmp"), pages=count, unread=unread)
    metadata = for_size(found, width, height)
    return Header(height, width, metadata, depth=int(image.info["bit_depth"]), dense=False, transparent=image.has_alpha)


def _opened(data: memoryview | bytes) -> tuple[Any, int]:
    """Return the main picture and how many the file holds."""
    file = library("heif").open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    return file[file.primary_index], len(file)


def decoded(path: Path, data: bytes, head: Header) -> Picture:
    """Return the main picture. Raises pillow.ERRORS where it is damaged."""
    image, _ = _opened(data)
    stored: Pixels = np.asarray(image).reshape(head.height, head.width, -1)
    if stored.dtype == np.uint16:  # the highest bits are in use
        levels = np.arange(2**head.depth) * (65535 / (2**head.depth - 1))
        stored = np.rint(levels).astype(np.uint16)[stored >> (16 - head.depth)]
    colors = stored.shape[2] - (stored.shape[2] + 1) % 2
    color, alpha = np.ascontiguousarray(stored[..., :colors]), None
    if colors < stored.shape[2]:
        alpha = stored[..., -1].copy()
        color = unmultiplied(color, alpha) if image.premultiplied_alpha else color
    return Picture(color, alpha, head.metadata)

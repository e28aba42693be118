"""TIFF files of floating point: linear light, without an upper end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.convert import unmultiplied_light
from upscale_cli.images.header import Header
from upscale_cli.images.light import as_levels
from upscale_cli.images.metadata import for_size, with_plain_alpha
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Picture

_MULTIPLIED = 1  # of the tag of extra samples: alpha that is multiplied into the colours


def decoded_floats(path: Path, data: bytes, header: Header) -> Picture:
    """Return the picture, upright, its light in levels.

    Raises InputError for numbers of another length than 32 and 64 bits, ValueError or cv2.error for damaged files.
    """
    main, _ = tags.read_directory(data, wanted={tags.BITS_PER_SAMPLE, tags.EXTRA_SAMPLES})
    bits = main[tags.BITS_PER_SAMPLE].number if tags.BITS_PER_SAMPLE in main else 0
    if bits not in (32, 64) or header.gray_alpha:
        raise InputError(f"{path} stores floating point in an unusual way.", "Save it with 32 bits, or as EXR.")
    pixels = cv2.imdecode(np.frombuffer(with_plain_alpha(data), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype.kind != "f":
        raise ValueError("nothing was decoded")
    pixels = pixels.astype(np.float32, copy=False).reshape(*pixels.shape[:2], -1)
    color, alpha = pixels[..., 2::-1] if pixels.shape[2] >= 3 else pixels, None
    if pixels.shape[2] == 4:
        opacity = np.nan_to_num(pixels[..., 3], nan=0).clip(0, 1)
        multiplied = tags.EXTRA_SAMPLES in main and main[tags.EXTRA_SAMPLES].number == _MULTIPLIED
        color = unmultiplied_light(color, opacity) if multiplied else color
        alpha = np.rint(opacity * 65535).astype(np.uint16)
    levels, light, lost = as_levels(color, 32)
    metadata = replace(header.metadata, unread=(*header.metadata.unread, *lost))
    return Picture(levels, alpha, for_size(metadata, levels.shape[1], levels.shape[0]), light=light)

"""TIFF files of gray with alpha. OpenCV drops the alpha, and Pillow decodes them with 8 bits only.

One of 16 bits is declared as 8-bit RGBA, whose four bytes are those of the two channels, and decoded by Pillow; what
the predictor did to 16-bit numbers is undone here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.images import pillow
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.convert import upright
from upscale_cli.images.picture import Pixels
from upscale_cli.images.tiff_tags import Directory

_AS_BYTES = (
    tags.numbers(tags.BITS_PER_SAMPLE, tags.SHORT, 8, 8, 8, 8),
    tags.numbers(tags.SAMPLES_PER_PIXEL, tags.SHORT, 4),
    tags.numbers(tags.PHOTOMETRIC, tags.SHORT, 2),
    tags.numbers(tags.EXTRA_SAMPLES, tags.SHORT, 2),
    tags.numbers(tags.PREDICTOR, tags.SHORT, 1),
    tags.numbers(tags.SAMPLE_FORMAT, tags.SHORT, 1, 1, 1, 1),
    tags.numbers(tags.ORIENTATION, tags.SHORT, 1),
)


def decoded_gray_alpha(path: Path, data: bytes, turned: int) -> Pixels:
    """Return gray and alpha (H, W, 2), turned upright; ``turned``: see ``metadata.orientation``.

    Raises pillow.ERRORS, and InputError where the two are stored in a way that is not known.
    """
    main, _ = tags.read_directory(data)
    usual = {tags.SAMPLE_FORMAT: 1, tags.PLANES: 1}
    depth = main[tags.BITS_PER_SAMPLE].number if tags.BITS_PER_SAMPLE in main else 1
    if depth == 8:
        return pillow.decoded(data, "tiff")
    if depth != 16 or any(tag in main and main[tag].number != value for tag, value in usual.items()):
        raise InputError(f"{path} stores gray and alpha in an unusual way.", "Save it as PNG, or without alpha.")
    values = _decoded_as_bytes(data, main)
    if tags.PREDICTOR in main and main[tags.PREDICTOR].number == 2:
        step = main[tags.TILE_WIDTH].number if tags.TILE_WIDTH in main else values.shape[1]
        for left in range(0, values.shape[1], step):
            part = values[:, left : left + step]
            np.cumsum(part, axis=1, dtype=np.uint16, out=part)
    if tags.PHOTOMETRIC in main and main[tags.PHOTOMETRIC].number == 0:  # white is 0
        values[..., 0] = 65535 - values[..., 0]
    return upright(values, turned)


def _decoded_as_bytes(data: bytes, main: Directory) -> Pixels:
    """Return uint16 (H, W, 2), still as differences where there is a predictor. Raises pillow.ERRORS."""
    order, layout, position = tags.byte_order(data), tags.layout_of(data), len(data) + len(data) % 2
    head = tags.beginning_at(data, position).ljust(position, b"\0")
    declared = {**main, **{entry.tag: entry for entry in _AS_BYTES}}
    pixels = pillow.decoded(head + tags.write_directory(declared.values(), position, order, layout), "tiff")
    return np.ascontiguousarray(pixels).view(f"{order}u2").astype(np.uint16)

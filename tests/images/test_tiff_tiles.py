"""TIFF files in tiles, as small as tiles may be: those of 16 pixels too, which pyramids for zooming have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.picture import Pixels
from upscale_cli.images.read import read_picture


def tiled(pixels: Pixels, side: int, bits: int = 0) -> bytes:
    """Return a TIFF file of ``pixels`` (H, W, C) in uncompressed tiles; ``bits``: 1 for black and white."""
    height, width, channels = pixels.shape
    rows, columns = -(-height // side), -(-width // side)
    padded = np.pad(pixels, ((0, rows * side - height), (0, columns * side - width), (0, 0)), "edge")
    cut = [padded[y * side :, x * side :][:side, :side] for y in range(rows) for x in range(columns)]
    tiles = [(np.packbits(tile[..., 0] > 0, axis=1) if bits == 1 else tile).tobytes() for tile in cut]
    bits = bits or pixels.itemsize * 8
    data = bytearray(b"II*\0\0\0\0\0")
    offsets = []
    for tile in tiles:
        offsets.append(len(data))
        data += tile
    entries = [
        tags.numbers(tags.IMAGE_WIDTH, tags.SHORT, width),
        tags.numbers(tags.IMAGE_LENGTH, tags.SHORT, height),
        tags.numbers(tags.BITS_PER_SAMPLE, tags.SHORT, *[bits] * channels),
        tags.numbers(tags.COMPRESSION, tags.SHORT, 1),
        tags.numbers(tags.PHOTOMETRIC, tags.SHORT, 2 if channels == 3 else 1),
        tags.numbers(tags.SAMPLES_PER_PIXEL, tags.SHORT, channels),
        tags.numbers(tags.PLANES, tags.SHORT, 1),
        tags.numbers(tags.TILE_WIDTH, tags.SHORT, side),
        tags.numbers(tags.TILE_LENGTH, tags.SHORT, side),
        tags.numbers(tags.TILE_OFFSETS, tags.LONG, *offsets),
        tags.numbers(tags.TILE_SIZES, tags.LONG, *map(len, tiles)),
    ]
    data += bytes(len(data) % 2)
    data[4:8] = len(data).to_bytes(4, "little")
    return bytes(data) + tags.write_directory(entries, len(data))


@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiles_of_any_size_are_read(tmp_path: Path, side: int, channels: int, dtype: Any) -> None:
    pixels = np.random.default_rng(side).integers(0, np.iinfo(dtype).max, (37, 50, channels), dtype)
    (tmp_path / "a.tif").write_bytes(tiled(pixels, side))
    read = read_picture(tmp_path / "a.tif").color
    assert read.dtype == dtype
    assert np.array_equal(read, pixels)


@pytest.mark.parametrize("side", [16, 128])
def test_black_and_white_tiles_are_read(tmp_path: Path, side: int) -> None:
    pixels = np.random.default_rng(side).integers(0, 2, (37, 50, 1), np.uint8) * np.uint8(255)
    (tmp_path / "a.tif").write_bytes(tiled(pixels, side, bits=1))
    assert np.array_equal(read_picture(tmp_path / "a.tif").color, pixels)


@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("apart", [False, True])
def test_of_a_pyramid_the_largest_is_read(tmp_path: Path, compression: str, apart: bool) -> None:
    pyvips: Any = pytest.importorskip("pyvips", exc_type=ImportError)
    pixels = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    image = pyvips.Image.new_from_memory(pixels.data, 90, 70, 3, "uchar").copy(interpretation="srgb")
    sides = {"tile": True, "tile_width": 16, "tile_height": 16, "pyramid": True, "subifd": apart}
    image.tiffsave(str(tmp_path / "a.tif"), compression=compression, **sides)
    assert np.array_equal(read_picture(tmp_path / "a.tif").color, pixels)

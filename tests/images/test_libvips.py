"""Large files are decoded by libvips to what the other decoders make of small ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscale_cli.errors import InputError
from upscale_cli.images.libvips import read_large
from upscale_cli.images.read import read_picture
from upscale_cli.images.storage import MEMORY

pyvips = pytest.importorskip("pyvips", reason="the extra is not installed: pip install 'upscale-cli[large]'")

COARSE = np.random.default_rng(0).integers(0, 256, (9, 11, 3)).astype(np.uint8)
PIXELS = COARSE.repeat(7, 0).repeat(5, 1)
RGB = Image.fromarray(PIXELS)


def vips(channels: int = 3, sixteen: bool = False) -> Any:
    pixels = np.dstack([PIXELS, PIXELS[..., 0] | 1])[..., [0, 3] if channels == 2 else slice(channels)]
    return pyvips.Image.new_from_array(pixels.astype(np.uint16) * 257 if sixteen else pixels)


def by_pillow(image: Image.Image, **options: Any) -> Callable[[Path], None]:
    return lambda path: image.save(path, **options)


def by_vips(image: Any, **options: Any) -> Callable[[Path], None]:
    return lambda path: image.write_to_file(str(path), **options)


def turned(turned: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = turned
    return exif


def damaged(path: Path) -> None:
    whole = path.with_name("whole.tif").read_bytes()
    path.write_bytes(whole[:100] + bytes(100) + whole[200:])


FILES: dict[str, Callable[[Path], None]] = {
    "palette.png": by_pillow(RGB.quantize(200)),
    "four bits.png": by_pillow(RGB.quantize(16), bits=4),
    "transparent colour.png": by_pillow(RGB, transparency=tuple(COARSE[0, 0].tolist())),
    "one bit.png": by_pillow(RGB.convert("1")),
    "interlaced.png": by_vips(vips(), interlace=True),
    "progressive.jpg": by_pillow(RGB, quality=80, progressive=True),
    "gray.jpg": by_pillow(RGB.convert("L"), quality=90),
    "tiled.tif": by_vips(vips(4, True), tile=True, tile_width=16, tile_height=16, compression="lzw", predictor=2),
    "big.tif": by_vips(vips(), bigtiff=True, compression="deflate"),
    "big gray and alpha.tif": by_vips(vips(2, True).copy(interpretation="grey16"), bigtiff=True),
    "white is 0.tif": by_vips(vips().colourspace("b-w"), miniswhite=True),
    "palette.tif": by_pillow(RGB.quantize(40)),
    "fax.tif": by_pillow(RGB.convert("1"), compression="group4"),
    **{f"turned {way}.jpg": by_pillow(RGB, quality=95, exif=turned(way)) for way in range(2, 9)},
    "turned 6.tif": by_pillow(RGB, tiffinfo={0x112: 6}),
}


@pytest.mark.parametrize("name", FILES)
def test_pixels_and_metadata_are_those_of_the_other_decoders(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / name)
    expected, found = read_picture(tmp_path / name), read_large(tmp_path / name, 500, MEMORY)
    assert np.array_equal(found.color, expected.color)
    assert found.color.dtype == expected.color.dtype
    assert (found.alpha is None) == (expected.alpha is None)
    if found.alpha is not None and expected.alpha is not None:
        assert np.array_equal(found.alpha, expected.alpha)
    assert (found.metadata, found.jpeg_quality) == (expected.metadata, expected.jpeg_quality)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (by_vips(vips().cast("float")), "has 3 channels of type float. Convert it to 8 or 16 bits per channel."),
        (by_vips(vips().bandjoin([vips(), vips()])), "has 9 channels of type uchar."),
        (damaged, "is damaged and cannot be decoded"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    vips().tiffsave(str(tmp_path / "whole.tif"), compression="deflate")
    make(tmp_path / "a.tif")
    with pytest.raises(InputError, match=said):
        read_large(tmp_path / "a.tif", 500, MEMORY)

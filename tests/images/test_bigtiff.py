"""TIFF files of more than 4 GiB are BigTIFF; smaller ones are made so here, to be read by three libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from upscale_cli.images import encode
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Metadata, Pages, Picture
from upscale_cli.images.read import read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image

PIXELS = np.random.default_rng(0).integers(0, 65536, (40, 30, 4)).astype(np.uint16)
MAKER, EXPOSURE, LATITUDE = 0x10F, 0x829A, 2


@pytest.fixture(autouse=True)
def _every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "LARGEST_TIFF", 0)


def exif(order: Literal["<", ">"]) -> bytes:
    """A block with directories for the exposure and the place, in the byte order ``order``."""
    child = [tags.numbers(EXPOSURE, tags.RATIONAL, 1, 250), tags.numbers(tags.PIXEL_WIDTH, tags.LONG, 1)]
    place = [tags.numbers(LATITUDE, tags.RATIONAL, 48, 1, 8, 1, 0, 1)]
    main = [tags.Entry(MAKER, 2, b"Maker\0")]
    first = 8 + len(tags.write_directory(child, 8, order))
    second = first + len(tags.write_directory(place, first, order))
    main += [tags.numbers(tags.EXIF_DIRECTORY, tags.LONG, 8), tags.numbers(tags.GPS_DIRECTORY, tags.LONG, first)]
    head = (b"II*\0" if order == "<" else b"MM\0*") + second.to_bytes(4, "little" if order == "<" else "big")
    written = tags.write_directory(child, 8, order) + tags.write_directory(place, first, order)
    return head + written + tags.write_directory(main, second, order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_and_metadata_come_back(tmp_path: Path, order: Literal["<", ">"], channels: int) -> None:
    path, alpha = tmp_path / "a.tif", PIXELS[..., 3] if channels == 4 else None
    metadata = Metadata(exif=exif(order), xmp=b"<x:xmpmeta/>", resolution=(300, 300))
    write_image(Picture(PIXELS[..., : min(channels, 3)], alpha, metadata), path, WriteOptions(by_name("tiff")))
    assert path.read_bytes()[:4] == b"II+\0"
    found = read_picture(path)
    assert np.array_equal(found.color, PIXELS[..., : min(channels, 3)])
    if alpha is not None and found.alpha is not None:
        assert np.array_equal(found.alpha, alpha)
    assert (found.metadata.xmp, found.metadata.resolution) == (metadata.xmp, metadata.resolution)
    with Image.open(path) as image:
        block = image.getexif()
        assert block[MAKER] == "Maker"
        assert block.get_ifd(tags.EXIF_DIRECTORY)[EXPOSURE] == pytest.approx(0.004)
        assert block.get_ifd(tags.EXIF_DIRECTORY)[tags.PIXEL_WIDTH] == 30
        assert block.get_ifd(tags.GPS_DIRECTORY)[LATITUDE] == (48, 8, 0)


def test_pages_come_back(tmp_path: Path) -> None:
    pages = Pages((Picture(PIXELS[..., :3]), Picture(PIXELS[:7, ..., :1])))
    write_image(pages, tmp_path / "a.tif", WriteOptions(by_name("tiff")))
    found = read_image(tmp_path / "a.tif").frames
    assert [frame.color.shape for frame in found] == [(40, 30, 3), (7, 30, 1)]
    assert np.array_equal(found[1].color, PIXELS[:7, ..., :1])


def test_libvips_reads_them(tmp_path: Path) -> None:
    pyvips = pytest.importorskip("pyvips", reason="the extra is not installed: pip install 'upscale-cli[large]'")
    write_image(Picture(PIXELS[..., :3]), tmp_path / "a.tif", WriteOptions(by_name("tiff")))
    assert np.array_equal(pyvips.Image.tiffload(str(tmp_path / "a.tif")).numpy(), PIXELS[..., :3])

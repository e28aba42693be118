"""TIFF files of several pages: each is read, enlarged and written with its own size, depth and metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscale_cli.errors import InputError
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.formats import by_name
from upscale_cli.images.isolated import Decoders
from upscale_cli.images.picture import Metadata, Pages, Picture, Pixels
from upscale_cli.images.read import picture_header, read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import note
from upscale_cli.upscaling.job import Job, do
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.pretrained import pretrained

TIFF = WriteOptions(by_name("tiff"))


def pixels(height: int, width: int, channels: int = 3, depth: int = 8) -> Pixels:
    return np.random.default_rng(height).integers(0, 2**depth, (height, width, channels)).astype(f"uint{depth}")


def document() -> Pages:
    maker = tags.Entry(0x927C, 7, b"makers' note")
    exif = tags.block([tags.Entry(0x10F, 2, b"Maker\0")], {tags.EXIF_DIRECTORY: [maker]})
    return Pages(
        (
            Picture(pixels(8, 6), None, Metadata(exif=exif, resolution=(300, 300))),
            Picture(pixels(5, 12, 1), None, Metadata(resolution=(150, 75), xmp=b"<x/>")),
            Picture(pixels(4, 4, 3, 16), pixels(4, 4, 1, 16)[..., 0]),
        )
    )


def equal(one: Pages, other: object) -> bool:
    assert isinstance(other, Pages)
    for before, after in zip(one.frames, other.frames, strict=True):
        assert np.array_equal(before.color, after.color)
        assert (before.alpha is None) == (after.alpha is None)
        if before.alpha is not None and after.alpha is not None:
            assert np.array_equal(before.alpha, after.alpha)
        assert before.metadata.resolution == after.metadata.resolution
        assert before.metadata.xmp == after.metadata.xmp
    return True


def test_pages_survive_with_all_that_is_theirs(tmp_path: Path) -> None:
    assert write_image(document(), tmp_path / "a.tif", TIFF) == []
    image = read_image(tmp_path / "a.tif")
    assert equal(document(), image)
    first, second, _ = image.frames
    assert first.metadata.exif is not None
    assert b"makers' note" in first.metadata.exif
    assert b"makers' note" not in (second.metadata.exif or b"")
    with Decoders() as decoders:
        assert equal(document(), decoders.read_image(tmp_path / "a.tif"))


def test_other_programs_read_the_pages(tmp_path: Path) -> None:
    write_image(document(), tmp_path / "a.tif", TIFF)
    with Image.open(tmp_path / "a.tif") as image:
        sizes = []
        for number in range(2):
            image.seek(number)
            sizes.append(image.size)
            assert np.array_equal(np.asarray(image).reshape(*image.size[::-1], -1), document().frames[number].color)
        assert sizes == [(6, 8), (12, 5)]


def test_files_of_other_programs_are_read_page_by_page(tmp_path: Path) -> None:
    first, *others = (Image.new("RGB", (8, 6), color) for color in ("red", "lime", "blue"))
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    image = read_image(tmp_path / "a.tif")
    assert [frame.color[0, 0].tolist() for frame in image.frames] == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert picture_header(tmp_path / "a.tif").size == (6, 8)
    assert read_picture(tmp_path / "a.tif").color[0, 0].tolist() == [255, 0, 0]


def test_each_page_is_enlarged(tmp_path: Path, network: str) -> None:
    write_image(document(), tmp_path / "a.tif", TIFF)
    outcome = do(Job(tmp_path / "a.tif", tmp_path / "b.tif"), UpscaleOptions(network, scale=2), pretrained)
    assert outcome.error is None
    sizes = [(frame.height, frame.width, frame.depth) for frame in read_image(tmp_path / "b.tif").frames]
    assert sizes == [(16, 12, 8), (10, 24, 8), (8, 8, 16)]


def test_formats_of_one_page_get_the_first(tmp_path: Path) -> None:
    notices = write_image(document(), tmp_path / "a.png", WriteOptions(by_name("png")))
    assert notices == [note("png holds one page: only the first was written (tiff holds all).")]
    assert np.array_equal(read_picture(tmp_path / "a.png").color, document().frames[0].color)


def test_all_pages_together_are_held_to_the_limit(tmp_path: Path) -> None:
    write_image(document(), tmp_path / "a.tif", TIFF)
    with pytest.raises(InputError, match=r"claims 3 pages of together more than 0\.0001 megapixels"):
        read_image(tmp_path / "a.tif", 1e-4)

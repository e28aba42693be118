"""The quality of JPEG files, from their quantisation tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_training import painted

from upscale_cli.images.formats import by_name
from upscale_cli.images.jpeg_quality import jpeg_quality
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90, 95])
def test_the_quality_is_the_one_it_was_written_with(tmp_path: Path, quality: int) -> None:
    path = tmp_path / "a.jpg"
    write_image(painted(1, 40, 50), path, WriteOptions(by_name("jpeg"), quality))
    assert jpeg_quality(path.read_bytes()) == pytest.approx(quality, abs=3)


def test_other_files_have_none(tmp_path: Path) -> None:
    png = tmp_path / "a.jpg"
    write_image(painted(1, 40, 50), png, WriteOptions(by_name("png")))
    assert jpeg_quality(png.read_bytes()) is None
    assert jpeg_quality(b"\xff\xd8\xff\xe0\x00") is None


def test_a_picture_knows_the_quality_of_its_file(tmp_path: Path) -> None:
    write_image(painted(1, 40, 50), tmp_path / "a.jpg", WriteOptions(by_name("jpeg"), 60))
    assert read_picture(tmp_path / "a.jpg").jpeg_quality == pytest.approx(60, abs=1)
    write_image(painted(1, 40, 50), tmp_path / "a.png", WriteOptions(by_name("png")))
    assert read_picture(tmp_path / "a.png").jpeg_quality is None

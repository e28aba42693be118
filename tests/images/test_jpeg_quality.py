"""The quality of JPEG files, from their quantisation tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_training import painted

from upscale_cli.images.formats import by_name
from upscale_cli.images.jpeg_quality import jpeg_quality
from upscale_cli.images.write import WriteOptions, write_image


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90, 95])
def test_the_quality_is_the_one_it_was_written_with(tmp_path: Path, quality: int) -> None:
    path = tmp_path / "a.jpg"
    write_image(painted(1, 40, 50), path, WriteOptions(by_name("jpeg"), quality))
    assert jpeg_quality(path) == pytest.approx(quality, abs=3)


def test_other_files_have_none(tmp_path: Path) -> None:
    png, cut, gone = tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c.jpg"
    write_image(painted(1, 40, 50), png, WriteOptions(by_name("png")))
    cut.write_bytes(b"\xff\xd8\xff\xe0\x00")
    assert [jpeg_quality(path) for path in (png, cut, gone)] == [None, None, None]

"""Files of at most so many bytes: the highest quality that fits, or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from upscale_cli.cli.options import parse_bytes
from upscale_cli.errors import OutputError, UsageError
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Animation, Picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.upscaling.job import Job, require_writable_formats
from upscale_cli.upscaling.options import UpscaleOptions

NOISE = Picture(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_highest_quality_that_fits_is_written(kind: str, share: float, tmp_path: Path) -> None:
    options, path = WriteOptions(by_name(kind), quality=80), tmp_path / "a"
    write_image(NOISE, path, options)
    most = int(path.stat().st_size * share)
    (said,) = write_image(NOISE, path, replace(options, max_bytes=most))
    assert path.stat().st_size <= most
    quality = int(said.text.split("quality ")[1].split(",")[0])
    write_image(NOISE, tmp_path / "same", replace(options, quality=quality))
    assert (tmp_path / "same").read_bytes() == path.read_bytes()
    write_image(NOISE, tmp_path / "more", replace(options, quality=quality + 1))
    assert (tmp_path / "more").stat().st_size > most


def test_what_fits_is_left_as_it_is(tmp_path: Path) -> None:
    options = WriteOptions(by_name("jpeg"), max_bytes=10**6)
    assert write_image(NOISE, tmp_path / "a", options) == []


def test_animations_are_held_to_it_too(tmp_path: Path) -> None:
    animation, path = Animation((NOISE, Picture(255 - NOISE.color)), (100, 100)), tmp_path / "a.webp"
    write_image(animation, path, WriteOptions(by_name("webp"), max_bytes=4000))
    assert path.stat().st_size <= 4000


def test_where_no_quality_suffices_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="takes more than 300 bytes even with the lowest quality"):
        write_image(NOISE, tmp_path / "a.jpg", WriteOptions(by_name("jpeg"), max_bytes=300))
    assert list(tmp_path.iterdir()) == []


def test_lossless_formats_are_refused_before_any_work() -> None:
    jobs = [Job(Path("a.jpg"), Path("b.jpg")), Job(Path("a.png"), Path("b.png"))]
    with pytest.raises(UsageError, match="png is lossless and takes no --max-bytes"):
        require_writable_formats(jobs, UpscaleOptions(max_bytes=1000))


@pytest.mark.parametrize(
    ("text", "count"),
    [("2MB", 2_000_000), ("500 kB", 500_000), ("1.5MiB", 1_572_864), ("70", 70), ("9b", 9), ("1k", 1000)],
)
def test_sizes_are_read(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "MB", "two", "-1", "1TBx"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no size of a file"):
        parse_bytes(text)

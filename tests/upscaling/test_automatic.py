"""--auto: pictures are measured, told of in a line, and get the embedded network that suits them."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from terminal import Terminal

from upscale_cli import Upscaler
from upscale_cli.errors import UsageError
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.notices import Notice
from upscale_cli.picture_kind import BLOCKED, measured_picture
from upscale_cli.upscaling.automatic import automatic
from upscale_cli.upscaling.options import UpscaleOptions

SAMPLE = Path(__file__).parents[2] / "docs" / "pictures" / "sample.png"


@pytest.fixture(scope="module")
def sample() -> Pixels:
    return read_picture(SAMPLE).color


def saved(pixels: Pixels, quality: int) -> Pixels:
    """What is left after JPEG compression."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def chosen(picture: Picture, **options: Any) -> tuple[str, str]:
    said: list[Notice] = []
    name = automatic(UpscaleOptions(auto=True, device="cpu", **options), said.append)(picture, lambda *_: None).name
    return name, said[0].text


def test_a_clean_photograph_gets_the_network_for_clean_ones(sample: Pixels) -> None:
    said = "clean photograph (neither drawn, nor noisy, nor strongly compressed): lite-x4."
    assert chosen(Picture(sample)) == ("lite-x4", said)
    assert chosen(Picture(sample), scale=2)[0] == "lite-x2"


@pytest.mark.parametrize("quality", [10, 20])
def test_strong_compression_is_seen_without_its_file(sample: Pixels, quality: int) -> None:
    name, said = chosen(Picture(saved(sample, quality)[3:, 5:]))  # wherever the blocks begin
    assert name == "lite-x4-restore"
    assert said.startswith("degraded photograph (steps between blocks of 8 pixels")


def test_a_moderately_compressed_file_is_left_to_the_network_that_knows_of_it(sample: Pixels) -> None:
    assert chosen(Picture(saved(sample, 75), jpeg_quality=75))[0] == "lite-x4"
    assert chosen(Picture(saved(sample, 30), jpeg_quality=30))[0] == "lite-x4-restore"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blocks_are_measured_the_same_in_any_depth_and_not_in_tiny_pictures(sample: Pixels, dtype: Any) -> None:
    pixels = saved(sample, 15).astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    assert measured_picture(Picture(pixels)).blocking > BLOCKED
    assert measured_picture(Picture(pixels[:20, :20])).blocking == 0


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "restores"),
    [
        ("0014.jpg", True),
        ("0030.jpg", True),
        ("00017_gray.png", True),
        ("OST_009.png", False),
        ("children-alpha.png", False),
    ],
)
def test_demonstration_inputs_get_what_looks_better(name: str, restores: bool, shared: Path) -> None:
    assert (chosen(read_picture(shared / "data" / "photos" / name))[0] == "lite-x4-restore") == restores


@pytest.mark.shared
def test_clean_pictures_are_not_restored(shared: Path) -> None:
    for path in sorted((shared / "data" / "Set14" / "x4" / "LR").iterdir()):
        assert chosen(read_picture(path))[0] == "lite-x4", path


def test_the_python_api_takes_it(sample: Pixels) -> None:
    small = np.ascontiguousarray(sample[:24, :20])
    automatic_one = Upscaler(auto=True, device="cpu").upscale(small)
    assert np.array_equal(automatic_one, Upscaler("lite-x4", device="cpu").upscale(small))


def test_a_dry_run_measures_too(sample: Pixels, terminal: Terminal) -> None:
    Image.fromarray(saved(sample, 15)).save("a.png")
    said = terminal("a.png", "--auto", "--dry-run")
    assert "Network: lite-x4-restore, 1 pass." in said.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "lite-x4"}, "--auto chooses the network, and -m another"),
        ({"restore": True}, "and --restore another"),
        ({"kernel": Path("k.mat")}, "and --kernel another"),
        ({"noise": 4.0}, "--auto measures pictures, and --noise states it"),
    ],
)
def test_what_contradicts_it_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(UpscaleOptions(auto=True), **options)

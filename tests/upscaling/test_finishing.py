"""The look of a result: strength, the input's colours, sharpness and grain, strip by strip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import UsageError
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.resize import resize_pixels
from upscale_cli.upscaling import finishing
from upscale_cli.upscaling.finishing import BLOCK, block_means, finished
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import Upscaler


def photograph(height: int = 44, width: int = 37, dtype: Any = np.uint8) -> Pixels:
    """Smooth colours with edges and noise, away from black and white."""
    random = np.random.default_rng(2)
    coarse = random.integers(40, 215, (4, 4, 3), np.uint8)
    noisy = resize_pixels(coarse, (height, width), "area", np.uint8) + random.normal(0, 6, (height, width, 3))
    return (noisy * (np.iinfo(dtype).max // 255)).astype(dtype)


def shifting(source: Pixels, scale: int = 4) -> Pixels:
    """What a GAN makes of it: other colours here and there, and texture of its own."""
    height, width = (side * scale for side in source.shape[:2])
    large = resize_pixels(source, (height, width), "bicubic", source.dtype).astype(float)
    y, x = np.mgrid[:height, :width, :1][:2]
    level = np.iinfo(source.dtype).max / 255
    large += level * (
        12 * np.sin(y / 40) + [5, -9, 3] + 8 * np.cos(x / 60) + np.random.default_rng(1).normal(0, 9, large.shape)
    )
    return large.clip(0, np.iinfo(source.dtype).max).astype(source.dtype)


def blocks_of(pixels: Pixels, side: int) -> Pixels:
    """The mean colours of all whole blocks."""
    rows, columns = (length // side for length in pixels.shape[:2])
    whole = pixels[: rows * side, : columns * side].astype(float)
    means: Pixels = whole.reshape(rows, side, columns, side, -1).mean((1, 3))
    return means


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("strength", [1, 0.4])
@pytest.mark.parametrize("tileable", [None, "both"])
def test_every_block_has_the_inputs_mean_colour_within_a_level(dtype: Any, strength: float, tileable: Any) -> None:
    source = photograph(dtype=dtype)
    result, level = shifting(source), np.iinfo(dtype).max / 255
    assert np.abs(blocks_of(result, BLOCK) - blocks_of(source, BLOCK // 4)).max() > 10 * level
    options = UpscaleOptions(keep_colors=True, strength=strength, tileable=tileable)
    kept = finished(result, source, options)
    assert np.abs(blocks_of(kept, BLOCK) - blocks_of(source, BLOCK // 4)).max() < level


def test_colours_that_saturate_are_kept_too() -> None:
    source = photograph(32, 32)
    source[:, 16:] = 255
    source[20:] = 0
    kept = finished(shifting(source), source, UpscaleOptions(keep_colors=True))
    assert np.abs(blocks_of(kept, BLOCK) - blocks_of(source, BLOCK // 4)).max() < 1


def test_kept_colours_leave_the_detail() -> None:
    source = photograph()
    result = shifting(source)
    kept = finished(result.copy(), source, UpscaleOptions(keep_colors=True))
    fine = np.diff(result.astype(float), axis=0) - np.diff(kept.astype(float), axis=0)
    assert np.abs(fine).mean() < 0.6  # rounding


def test_strength_goes_from_the_inputs_detail_to_the_networks() -> None:
    source = photograph()
    result = shifting(source)
    lanczos = resize_pixels(source, result.shape[:2], "lanczos", np.uint8)
    detail = [np.diff(pixels.astype(float), axis=1) for pixels in (lanczos, result)]
    for strength in (0, 0.25, 0.7):
        mixed = finished(result.copy(), source, UpscaleOptions(strength=strength))
        expected = detail[0] + strength * (detail[1] - detail[0])
        assert np.abs(np.diff(mixed.astype(float), axis=1) - expected).mean() < 0.8
        assert np.abs(blocks_of(mixed, BLOCK) - blocks_of(result, BLOCK)).max() < 0.5  # low frequencies stay


@given(st.integers(1, 90), st.integers(1, 90), st.floats(0.2, 5))
def test_block_means_are_those_of_the_area(height: int, width: int, scale: float) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 1), np.uint8)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    means = block_means(pixels, size)
    areas = [np.diff(np.array([*range(0, side, BLOCK), side])) for side in size]
    total = (means[..., 0] * areas[0][:, None] * areas[1]).sum() / (size[0] * size[1])
    assert abs(total - pixels.mean()) < 1e-3


@pytest.mark.parametrize("options", [{"sharpen": 0.8}, {"sharpen": 1.5, "tileable": "both"}, {"keep_colors": True}])
def test_strips_do_not_matter(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    source = photograph()
    result = shifting(source)
    whole = finished(result.copy(), source, UpscaleOptions(**options))
    monkeypatch.setattr(finishing, "STRIP", 1000)
    assert np.array_equal(finished(result.copy(), source, UpscaleOptions(**options)), whole)


def test_sharpening_steepens_edges_and_leaves_flat_areas() -> None:
    step = np.full((20, 40, 1), 80, np.uint8)
    step[:, 20:] = 160
    sharp = finished(step, step, UpscaleOptions(sharpen=1)).astype(int)
    assert sharp[10, 19, 0] < 70
    assert sharp[10, 20, 0] > 170
    assert (sharp[:, :14] == 80).all()
    assert (sharp[:, 26:] == 160).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grain_is_gray_of_the_wanted_strength_and_repeatable(dtype: Any) -> None:
    top = np.iinfo(dtype).max
    flat = np.full((200, 150, 3), top // 2, dtype)
    first, same, other = (
        finished(flat.copy(), flat, UpscaleOptions(grain=4, seed=seed)).astype(float) for seed in (None, 0, 1)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert abs((first - top // 2).std() * 255 / top - 4) < 0.1
    assert abs((first - top // 2).mean()) < 0.1 * top / 255
    assert (np.ptp(first, axis=2) == 0).all()


def test_the_upscaler_finishes_colours_and_leaves_transparency() -> None:
    picture = Picture(photograph(20, 16), np.full((20, 16), 90, np.uint8))
    plain = Upscaler("lite-x2", device="cpu").upscale_picture(picture, Size(scale=2))
    grainy = Upscaler("lite-x2", device="cpu", grain=5, sharpen=1).upscale_picture(picture, Size(scale=2))
    assert not np.array_equal(plain.color, grainy.color)
    assert plain.alpha is not None
    assert grainy.alpha is not None
    assert np.array_equal(plain.alpha, grainy.alpha)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"strength": 1.5}, "A strength of 1.5 is out of range"),
        ({"grain": -1.0}, "Grain of -1 levels is out of range"),
        ({"sharpen": 9.0}, "Sharpening by 9 is out of range"),
        ({"seed": 3}, "--seed belongs to the training"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        UpscaleOptions(**given)

"""Numbers that stay right: nothing shifts a picture or its mean level, and no way of running changes a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from upscale_cli.images.picture import Pixels
from upscale_cli.resize import resize_pixels
from upscale_cli.tiling import Grid, Tile
from upscale_cli.upscaling.upscaler import Upscaler

SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "sample.png"
MOST_SHIFT = 0.05  # pixels of the result
MOST_MEAN = 0.5  # levels of 255
LOW = 0.25  # cycles per input pixel: up to here networks only copy


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    """A part of the sample, 100 x 120 pixels."""
    return np.asarray(Image.open(SAMPLE).convert("RGB"))[20:120, 60:180].copy()


def shift(result: NDArray[Any], reference: NDArray[Any], scale: float) -> NDArray[np.float64]:
    """Return by how many pixels (down, right) ``result`` is displaced against ``reference``, both (H, W, C).

    By the phase of the cross spectrum (Kuglin and Hines 1975), a plane fitted to low frequencies by least squares.
    """
    height, width = result.shape[:2]
    window = np.outer(np.hanning(height), np.hanning(width))
    one, other = (np.fft.fft2((p.mean(2) - p.mean()) * window) for p in (result, reference))
    down, right = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    low = np.hypot(down, right) < LOW / max(scale, 1)
    low[0, 0] = False
    cross = (one * np.conj(other))[low]
    weight = np.sqrt(np.abs(cross))
    slopes = -2 * np.pi * np.stack([down[low], right[low]], 1)
    found: NDArray[np.float64] = np.linalg.lstsq(slopes * weight[:, None], np.angle(cross) * weight, rcond=None)[0]
    return found


def displacements(result: Pixels, source: Pixels, scale: float) -> tuple[float, float]:
    """Return the shift in pixels and the difference of the mean in levels of 255, against bicubic."""
    bicubic = resize_pixels(source, result.shape[:2], "bicubic", source.dtype)
    level = np.iinfo(source.dtype).max / 255
    means = abs(result.mean((0, 1)) - bicubic.mean((0, 1))) / level
    return float(np.abs(shift(result, bicubic, scale)).max()), float(means.max())


def test_the_measure_of_shifts_finds_whole_pixels_and_parts_of_them(photo: NDArray[np.uint8]) -> None:
    large = resize_pixels(photo, (400, 480), "bicubic", np.uint16)
    assert shift(np.roll(large, (1, -2), (0, 1)), large, 4) == pytest.approx([1, -2], abs=MOST_SHIFT)
    quarter = shift(large[1::4, 1::4], resize_pixels(large, (100, 120), "area", np.uint16), 1)
    assert quarter == pytest.approx([0.125, 0.125], abs=0.02)


@pytest.mark.parametrize("precision", ["fp32", "half"])
@pytest.mark.parametrize("name", ["lite-x2", "lite-x4"])
def test_no_scale_shifts_a_picture_or_its_mean_level(photo: NDArray[np.uint8], name: str, precision: Any) -> None:
    upscaler = Upscaler(name, device="cpu", precision=precision)
    for scale in (1, 1.5, 2, 3, 4, 8):
        moved, brighter = displacements(upscaler.upscale(photo, scale), photo, scale)
        assert moved < MOST_SHIFT, scale
        assert brighter < MOST_MEAN, scale


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"tta": True}, "colour"),
        ({"tile": 32}, "colour"),
        ({"tile": 33, "tile_pad": 4}, "colour"),
        ({"alpha_upsampler": "bicubic"}, "alpha"),
        ({}, "alpha"),
        ({}, "gray"),
        ({}, "16 bit"),
    ],
)
@pytest.mark.parametrize("scale", [1.5, 3, 4])
def test_no_option_and_no_kind_of_picture_shifts_it_or_its_mean_level(
    photo: NDArray[np.uint8], options: dict[str, Any], kind: str, scale: float
) -> None:
    source: Pixels = {
        "colour": photo,
        "alpha": np.dstack([photo, photo[..., 1]]),
        "gray": photo[..., 1:2],
        "16 bit": resize_pixels(photo, (100, 120), "bicubic", np.uint16),
    }[kind]
    result = Upscaler("lite-x4", device="cpu", **options).upscale(source, scale)
    planes = [slice(0, 3), slice(3, 4)] if kind == "alpha" else [slice(None)]
    for plane in planes:
        moved, brighter = displacements(result[..., plane], source[..., plane], scale)
        assert moved < MOST_SHIFT
        assert brighter < MOST_MEAN


def test_a_network_that_removes_noise_moves_texture_but_not_the_picture(photo: NDArray[np.uint8]) -> None:
    moved, brighter = displacements(Upscaler("lite-x4-restore", device="cpu").upscale(photo, 4), photo, 4)
    assert moved / 4 < 0.1
    assert brighter < MOST_MEAN


@pytest.mark.parametrize("name", ["lite-x2", "lite-x4"])
def test_devices_and_the_order_of_tiles_change_no_byte(
    photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    photo = photo[:48, :72]  # six tiles
    result = Upscaler(name, device="cpu", tile=32).upscale(photo, 3)
    assert np.array_equal(Upscaler(name, device="cpu,cpu", tile=32).upscale(photo, 3), result)
    plan = Grid.plan

    def backwards(grid: Grid, side: int) -> tuple[Tile, ...]:
        return tuple(reversed(plan(grid, side)))

    monkeypatch.setattr(Grid, "plan", backwards)
    assert np.array_equal(Upscaler(name, device="cpu", tile=32).upscale(photo, 3), result)

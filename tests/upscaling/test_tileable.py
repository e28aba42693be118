"""Seamless textures: what lies beyond an edge is the other side, in tiles, in every pass and in resizing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from upscale_cli.errors import UsageError
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.resize import Filter, resize_pixels
from upscale_cli.upscaling.options import Tileable, UpscaleOptions
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.state_dict import save_state

AXES: dict[Tileable, tuple[int, int]] = {"x": (0, 8), "y": (4, 0), "both": (4, 8)}


@pytest.fixture(scope="module")
def unshuffling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that enlarges twice and sees pixels in pairs."""
    torch.manual_seed(3)
    parameters = {"features": 8, "blocks": 1, "growth": 4, "doublings": 2, "unshuffle": 2}
    path = tmp_path_factory.mktemp("networks") / "x2.safetensors"
    save_state(path, build(NetworkSpec("rrdbnet", 2, 3, 3, 38, 2, parameters)).state_dict(), {})
    return path


def texture(height: int, width: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(5).integers(0, 256, (height, width, channels), np.uint8)


def shifted(pixels: Pixels, shift: tuple[int, int], scale: float = 1) -> Pixels:
    return np.roll(pixels, (round(shift[0] * scale), round(shift[1] * scale)), (0, 1))


@pytest.mark.parametrize(
    ("axes", "tile", "scale"), [("x", 16, 2), ("y", 0, 3), ("both", 16, 3), ("both", 16, 4), ("both", 0, 0.5)]
)
def test_a_shifted_texture_gives_the_shifted_result(unshuffling: Path, axes: Tileable, tile: int, scale: float) -> None:
    upscaler = Upscaler(unshuffling, device="cpu", tile=tile, tileable=axes, scale=scale)
    image, shift = texture(28, 20), AXES[axes]
    result = upscaler.upscale(image)
    assert np.array_equal(upscaler.upscale(shifted(image, shift)), shifted(result, shift, scale))
    without = Upscaler(unshuffling, device="cpu", tile=tile, scale=scale)
    assert not np.array_equal(without.upscale(shifted(image, shift)), shifted(without.upscale(image), shift, scale))


def test_a_texture_is_enlarged_as_one_of_many_that_lie_side_by_side(unshuffling: Path) -> None:
    image = texture(20, 12)  # smaller than what the network sees
    alone = Upscaler(unshuffling, device="cpu", tileable="both").upscale(image)
    laid = Upscaler(unshuffling, device="cpu", tile=0).upscale(np.tile(image, (5, 9, 1)))
    assert np.array_equal(alone, laid[80:120, 96:120])


def test_the_embedded_networks_are_exact_at_any_shift() -> None:
    upscaler, image = Upscaler("lite-x4", device="cpu", tileable="both", tile=24), texture(41, 30)
    assert np.array_equal(upscaler.upscale(shifted(image, (17, 5))), shifted(upscaler.upscale(image), (68, 20)))


def test_odd_sides_wrap_without_a_seam(unshuffling: Path) -> None:
    image = np.zeros((21, 13, 3), np.uint8)
    image[:] = (90, 120, 30)
    result = Upscaler(unshuffling, device="cpu", tile=16, tileable="both").upscale(image)
    assert (np.ptp(result[:, :, 0].astype(int)[2:-4, 2:-4]) <= 1).all()
    assert (np.ptp(result.reshape(-1, 3).astype(int), 0) <= 1).all()


@pytest.mark.parametrize("kind", ["bicubic", "lanczos", "area"])
@pytest.mark.parametrize("size", [(90, 66), (15, 22), (3, 1)])
def test_resizing_wraps(kind: Filter, size: tuple[int, int]) -> None:
    image = texture(30, 22, 1)
    wrapped = resize_pixels(image, size, kind, np.uint16, (True, True))
    rows, columns = size
    wide = resize_pixels(np.tile(image, (3, 3, 1)), (3 * rows, 3 * columns), kind, np.uint16)
    difference = wrapped.astype(int) - wide[rows : 2 * rows, columns : 2 * columns]
    assert np.abs(difference).max() <= 2  # levels of 65535: sums in another order


@pytest.mark.parametrize("upsampler", ["network", "bicubic"])
def test_transparency_wraps_too(unshuffling: Path, upsampler: str) -> None:
    alpha = np.zeros((40, 36), np.uint8)
    alpha[:, :9], alpha[10:14] = 255, 130
    picture = Picture(texture(40, 36), alpha)
    moved = Picture(shifted(picture.color, (4, 10)), shifted(alpha, (4, 10)))
    upscaler = Upscaler(unshuffling, device="cpu", tileable="both", alpha_upsampler=upsampler)  # type: ignore[arg-type]
    one, other = (upscaler.upscale_picture(some, Size(scale=2)) for some in (picture, moved))
    assert one.alpha is not None
    assert other.alpha is not None
    assert np.array_equal(other.alpha, shifted(one.alpha, (8, 20)))
    seen = other.alpha > 0
    assert np.array_equal(other.color[seen], shifted(one.color, (8, 20))[seen])


def test_an_unknown_axis_is_refused() -> None:
    with pytest.raises(UsageError, match="tileable is 'z'"):
        UpscaleOptions(tileable="z")  # type: ignore[arg-type]

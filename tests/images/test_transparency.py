"""Transparent pictures: hidden colours do not reach the edges, and what is empty or opaque stays that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.images import transparency
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.transparency import keep_within_neighbours, with_hidden_filled
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import Upscaler

RED, GREEN = (220, 40, 40), (40, 220, 40)


def disc(side: int = 24) -> Picture:
    """A red disc; under the transparency around it lies green."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(y, x) < side * 0.3
    color = np.where(inside[..., None], RED, GREEN).astype(np.uint8)
    return Picture(color, inside.astype(np.uint8) * 255)


@pytest.mark.parametrize("model", ["lite-x4", "lite-x2"])
def test_a_sprites_edge_has_the_colour_of_an_opaque_picture(model: str) -> None:
    upscaler, sprite = Upscaler(model, device="cpu"), disc()
    result = upscaler.upscale_picture(sprite)
    opaque = upscaler.upscale_picture(Picture(np.full_like(sprite.color, RED)))
    assert result.alpha is not None
    differences = np.abs(result.color.astype(int) - opaque.color)[result.alpha > 0]
    assert differences.max() <= 3


def test_empty_stays_empty_and_opaque_stays_opaque() -> None:
    sprite = disc()
    result = Upscaler("lite-x4", device="cpu").upscale_picture(sprite, Size(scale=3))
    assert sprite.alpha is not None
    assert result.alpha is not None
    assert (result.alpha[:6] == 0).all()
    assert (result.alpha[30:42, 30:42] == 255).all()
    assert 0 < ((result.alpha > 0) & (result.alpha < 255)).mean() < 0.2  # the rim is still smooth


def test_hidden_pixels_get_the_nearest_colour_that_is_seen() -> None:
    color = np.arange(1, 8, dtype=np.uint8)[None, :, None].repeat(3, 0)
    alpha = np.zeros((3, 7), np.uint8)
    alpha[:, 1], alpha[:, 5] = 255, 1
    filled = with_hidden_filled(Picture(color, alpha)).color[1, :, 0]
    assert filled[[0, 1, 2, 4, 5, 6]].tolist() == [2, 2, 2, 6, 6, 6]
    assert filled[3] in (2, 6)


@given(st.integers(0, 10_000), st.sampled_from([np.uint8, np.uint16]))
def test_what_is_seen_is_left_and_strips_do_not_matter(seed: int, dtype: type) -> None:
    random = np.random.default_rng(seed)
    picture = Picture(
        random.integers(0, 256, (40, 9, 3)).astype(dtype), (random.random((40, 9)) < 0.3).astype(dtype) * dtype(9)
    )
    whole = with_hidden_filled(picture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transparency, "STRIP", 63)
        in_strips = with_hidden_filled(picture)
    assert picture.alpha is not None
    seen = picture.alpha > 0
    assert np.array_equal(whole.color[seen], picture.color[seen])
    assert np.array_equal(whole.color, in_strips.color)


@pytest.mark.parametrize("alpha", [None, np.zeros((4, 4), np.uint8), np.full((4, 4), 7, np.uint8)])
def test_pictures_without_an_edge_are_left_alone(alpha: Pixels | None) -> None:
    picture = Picture(np.ones((4, 4, 1), np.uint8), alpha)
    assert with_hidden_filled(picture) is picture


@pytest.mark.parametrize("size", [(13, 40), (5, 3), (20, 12)])
def test_alpha_keeps_to_the_range_of_its_neighbours(size: tuple[int, int]) -> None:
    source = np.zeros((20, 12), np.uint8)
    source[:, 6:] = 200
    kept = np.full(size, 255, np.uint8)
    keep_within_neighbours(kept, source)
    assert (kept[:, -1] == 200).all()
    assert (kept[:, 0] == (0 if size[1] > 3 else 200)).all()


def test_memory_is_that_of_a_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    labelled = cv2.distanceTransformWithLabels

    def noted(mask: Pixels, *rest: Any, **named: Any) -> Any:
        seen.append(mask.size)
        return labelled(mask, *rest, **named)

    monkeypatch.setattr(transparency, "STRIP", 64)
    monkeypatch.setattr(transparency, "REACH", 4)
    monkeypatch.setattr(cv2, "distanceTransformWithLabels", noted)
    alpha = np.zeros((200, 16), np.uint8)
    alpha[:, 3] = 255
    with_hidden_filled(Picture(np.zeros((200, 16, 3), np.uint8), alpha))
    assert len(seen) == 50
    assert max(seen) <= 64 + 2 * 4 * 16

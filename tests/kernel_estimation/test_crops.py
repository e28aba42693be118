"""Crops: drawn in proportion to the gradients inside them."""

from __future__ import annotations

import numpy as np
import torch

from upscale_cli.kernel_estimation import crops


def pictured(height: int = 40, width: int = 60) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def test_the_gradient_map_is_the_smoothed_limited_sum_of_both_directions() -> None:
    image = pictured()
    plane = image.mean(0).numpy()
    rows, columns = np.gradient(plane)
    strength = np.abs(rows) + np.abs(columns)
    limited = np.pad(np.minimum(strength, np.quantile(strength, 0.97)), 2)
    wanted = np.mean([limited[y : y + 40, x : x + 60] for y in range(5) for x in range(5)], axis=0)
    assert np.allclose(crops.gradient_map(image).numpy(), wanted, atol=1e-5)


def test_places_are_drawn_in_proportion_to_the_gradients_inside() -> None:
    gradients = torch.zeros(12, 12)
    gradients[:6, :6], gradients[6:, 6:] = 1.0, 3.0
    drawn = crops.draw(gradients, 6, 20_000, torch.Generator().manual_seed(0))
    counts = {place: drawn.count(place) / 20_000 for place in set(drawn)}
    sums = {(y, x): float(gradients[y : y + 6, x : x + 6].sum()) for y in range(0, 7, 2) for x in range(0, 7, 2)}
    total = sum(sums.values())
    for place, inside in sums.items():
        assert abs(counts.get(place, 0) - inside / total) < 0.01


def test_flat_regions_are_never_drawn() -> None:
    gradients = torch.zeros(100, 200)
    gradients[50:52, 150:152] = 1
    for top, left in crops.draw(gradients, 26, 500, torch.Generator().manual_seed(3)):
        assert top <= 51 < 50 + top + 26 - 1
        assert left <= 151 < left + 27


def test_a_picture_of_the_crops_size_has_one_place() -> None:
    assert crops.draw(torch.ones(64, 64), 64, 3, torch.Generator().manual_seed(0)) == [(0, 0)] * 3


def test_flat_pictures_have_no_gradients() -> None:
    assert crops.gradient_map(torch.full((3, 70, 70), 0.4)).max() < 1e-6


def test_gradients_after_downsampling_have_the_pictures_size() -> None:
    for height, width in ((40, 60), (41, 61)):
        small = crops.gradients_after_downsampling(pictured(height, width))
        assert small.shape == (height, width)
        assert torch.equal(small[0:40:2, 0:60:2], small[1:40:2, 1:60:2])

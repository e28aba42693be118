"""Degradation of known strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscale_cli.degradation import jpeg, known


def test_without_noise_and_jpeg_nothing_changes() -> None:
    rng = np.random.default_rng(1)
    drawn = known.draw(rng, 4, (30, 98), noise=20, clean=1)
    images = torch.randint(0, 256, (4, 3, 16, 16)) / 255
    torch.testing.assert_close(known.apply(images, drawn, rng), images)


def test_each_picture_gets_the_quality_and_the_noise_it_is_said_to_have() -> None:
    rng = np.random.default_rng(2)
    gray = torch.full((3, 3, 64, 64), 0.5)
    noisy = known.apply(gray, (known.Known(0, None), known.Known(5, None), known.Known(15, None)), rng)
    assert (noisy * 255).std((1, 2, 3)).tolist() == pytest.approx([0, 5, 15], rel=0.05)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255
    compressed = known.apply(images, (known.Known(0, 40), known.Known(0, 90)), rng)
    torch.testing.assert_close(compressed, jpeg.apply(images, torch.tensor([40, 90])))


def test_qualities_and_noise_stay_in_their_ranges_and_reach_their_ends() -> None:
    drawn = known.draw(np.random.default_rng(3), 2000, (30, 98), noise=20, clean=0.5)
    qualities = [one.jpeg_quality for one in drawn if one.jpeg_quality is not None]
    noise = [one.noise for one in drawn if one.noise]
    assert (min(qualities), max(qualities)) == (30, 98)
    assert 0 < min(noise) < 1
    assert 19 < max(noise) <= 20
    assert len(qualities) == pytest.approx(1000, abs=100)
    assert len(noise) == pytest.approx(1000, abs=100)

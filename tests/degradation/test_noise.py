"""Noise: its mean, variance and colour, and the counts of photons against the Poisson distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from upscale_cli.degradation import noise
from upscale_cli.degradation.noise import NoiseParameters

SIDE = 160
PIXELS = 3 * SIDE**2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp() -> torch.Tensor:
    """All 256 levels, equally often in each channel: (3, 256, 256)."""
    return (torch.arange(256) / 255).expand(3, 256, 256).contiguous()


@pytest.mark.parametrize("sigma", [1.0, 12.0, 30.0])
def test_gaussian_noise_has_the_stated_standard_deviation_and_no_mean(sigma: float) -> None:
    field = noise.gaussian([torch.zeros(3, SIDE, SIDE)], torch.tensor([sigma]), False, generator()) * 255
    assert abs(field.mean().item()) < 5 * sigma / math.sqrt(PIXELS)
    assert field.std().item() == pytest.approx(sigma, rel=5 / math.sqrt(2 * PIXELS))
    assert field[0, 0].corrcoef()[0, 1].abs() < 5 / math.sqrt(SIDE)
    channels = torch.corrcoef(field[0].flatten(1))
    assert (channels - torch.eye(3)).abs().max() < 5 / SIDE


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_gray_noise_is_the_same_in_all_channels_and_coloured_noise_is_not(kind: str) -> None:
    image = torch.full((1, 3, SIDE, SIDE), 0.5)
    gray, coloured = (
        noise.apply(image, [NoiseParameters(kind, 1.0, is_gray)], generator()) - image  # type: ignore[arg-type]
        for is_gray in (True, False)
    )
    assert torch.allclose(gray[:, 0], gray[:, 1], atol=1e-6)
    assert torch.allclose(gray[:, 0], gray[:, 2], atol=1e-6)
    assert gray.std() > 1e-3
    assert torch.corrcoef(coloured[0].flatten(1))[0, 1].abs() < 0.05


def test_each_picture_has_its_own_kind_and_strength() -> None:
    images = torch.full((4, 3, SIDE, SIDE), 0.5)
    several = [NoiseParameters("gaussian", sigma, gray) for sigma, gray in ((2, False), (8, True), (16, False))]
    result = noise.apply(images, [*several, NoiseParameters("poisson", 0.0, False)], generator()) - images
    assert [round(one.std().item() * 255) for one in result[:3]] == [2, 8, 16]
    assert result[3].abs().max() < 1e-6


def test_the_variance_of_poisson_noise_is_proportional_to_the_brightness() -> None:
    field = torch.cat([noise.poisson([ramp()], torch.tensor([1.0]), False, generator(seed)) for seed in range(8)])
    variance = field.var((0, 1, 2)).numpy() * 256  # 256 levels occur, so brightness v is a mean count of 256 v
    samples = field.numel() / 256
    bright = np.arange(8, 256)
    assert np.abs(variance[bright] / (bright / 255) - 1).max() < 6 * math.sqrt(2.3 / samples)
    assert variance[0] == 0
    assert field.abs().max() < 8 / 16  # eight standard deviations of the brightest level: no count is far off
    assert np.abs(field.mean((0, 1, 2)).numpy()).max() < 6 / math.sqrt(256 * samples)


def test_the_scale_multiplies_poisson_noise() -> None:
    once, thrice = (noise.poisson([ramp()], torch.tensor([scale]), False, generator()) for scale in (1.0, 3.0))
    assert torch.allclose(3 * once, thrice, atol=1e-6)


@pytest.mark.parametrize(("grade", "level"), [(8, 0), (8, 1), (8, 37), (8, 255), (6, 130), (3, 255), (0, 90)])
def test_counts_follow_the_poisson_distribution(grade: int, level: int) -> None:
    draws = 200_000
    levels = torch.full((1, 1, 1, draws), level, dtype=torch.int32)
    counts = np.bincount(noise._poisson_counts(levels, [grade], generator()).flatten(), minlength=512)
    mean = level / 255 * 2**grade
    wanted = [draws * math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) if mean else 0 for k in range(512)]
    wanted[0] = draws * math.exp(-mean)
    often = np.array(wanted) > 5
    chi_squared = ((counts - wanted)[often] ** 2 / np.array(wanted)[often]).sum()
    freedom = max(int(often.sum()) - 1, 1)
    assert chi_squared < freedom + 6 * math.sqrt(2 * freedom)
    assert counts[~often].sum() <= 60


def test_pictures_of_few_levels_are_taken_for_few_photons() -> None:
    two, flat = ramp().round(), torch.full((3, 256, 256), 0.5)
    fields = noise.poisson([two, flat, ramp()], torch.ones(3), False, generator())
    assert fields[0][two == 1].var().item() == pytest.approx(1 / 2, rel=0.05)
    assert fields[1].var().item() == pytest.approx(128 / 255, rel=0.05)
    assert fields[2, :, :, 255].var().item() == pytest.approx(1 / 256, rel=0.2)


def test_the_mean_of_gray_poisson_noise_comes_from_the_luma() -> None:
    green = torch.zeros(3, 256, 256)
    green[1] = ramp()[1]
    field = noise.poisson([green], torch.ones(1), True, generator())
    levels = len(np.unique(np.rint(0.587 * np.arange(256))))
    photons = 2 ** math.ceil(math.log2(levels))
    assert field[..., 255].var().item() == pytest.approx(0.587 / photons, rel=0.3)


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
@pytest.mark.parametrize("gray", [False, True])
def test_strength_zero_is_the_identity_and_the_range_is_kept(kind: str, gray: bool) -> None:
    levels = torch.randint(0, 256, (2, 3, 17, 9), generator=generator()) / 255
    still = noise.apply(levels, [NoiseParameters(kind, 0.0, gray)] * 2, generator())  # type: ignore[arg-type]
    assert torch.allclose(still, levels, atol=1e-6)
    loud = noise.apply(levels, [NoiseParameters(kind, 60.0, gray)] * 2, generator())  # type: ignore[arg-type]
    assert loud.min() == 0
    assert loud.max() == 1


def test_the_generator_alone_decides() -> None:
    images = torch.rand(4, 3, 20, 20, generator=generator())
    several = [NoiseParameters(kind, 2.0, gray) for kind in ("gaussian", "poisson") for gray in (False, True)]
    first, again, other = (noise.apply(images, several, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert all(not torch.equal(one, two) for one, two in zip(first, other, strict=True))

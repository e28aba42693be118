"""The chains: their draws against the reference's figures, their steps in order, the targets of the second stages."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from statistics_of_draws import assert_frequency, assert_uniform

from upscale_cli.degradation import blur, chains
from upscale_cli.degradation.blur import NO_BLUR
from upscale_cli.degradation.chains import Parameters, SecondOrder, SecondStage, Stage, StageParameters
from upscale_cli.degradation.noise import NoiseParameters

BATCHES, COUNT = 3000, 3


def drawn() -> list[Parameters]:
    return [chains.draw(SecondOrder(), COUNT, [11, seed]) for seed in range(BATCHES)]


PARAMETERS = drawn()


@pytest.mark.parametrize(
    ("stage", "up", "down", "low", "high"), [("first", 0.2, 0.7, 0.15, 1.5), ("second", 0.3, 0.4, 0.3, 1.2)]
)
def test_resizes_are_drawn_as_stated(stage: str, up: float, down: float, low: float, high: float) -> None:
    several: list[StageParameters] = [getattr(one, stage) for one in PARAMETERS]
    factors = [one.factor for one in several]
    larger, smaller = [f for f in factors if f > 1], [f for f in factors if f < 1]
    assert_frequency(len(larger), BATCHES, up)
    assert_frequency(len(smaller), BATCHES, down)
    assert_frequency(factors.count(1.0), BATCHES, 1 - up - down)
    assert_uniform(larger, 1, high)
    assert_uniform(smaller, low, 1)
    for mode in ("area", "bilinear", "bicubic"):
        assert_frequency([one.mode for one in several].count(mode), BATCHES, 1 / 3)


@pytest.mark.parametrize(("stage", "sigma", "scale"), [("first", (1, 30), (0.05, 3)), ("second", (1, 25), (0.05, 2.5))])
def test_noise_is_drawn_as_stated(stage: str, sigma: tuple[float, float], scale: tuple[float, float]) -> None:
    noises: list[NoiseParameters] = [noise for one in PARAMETERS for noise in getattr(one, stage).noise]
    gaussian, poisson = ([one for one in noises if one.kind == kind] for kind in ("gaussian", "poisson"))
    assert_frequency(len(gaussian), len(noises), 0.5)
    assert_frequency(sum(one.gray for one in gaussian), len(gaussian), 0.4)
    assert_frequency(sum(one.gray for one in poisson), len(poisson), 0.4)
    assert_uniform([one.strength for one in gaussian], *sigma)
    assert_uniform([one.strength for one in poisson], *scale)


@pytest.mark.parametrize("stage", ["first", "second"])
def test_qualities_are_whole_numbers_from_30_to_95_equally_often(stage: str) -> None:
    qualities = [quality for one in PARAMETERS for quality in getattr(one, stage).quality]
    for quality in range(30, 96):
        assert_frequency(qualities.count(quality), len(qualities), 1 / 66)
    assert set(qualities) == set(range(30, 96))


def test_blurs_are_drawn_as_stated() -> None:
    first = [kernel for one in PARAMETERS for kernel in one.first.kernels]
    second = [kernel for one in PARAMETERS for kernel in one.second.kernels]
    final = [kernel for one in PARAMETERS for kernel in one.final_kernels]
    assert NO_BLUR not in first
    assert_frequency(second.count(NO_BLUR), len(second), 0.2)
    assert_frequency(final.count(NO_BLUR), len(final), 0.2)
    assert_uniform([one.sigma_x for one in first if one.kind == "aniso"], 0.2, 3)
    assert_uniform([one.sigma_x for one in second if one.kind == "aniso"], 0.2, 1.5)
    assert_frequency([one.kind for one in second].count("sinc"), len(second), 0.8 * 0.1)


def test_the_last_steps_change_places_half_of_the_time() -> None:
    assert_frequency(sum(one.sinc_first for one in PARAMETERS), BATCHES, 0.5)
    for mode in ("area", "bilinear", "bicubic"):
        assert_frequency([one.final_mode for one in PARAMETERS].count(mode), BATCHES, 1 / 3)


def test_the_pictures_of_a_batch_are_drawn_apart() -> None:
    assert all(a != b for one in PARAMETERS for a, b in pairwise(one.first.kernels))
    assert len({one.noise_seed for one in PARAMETERS}) == BATCHES


def picture(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(count, 3, height // 6 + 2, width // 6 + 2, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def test_the_seed_alone_decides() -> None:
    hr = picture(3, 48, 48)
    first, again, other = (chains.degrade(hr, 4, SecondOrder(), seed) for seed in ([1, 2], [1, 2], [1, 3]))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert chains.draw(SecondOrder(), 4, [5]) == chains.draw(SecondOrder(), 4, [5])


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 2, 3, 4]), st.integers(0, 1000))
def test_results_have_the_small_size_and_whole_levels(height: int, width: int, scale: int, seed: int) -> None:
    hr = picture(2, height + scale, width + scale)
    lr = chains.degrade(hr, scale, SecondOrder(), [seed])
    assert lr.shape == (2, 3, (height + scale) // scale, (width + scale) // scale)
    assert 0 <= lr.min() <= lr.max() <= 1
    assert torch.allclose(lr * 255, (lr * 255).round(), atol=1e-4)


def harmless(count: int) -> Parameters:
    """Nothing but two JPEGs of full quality."""
    silent = (NoiseParameters("gaussian", 0.0, False),) * count
    stage = StageParameters((NO_BLUR,) * count, silent, (100,) * count, 1.0, "bicubic")
    return Parameters(stage, stage, (NO_BLUR,) * count, "bicubic", True, 0)


def test_at_strength_zero_the_chain_is_nearly_the_identity() -> None:
    gray = picture(2, 48, 40).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    result = chains.apply(gray, 1, harmless(2))
    assert (result - gray).abs().max() * 255 <= 2.5
    assert (result - gray).abs().mean() * 255 <= 0.7


def test_every_drawn_step_is_carried_out() -> None:
    hr, plain = picture(1, 64, 64), harmless(1)
    base = chains.apply(hr, 2, plain)
    kernel = (blur.KernelParameters("iso", 21, 3.0, 3.0),)
    loud = (NoiseParameters("gaussian", 30.0, False),)
    changes = [{"kernels": kernel}, {"noise": loud}, {"quality": (30,)}, {"factor": 0.4}]
    variants = [replace(plain, first=replace(plain.first, **change)) for change in changes]  # type: ignore[arg-type]
    variants += [replace(plain, second=replace(plain.second, **change)) for change in changes]  # type: ignore[arg-type]
    variants.append(replace(plain, final_kernels=kernel))
    results = [chains.apply(hr, 2, variant) for variant in variants]
    assert all((result - base).abs().mean() * 255 > 0.5 for result in results)


def test_the_order_of_the_last_steps_matters() -> None:
    strong = replace(harmless(1), final_kernels=(blur.KernelParameters("sinc", 21, cutoff=1.2),))
    strong = replace(strong, second=replace(strong.second, quality=(30,)))
    jpeg_last = chains.apply(picture(1, 96, 96), 1, strong)
    sinc_last = chains.apply(picture(1, 96, 96), 1, replace(strong, sinc_first=False))
    assert blockiness(jpeg_last) > 1.2 * blockiness(sinc_last)


def blockiness(image: torch.Tensor) -> float:
    """Steps across the borders of 8x8 blocks, against steps inside."""
    steps = image.diff(dim=-1).abs().mean((0, 1, 2))
    return (steps[7::8].mean() / steps[3::8].mean()).item()


@pytest.mark.parametrize("mode", chains.MODES)
def test_resizes_are_pytorchs_own(mode: chains.Mode) -> None:
    images = torch.rand(2, 3, 20, 31)
    wanted = torch.stack([torch.nn.functional.interpolate(one[None], (13, 40), mode=mode)[0] for one in images])
    assert torch.allclose(chains.resized(images, (13, 40), mode), wanted, atol=1e-6)
    assert chains.resized(images, (20, 31), mode) is images


@pytest.mark.shared
@pytest.mark.parametrize(("name", "scale"), [("Set5", 2), ("Set5", 4), ("Set14", 2), ("Set14", 4)])
def test_bicubic_is_matlabs_within_a_fifth_of_a_level(shared: Path, name: str, scale: int) -> None:
    folder = shared / "data" / name / f"x{scale}"
    differences = []
    for hr, lr in zip(sorted((folder / "HR").iterdir()), sorted((folder / "LR").iterdir()), strict=True):
        sharp, small = (torch.from_numpy(cv2.imread(str(path))).permute(2, 0, 1)[None] / 255 for path in (hr, lr))
        differences.append((chains.bicubic(sharp, scale) - small).abs().mean().item() * 255)
    assert np.mean(differences) <= 0.2


def test_bicubic_gives_whole_levels_and_rounds_sizes_up() -> None:
    result = chains.bicubic(torch.rand(2, 3, 17, 22), 4)
    assert result.shape == (2, 3, 5, 6)
    assert torch.allclose(result * 255, (result * 255).round(), atol=1e-4)


def usm_by_opencv(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The unsharp mask by two-dimensional filters: (H, W, 3) in [0, 1]."""
    line = cv2.getGaussianKernel(51, 0)
    square = (line @ line.T).astype(np.float32)
    residual = image - cv2.filter2D(image, -1, square)
    mask = cv2.filter2D((np.abs(residual) * 255 > 10).astype(np.float32), -1, square)
    sharp = np.clip(image + 0.5 * residual, 0, 1)
    return np.asarray(mask * sharp + (1 - mask) * image)


@pytest.mark.parametrize(("height", "width"), [(80, 96), (33, 20)])
def test_unsharp_targets_are_those_of_opencvs_filters(height: int, width: int) -> None:
    hr = picture(2, height, width)
    for image, result in zip(hr, chains.unsharp(hr), strict=True):
        wanted = usm_by_opencv(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
        assert np.allclose(result.permute(1, 2, 0), wanted, atol=1e-5)
        assert np.abs(wanted - image.permute(1, 2, 0).numpy()).max() > 0.01


def test_flat_pictures_are_not_sharpened() -> None:
    ramp = torch.linspace(0.3, 0.4, 64).expand(1, 3, 64, 64)
    assert torch.allclose(chains.unsharp(ramp), ramp, atol=1e-6)


def test_a_recipe_overrides_single_figures_and_keeps_the_others() -> None:
    settings = msgspec.convert({"second": {"gaussian_sigma": [1, 5]}, "first": {"shares": {"iso": 1}}}, SecondOrder)
    assert settings.second == SecondStage(gaussian_sigma=(1.0, 5.0))
    assert settings.second.resize_factor == (0.3, 1.2)
    assert settings.first.shares == blur.Shares(iso=1.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"resize_factor": [1.1, 1.5]}, "resize_factor must include 1"),
        ({"up_probability": 0.5, "down_probability": 0.6}, "together more than 1"),
        ({"jpeg_quality": [0, 95]}, "jpeg_quality"),
        ({"jpeg_quality": [95, 30]}, "jpeg_quality must be"),
        ({"gaussian_sigma": [-1, 3]}, "gaussian_sigma must be"),
        ({"blur_probability": -0.1}, "blur_probability"),
        ({"noise": 1}, "unknown field"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(wrong, Stage)

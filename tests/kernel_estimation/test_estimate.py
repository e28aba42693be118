"""From pictures to kernels: settings decide all, and pictures without information are refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from upscale_cli.errors import InputError, UsageError
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.kernel_estimation import kernelgan, spectrum
from upscale_cli.kernel_estimation.estimate import (
    Estimate,
    Progress,
    Settings,
    estimate,
    without_noise,
)
from upscale_cli.kernels.blur_kernel import bicubic
from upscale_cli.kernels.files import read_kernel
from upscale_cli.kernels.gaussian import gaussian
from upscale_cli.kernels.similarity import correlation
from upscale_cli.kernels.values import covariance


def textured(height: int = 90, width: int = 110, channels: int = 3, seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    plane = np.cumsum(np.cumsum(rng.normal(size=(height + 2, width + 2, channels)), 0), 1)
    plane = 255 * (plane - plane.min()) / (plane.max() - plane.min()) + rng.uniform(0, 30, plane.shape)
    blurred = sum(plane[y : y + height, x : x + width] for y in range(3) for x in range(3)) / 9
    return Picture(np.asarray(blurred).clip(0, 255).astype(np.uint8))


def short(**options: object) -> Settings:
    return Settings(iterations=4, **options)  # type: ignore[arg-type]


def test_settings_decide_the_kernel() -> None:
    first, again, other = (estimate(textured(), short(seed=seed)).kernel.values for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_alpha_plays_no_part_and_depth_does_not_matter() -> None:
    picture = textured()
    deep = Picture(picture.color.astype(np.uint16) * 257, np.zeros(picture.color.shape[:2], np.uint16))
    plain, other = (estimate(p, Settings(prior="gaussian")).kernel.values for p in (picture, deep))
    assert np.allclose(plain, other, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_training_moves_the_kernel_towards_the_bicubic_one(channels: int) -> None:
    """As its schedule has it at first, for any number of channels."""
    steps: list[Progress] = []
    estimate(textured(channels=channels), Settings(iterations=150), steps.append)
    wanted = np.pad(bicubic(2).values, 1)
    first, last = (correlation(steps[at].step.kernel.double().numpy(), wanted) for at in (0, -1))
    assert last > max(first, 0.5)


@pytest.mark.parametrize("prior", ["none", "gaussian"])
def test_several_runs_tell_how_far_they_agree(prior: str) -> None:
    one = estimate(textured(), short(prior=prior))
    several = estimate(textured(), short(prior=prior, runs=3))
    assert one.agreement is None
    assert several.agreement is not None
    assert 0 < several.agreement < 1


def test_a_run_more_takes_the_next_seed() -> None:
    seen: list[Progress] = []
    estimate(textured(), short(runs=2, seed=5), seen.append)
    assert [(one.run, one.step.iteration) for one in seen] == [(run, step) for run in (0, 1) for step in range(4)]
    alone: list[Progress] = []
    estimate(textured(), short(seed=6), alone.append)
    assert torch.equal(seen[-1].step.kernel, alone[-1].step.kernel)


def test_for_four_the_kernel_of_two_is_applied_twice() -> None:
    two, four = (estimate(textured(), Settings(scale, prior="gaussian")).kernel for scale in (2, 4))
    assert (two.scale, four.scale) == (2, 4)
    # Shrinking twice blurs by C and, at half the resolution, once more by C, which is 4 C in HR pixels.
    wanted = 5 * covariance(two.values)
    assert np.allclose(covariance(four.values), wanted, rtol=0.05, atol=0.02)


def test_noise_is_hidden_from_the_discriminator_of_real_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[float] = []

    def train(image: torch.Tensor, fit: spectrum.Fit, *, noise: float, **_: object) -> torch.Tensor:
        levels.append(noise)
        return torch.eye(13)

    monkeypatch.setattr(kernelgan, "train", train)
    color = textured(260, 260).color.astype(float) + np.random.default_rng(1).normal(0, 5, (260, 260, 3))
    for real in (False, True):
        estimate(Picture(color.clip(0, 255).astype(np.uint8)), short(real=real))
    assert levels[0] == pytest.approx(1 / 255)
    assert levels[1] == pytest.approx(2 * 2 * 5 / 255, rel=0.4)  # twice a standard deviation of 5 levels, in [-1, 1]


def test_twice_the_noise_of_negative_values_is_subtracted() -> None:
    values = np.array([[0.5, -0.03, 0.2], [-0.04, 0.3, 0.07], [0.0, 0.0, 0.0]])
    off = 2 * ((0.03**2 + 0.04**2) / 2) ** 0.5  # 0.0707
    wanted = np.array([[0.5 - off, 0, 0.2 - off], [0, 0.3 - off, 0], [0, 0, 0]])
    assert np.allclose(without_noise(values), wanted / wanted.sum())


def test_kernels_without_negative_values_stay() -> None:
    values = gaussian(np.eye(2), 2)
    assert np.allclose(without_noise(values), values)


@pytest.mark.parametrize(("height", "width"), [(63, 300), (300, 63)])
def test_pictures_smaller_than_the_crops_are_refused(height: int, width: int) -> None:
    with pytest.raises(InputError, match="At least 64x64 are needed"):
        estimate(textured(height, width), short())
    estimate(textured(max(height, 64), max(width, 64)), short())


def test_flat_pictures_are_refused() -> None:
    flat = np.full((80, 80, 3), 117, np.uint8)
    rounded = flat + (np.random.default_rng(0).random(flat.shape) < 0.01)
    for color in (flat, rounded.astype(np.uint8)):
        with pytest.raises(InputError, match="is flat"):
            estimate(Picture(color), short())


def test_other_scales_are_refused() -> None:
    with pytest.raises(UsageError, match="scale of 3"):
        Settings(3)


def test_training_lowers_its_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernelgan, "RATE_FALLS_EVERY", 20)
    image = torch.from_numpy(textured().color).permute(2, 0, 1) / 255
    fit = spectrum.fitted(spectrum.spectrum(image))
    kernels: list[torch.Tensor] = []
    kernelgan.train(image, fit, iterations=60, on_step=lambda step: kernels.append(step.kernel))
    steps = [float((after - before).norm()) for before, after in pairwise(kernels)]
    early, middle, late = (np.mean(steps[start : start + 9]) for start in (10, 21, 41))
    assert early > 3 * middle > 9 * late


@pytest.mark.shared
def test_the_gaussian_of_a_picture_of_div2krk_is_near_its_kernel(shared: Path) -> None:
    cases = shared / "data" / "DIV2KRK_10"
    found = _of(cases / "lr_x2" / "im_14.png", Settings(prior="gaussian"))
    truth = read_kernel(cases / "gt_k_x2" / "kernel_14.mat")
    assert correlation(found.kernel.values, truth.values) > 0.98


@pytest.mark.shared
def test_the_kernel_of_a_picture_of_div2krk_is_found(shared: Path) -> None:
    cases = shared / "data" / "DIV2KRK_10"
    found = _of(cases / "lr_x2" / "im_14.png", Settings(iterations=250))
    truth = read_kernel(cases / "gt_k_x2" / "kernel_14.mat")
    assert correlation(found.kernel.values, truth.values) > 0.95


def _of(path: Path, settings: Settings) -> Estimate:
    return estimate(read_picture(path), settings)

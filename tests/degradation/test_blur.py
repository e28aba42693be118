"""Kernels against their formulas in NumPy, their random choice against the stated figures, and convolution by loops."""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from statistics_of_draws import assert_frequency, assert_uniform

from upscale_cli.degradation import blur
from upscale_cli.degradation.blur import KernelParameters, KernelSettings, Kind

Values = NDArray[np.float64]
DRAWS = 6000
odd = st.integers(0, 10).map(lambda half: 2 * half + 1)
sigmas = st.floats(0.2, 3)
angles = st.floats(-math.pi, math.pi)


def bessel_j1(x: Values) -> Values:
    """Bessel's integral, by the trapezoidal rule, which is exact to rounding for a periodic function."""
    theta = np.linspace(0, 2 * np.pi, 401)[:-1]
    mean: Values = np.cos(theta - x[..., None] * np.sin(theta)).mean(-1)
    return mean


def place(parameters: KernelParameters, shape: Values) -> Values:
    """Normalised within its size, in the middle of 21x21."""
    result = np.zeros((21, 21))
    low, high = 10 - parameters.size // 2, 10 + parameters.size // 2 + 1
    result[low:high, low:high] = shape[low:high, low:high] / shape[low:high, low:high].sum()
    return result


def expected(parameters: KernelParameters) -> Values:
    """The kernel by the formulas, pixel by pixel, with an explicit covariance matrix."""
    p, shape = parameters, np.zeros((21, 21))
    turn = np.array([[math.cos(p.angle), -math.sin(p.angle)], [math.sin(p.angle), math.cos(p.angle)]])
    inverse = np.linalg.inv(turn @ np.diag([p.sigma_x**2, p.sigma_y**2]) @ turn.T)
    for row in range(21):
        for column in range(21):
            at = np.array([column - 10, row - 10])
            distance = float(at @ inverse @ at) ** p.beta
            shape[row, column] = 1 / (1 + distance) if p.kind.startswith("plateau") else math.exp(-distance / 2)
    return place(p, shape)


def expected_sinc(parameters: KernelParameters) -> Values:
    y, x = np.mgrid[-10:11, -10:11]
    r, cutoff = np.hypot(x, y), parameters.cutoff
    away = np.where(r == 0, 1, r)
    return place(
        parameters, np.where(r == 0, cutoff**2 / (4 * np.pi), cutoff * bessel_j1(cutoff * r) / (2 * np.pi * away))
    )


@given(odd, sigmas, sigmas, angles)
def test_an_anisotropic_gaussian_follows_its_formula(size: int, sigma_x: float, sigma_y: float, angle: float) -> None:
    wanted = expected(KernelParameters("aniso", size, sigma_x, sigma_y, angle))
    assert np.allclose(blur.generalized_gaussian(size, sigma_x, sigma_y, angle, 1.0), wanted, atol=1e-6)


@given(odd, sigmas)
def test_an_isotropic_gaussian_is_the_product_of_two_of_one_dimension(size: int, sigma: float) -> None:
    line = cv2.getGaussianKernel(size, sigma, cv2.CV_64F)
    inner = blur.generalized_gaussian(size, sigma, sigma, 0.0, 1.0)[
        10 - size // 2 : 11 + size // 2, 10 - size // 2 : 11 + size // 2
    ]
    assert np.allclose(inner, line @ line.T, atol=1e-6)


@given(odd, sigmas, sigmas, angles, st.floats(0.5, 4))
def test_generalized_gaussians_and_plateaus_follow_their_formulas(
    size: int, sigma_x: float, sigma_y: float, angle: float, beta: float
) -> None:
    wanted = KernelParameters("generalized_aniso", size, sigma_x, sigma_y, angle, beta)
    assert np.allclose(blur.generalized_gaussian(size, sigma_x, sigma_y, angle, beta), expected(wanted), atol=1e-6)
    wanted = KernelParameters("plateau_aniso", size, sigma_x, sigma_y, angle, beta)
    assert np.allclose(blur.plateau(size, sigma_x, sigma_y, angle, beta), expected(wanted), atol=1e-6)


@given(odd, st.floats(math.pi / 5, math.pi))
def test_sinc_follows_its_formula(size: int, cutoff: float) -> None:
    wanted = expected_sinc(KernelParameters("sinc", size, cutoff=cutoff))
    assert np.allclose(blur.sinc(size, cutoff), wanted, atol=1e-6)


def test_a_wide_sinc_passes_what_lies_below_its_cutoff_and_stops_the_rest() -> None:
    spectrum = np.abs(np.fft.fft2(blur.sinc(21, math.pi / 2).numpy(), (256, 256)))
    assert spectrum[0, 32] == pytest.approx(1, abs=0.1)  # a quarter of the sampling rate is bin 64
    assert spectrum[0, 110] == pytest.approx(0, abs=0.05)


def test_an_angle_turns_the_long_axis_towards_the_rows_below() -> None:
    kernel = blur.generalized_gaussian(21, 3.0, 0.5, math.pi / 4, 1.0)
    assert kernel[13, 13] > 100 * kernel[7, 13]


def drawn(settings: KernelSettings = KernelSettings(), count: int = DRAWS) -> list[KernelParameters]:  # noqa: B008
    rng = np.random.default_rng(7)
    return [blur.draw_kernel(rng, settings) for _ in range(count)]


def test_kernels_sum_to_one_and_are_symmetric_about_their_middle() -> None:
    kernels = blur.kernels(drawn(count=500))
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(500), atol=1e-5)
    assert torch.allclose(kernels, kernels.flip(1, 2), atol=1e-6)


def test_isotropic_kinds_look_the_same_from_all_sides() -> None:
    round_ones = [one for one in drawn(count=500) if "aniso" not in one.kind]
    kernels = blur.kernels(round_ones)
    assert torch.allclose(kernels, kernels.transpose(1, 2), atol=1e-6)
    assert torch.allclose(kernels, kernels.flip(1), atol=1e-6)


def test_a_batch_of_kernels_is_the_kernels_one_by_one() -> None:
    several = drawn(count=200)
    assert {one.kind for one in several} == set(blur.KINDS) - {"none"}
    for batched, one in zip(blur.kernels(several), several, strict=True):
        wanted = expected_sinc(one) if one.kind == "sinc" else expected(one)
        assert np.allclose(batched, wanted, atol=1e-6)
        assert torch.equal(blur.kernels([one])[0], batched)


def test_kinds_are_drawn_as_often_as_stated() -> None:
    kinds = [one.kind for one in drawn()]
    shares: dict[Kind, float] = {
        "iso": 0.45,
        "aniso": 0.25,
        "generalized_iso": 0.12,
        "generalized_aniso": 0.03,
        "plateau_iso": 0.12,
        "plateau_aniso": 0.03,
    }
    assert_frequency(kinds.count("sinc"), DRAWS, 0.1)
    for kind, share in shares.items():
        assert_frequency(kinds.count(kind), DRAWS, 0.9 * share)


def test_sizes_and_parameters_are_uniform_in_the_stated_ranges() -> None:
    several = drawn()
    for size in range(7, 22, 2):
        assert_frequency([one.size for one in several].count(size), DRAWS, 1 / 8)
    gaussians = [one for one in several if one.kind != "sinc"]
    assert_uniform([one.sigma_x for one in gaussians], 0.2, 3)
    turned = [one for one in gaussians if "aniso" in one.kind]
    assert_uniform([one.sigma_y for one in turned], 0.2, 3)
    assert_uniform([one.angle for one in turned], -math.pi, math.pi)
    assert all((one.sigma_x, one.angle) == (one.sigma_y, 0) for one in gaussians if "aniso" not in one.kind)
    sincs = [one for one in several if one.kind == "sinc"]
    assert_uniform([one.cutoff for one in sincs if one.size < 13], math.pi / 3, math.pi)
    assert_uniform([one.cutoff for one in sincs if one.size >= 13], math.pi / 5, math.pi)


@pytest.mark.parametrize(("kind", "low", "high"), [("generalized", 0.5, 4), ("plateau", 1, 2)])
def test_exponents_lie_below_and_above_one_equally_often(kind: str, low: float, high: float) -> None:
    betas = [one.beta for one in drawn() if one.kind.startswith(kind)]
    above = [beta for beta in betas if beta > 1]
    assert_frequency(len(above), len(betas), 0.5)
    assert_uniform(above, 1, high)
    assert all(low <= beta <= 1 for beta in betas if beta <= 1)
    assert all(one.beta == 1 for one in drawn() if one.kind in ("iso", "aniso", "sinc"))


def test_the_final_sinc_comes_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    several = [blur.draw_final_sinc(rng, range(7, 22, 2), 0.8) for _ in range(DRAWS)]
    filters = [one for one in several if one.kind == "sinc"]
    assert_frequency(len(filters), DRAWS, 0.8)
    assert_uniform([one.cutoff for one in filters], math.pi / 3, math.pi)
    assert {one for one in several if one.kind != "sinc"} == {blur.NO_BLUR}


@pytest.mark.parametrize(("height", "width"), [(32, 40), (7, 23), (3, 2), (1, 5)])
def test_each_picture_is_correlated_with_its_own_kernel(height: int, width: int) -> None:
    images = torch.rand(7, 3, height, width, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(1)
    kernels = torch.from_numpy(rng.random((7, 21, 21)).astype(np.float32) / 441)
    kernels[2] = blur.kernels([blur.NO_BLUR])[0]
    kernels[4, :7] = kernels[4, -7:] = kernels[4, :, :7] = kernels[4, :, -7:] = 0
    for image, kernel, result in zip(images.numpy(), kernels.numpy(), blur.apply(images, kernels), strict=True):
        padded = np.stack([np.pad(plane, 10, mode="reflect") for plane in image])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (21, 21), (1, 2))
        assert np.allclose(result, np.einsum("chwij,ij->chw", windows, kernel), atol=1e-5)


def test_what_a_kernel_holds_within_a_millionth_is_its_extent() -> None:
    narrow, wide = KernelParameters("iso", 21, 0.2, 0.2), KernelParameters("iso", 21, 3.0, 3.0)
    radii = blur.extents(blur.kernels([blur.NO_BLUR, narrow, wide, KernelParameters("sinc", 9)]))
    assert radii.tolist() == [0, 1, 10, 4]


def test_no_blur_is_the_identity() -> None:
    images = torch.rand(3, 3, 20, 30)
    assert torch.equal(blur.apply(images, blur.kernels([blur.NO_BLUR] * 3)), images)
    narrow = torch.full((3,), 0.01)
    assert torch.allclose(blur.apply(images, blur.generalized_gaussian(7, narrow, narrow, 0.0, 1.0)), images, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sizes": [8]}, "sizes are odd numbers from 1 to 21"),
        ({"sigma": [2.0, 1.0]}, "sigma must be"),
        ({"sigma": [0.0, 1.0]}, "sigma must be"),
        ({"beta_plateau": [1.5, 2.0]}, "must include 1"),
        ({"sinc_probability": 1.2}, "sinc_probability"),
        ({"shares": {"iso": 0, "aniso": 0, "generalized_iso": 0, "generalized_aniso": 0, "plateau_iso": 0,
                     "plateau_aniso": 0}}, "at least one kind"),
        ({"sigmas": [1.0, 2.0]}, "unknown field"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(wrong, KernelSettings)

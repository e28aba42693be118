"""The spectrum's criterion: pictures of known spectra, downsampled by known kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from upscale_cli.kernel_estimation import spectrum


def power_law(side: int, beta: float = 1.2, seed: int = 0) -> torch.Tensor:
    """Gray noise (side, side) around 128 whose power falls with f^(-2β)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    plane = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) * frequency**-beta).real
    return torch.from_numpy(128 + 30 * plane / plane.std())


def gaussian(covariance: list[list[float]], size: int = 21) -> torch.Tensor:
    y, x = np.mgrid[:size, :size] - size // 2
    inverse = np.linalg.inv(np.array(covariance))
    values = np.exp(-0.5 * (inverse[0, 0] * y * y + 2 * inverse[0, 1] * y * x + inverse[1, 1] * x * x))
    return torch.from_numpy(values / values.sum())


def small(covariance: list[list[float]], seed: int = 0, noise: float = 0.0) -> torch.Tensor:
    """(1, H, W) in [0, 1], in levels of 255, by a Gaussian."""
    plane = F.conv2d(power_law(1044, seed=seed)[None, None], gaussian(covariance)[None, None], stride=2)[0]
    plane = plane + noise * torch.randn(plane.shape, generator=torch.Generator().manual_seed(seed))
    return (plane.round().clamp(0, 255) / 255).float()


@pytest.mark.parametrize("covariance", [[[1.0, 0.0], [0.0, 1.0]], [[4.0, 1.0], [1.0, 2.0]], [[1.0, -0.6], [-0.6, 3.0]]])
def test_the_covariance_of_a_gaussian_blur_is_found(covariance: list[list[float]]) -> None:
    found = spectrum.fitted(spectrum.spectrum(small(covariance))).covariance
    assert (found - torch.tensor(covariance)).abs().max() < 0.35


def test_noise_is_separated_from_detail() -> None:
    fit = spectrum.fitted(spectrum.spectrum(small([[3.0, 0.0], [0.0, 3.0]], noise=3.0)))
    assert abs(float(fit.log_floor.exp().sqrt()) - 3) < 0.5
    assert (fit.covariance.diagonal() - 3).abs().max() < 0.6


def test_the_criterion_is_least_for_the_true_kernel() -> None:
    truth = [[3.0, 0.5], [0.5, 2.0]]
    criterion = spectrum.criterion(spectrum.fitted(spectrum.spectrum(small(truth))), 13)
    losses = {factor: float(criterion.loss(_times(truth, factor))) for factor in (0.3, 0.6, 1.0, 1.6, 3.0)}
    assert min(losses, key=lambda factor: losses[factor]) == 1.0
    assert losses[0.3] > 10 * losses[1.0]


def _times(covariance: list[list[float]], factor: float) -> torch.Tensor:
    return gaussian([[value * factor for value in row] for row in covariance], 13).float()


def test_the_criterion_has_the_gradient_of_finite_differences() -> None:
    criterion = spectrum.criterion(spectrum.fitted(spectrum.spectrum(small([[2.0, 0.0], [0.0, 2.0]]))), 13)
    kernel = gaussian([[1.5, 0.2], [0.2, 1.0]], 13).float().requires_grad_()
    (slope,) = torch.autograd.grad(criterion.loss(kernel), kernel)
    towards = gaussian([[3.0, 0.0], [0.0, 3.0]], 13).float() - kernel.detach()
    step = 0.01
    ahead, behind = (float(criterion.loss(kernel.detach() + side * step * towards)) for side in (1, -1))
    assert abs((ahead - behind) / (2 * step) - float((slope * towards).sum())) < 0.03 * abs(ahead - behind) / step


def test_windows_drawn_by_a_seed_give_another_spectrum_of_the_same_picture() -> None:
    image = small([[2.0, 0.0], [0.0, 2.0]])
    plain, first, again, other = (spectrum.spectrum(image, draw=draw).log_power for draw in (None, 0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 < (first - plain).abs().mean() < 0.5

"""Losses against their formulas in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale_cli.training import losses

Array = NDArray[Any]


def two(shape: tuple[int, ...] = (2, 3, 8, 9)) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    return rng.normal(0, 2, shape), rng.normal(0.5, 1, shape)


def tensors(*arrays: Array) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def test_distances_of_pixels() -> None:
    a, b = two()
    sr, hr = tensors(a, b)
    assert float(losses.l1(sr, hr)) == pytest.approx(np.mean(np.abs(a - b)), rel=1e-5)
    assert float(losses.mse(sr, hr)) == pytest.approx(np.mean((a - b) ** 2), rel=1e-5)
    assert float(losses.charbonnier(sr, hr)) == pytest.approx(np.mean(np.sqrt((a - b) ** 2 + 1e-6)), rel=1e-5)


def test_perceptual_distance_is_the_weighted_sum_over_layers() -> None:
    a, b = two()
    of_sr = {"conv1_1": torch.from_numpy(a), "pool2": torch.from_numpy(a[..., :4])}
    of_hr = {"conv1_1": torch.from_numpy(b), "pool2": torch.from_numpy(b[..., :4])}
    weights = {"conv1_1": 0.25, "pool2": 3.0}
    expected = 0.25 * np.mean(np.abs(a - b)) + 3 * np.mean(np.abs(a - b)[..., :4])
    assert float(losses.perceptual(of_sr, of_hr, weights, losses.l1)) == pytest.approx(expected, rel=1e-5)


def gram(features: Array, patch: int) -> Array:
    n, _, height, width = features.shape
    matrices = []
    for image in range(n):
        for y in range(0, height - patch + 1, patch):
            for x in range(0, width - patch + 1, patch):
                piece = features[image, :, y : y + patch, x : x + patch].reshape(features.shape[1], -1)
                matrices.append(piece @ piece.T)
    return np.stack(matrices)


@pytest.mark.parametrize("shape", [(2, 5, 32, 16), (1, 3, 37, 50)])
def test_texture_is_the_distance_of_gram_matrices_of_patches(shape: tuple[int, ...]) -> None:
    a, b = two(shape)
    (features,) = tensors(a)
    assert losses.gram_matrices(features, 16).numpy() == pytest.approx(gram(a, 16))
    found = losses.texture({"f": features}, {"f": torch.from_numpy(b)}, {"f": 2.0}, 16)
    assert float(found) == pytest.approx(2 * np.mean((gram(a, 16) - gram(b, 16)) ** 2), rel=1e-4)


def test_texture_does_not_depend_on_positions_within_a_patch() -> None:
    a, _ = two((1, 4, 16, 16))
    shuffled = a.reshape(4, 256)[:, np.random.default_rng(0).permutation(256)].reshape(1, 4, 16, 16)
    found = losses.texture({"f": torch.from_numpy(a)}, {"f": torch.from_numpy(shuffled)}, {"f": 1.0}, 16)
    assert float(found) == pytest.approx(0, abs=1e-6)


def values_of(kind: str, real: Array, fake: Array) -> tuple[float, float]:
    """The discriminator's loss and the generator's."""
    logits = torch.from_numpy(real), torch.from_numpy(fake)
    return float(losses.discriminator_loss(kind, *logits)), float(losses.generator_loss(kind, *logits))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def log(x: Array) -> Array:
    return np.log(x)


def test_the_relativistic_losses_are_the_papers() -> None:
    """Equations 1 and 2 of Wang et al. 2018: D(x, y) = σ(C(x) - E[C(y)])."""
    real, fake = two((6, 1))
    real_over_fake, fake_over_real = sigmoid(real - fake.mean()), sigmoid(fake - real.mean())
    discriminator = -np.mean(log(real_over_fake)) - np.mean(log(1 - fake_over_real))
    generator = -np.mean(log(1 - real_over_fake)) - np.mean(log(fake_over_real))
    assert values_of("relativistic", real, fake) == pytest.approx((discriminator, generator), rel=1e-5)


def test_the_vanilla_losses() -> None:
    real, fake = two((4, 1, 5, 5))
    discriminator = -np.mean(log(sigmoid(real))) - np.mean(log(1 - sigmoid(fake)))
    assert values_of("vanilla", real, fake) == pytest.approx((discriminator, -np.mean(log(sigmoid(fake)))), rel=1e-5)


def test_the_least_squares_losses() -> None:
    real, fake = two((4, 1))
    discriminator, generator = (np.mean((real - 1) ** 2) + np.mean(fake**2)) / 2, np.mean((fake - 1) ** 2) / 2
    assert values_of("least-squares", real, fake) == pytest.approx((discriminator, generator), rel=1e-5)


@pytest.mark.parametrize("kind", ["vanilla", "relativistic", "least-squares"])
def test_each_side_of_a_gan_wins_by_its_own_aim(kind: str) -> None:
    """Following the gradients, the generator raises the logits of fakes, the discriminator lowers them."""
    real, fake = (torch.zeros(4, 1, requires_grad=True) for _ in range(2))
    (of_discriminator,) = torch.autograd.grad(losses.discriminator_loss(kind, real, fake + 0.5), fake)
    (of_generator,) = torch.autograd.grad(losses.generator_loss(kind, real, fake + 0.5), fake)
    assert (of_discriminator > 0).all()
    assert (of_generator < 0).all()


def test_half_precision_is_measured_in_full() -> None:
    a, b = two()
    sr, hr = (tensor.bfloat16() for tensor in tensors(a, b))
    assert all(distance(sr, hr).dtype is torch.float32 for distance in losses.DISTANCES.values())

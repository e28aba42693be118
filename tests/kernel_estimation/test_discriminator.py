"""The discriminator: products of matrices give what convolutions give, patch by patch and sample by sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.kernel_estimation.discriminator import BLOCKS, Discriminator, initial, judge, normalised


def network(seed: int = 0) -> Discriminator:
    return initial(3, torch.Generator().manual_seed(seed))


def convolved(image: Tensor, judging: Discriminator, weights: list[Tensor]) -> Tensor:
    """(1, 3, H, W) through convolutions, batch normalisations and ReLUs, as the paper draws them."""
    first, blocks, last = weights
    features = F.conv2d(image, first.view(64, 3, 7, 7))
    for index in range(BLOCKS):
        features = F.conv2d(features, blocks[index][..., None, None])
        mean, variance = features.mean((2, 3), keepdim=True), features.var((2, 3), unbiased=False, keepdim=True)
        scaled = (features - mean) / (variance + 1e-5).sqrt()
        features = F.relu(scaled * judging.gain[index][:, None, None] + judging.shift[index][:, None, None])
    return torch.sigmoid(F.conv2d(features, last[..., None, None], judging.bias))


def test_it_is_a_stack_of_convolutions() -> None:
    judging = network()
    weights = normalised(judging)
    images = torch.randn(2, 3, 26, 26, generator=torch.Generator().manual_seed(1))
    opinion = judge(images, judging, weights)
    assert opinion.shape == (2, 400)
    for image, ours in zip(images, opinion, strict=True):
        assert torch.allclose(ours, convolved(image[None], judging, weights).flatten(), atol=1e-5)


def test_normalised_weights_approach_a_largest_singular_value_of_one() -> None:
    judging = network()
    for _ in range(300):
        weights = normalised(judging)
    for weight in (weights[0], *weights[1], weights[2]):
        assert 1 - 1e-4 < float(torch.linalg.matrix_norm(weight.detach(), 2)) < 1.02


def test_every_parameter_learns() -> None:
    judging = network()
    images = torch.randn(2, 3, 26, 26, generator=torch.Generator().manual_seed(1))
    opinion = judge(images, judging, normalised(judging))
    gradients = torch.autograd.grad(opinion[0].mean() - opinion[1].mean(), judging.parameters)
    assert all(gradient.abs().max() > 0 for gradient in gradients[:-2])

"""The generator: one kernel is the same as six layers, forwards and backwards."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from upscale_cli.kernel_estimation.generator import KERNEL_SIZE, composed, initial_layers, layer_by_layer


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_kernel_gives_what_all_layers_give() -> None:
    layers = initial_layers(drawn(0))
    image = torch.randn(1, 3, 64, 64, generator=drawn(1))
    kernel = composed(layers)
    once = F.conv2d(image[0][:, None], kernel[None, None], stride=2)[:, 0]
    through = layer_by_layer(image, layers)[0]
    assert through.shape == (3, 26, 26)
    assert (once - through).abs().max() < 1e-5 * through.abs().max()


def test_one_kernel_gives_every_layer_the_same_gradients() -> None:
    layers = initial_layers(drawn(2))
    image = torch.randn(1, 3, 64, 64, generator=drawn(3))
    weights = torch.randn(3, 26, 26, generator=drawn(4))
    through = torch.autograd.grad((layer_by_layer(image, layers)[0] * weights).sum(), layers)
    once = F.conv2d(image[0][:, None], composed(layers)[None, None], stride=2)[:, 0]
    for ours, wanted in zip(torch.autograd.grad((once * weights).sum(), layers), through, strict=True):
        assert wanted.abs().max() > 0
        assert (ours - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_the_kernel_is_what_the_layers_make_of_a_point() -> None:
    layers = initial_layers(drawn(5))
    point = torch.zeros(1, 1, 2 * KERNEL_SIZE - 1, 2 * KERNEL_SIZE - 1)
    point[..., KERNEL_SIZE - 1, KERNEL_SIZE - 1] = 1
    for layer in layers:
        point = F.conv2d(point, layer)
    kernel = composed(layers)
    assert kernel.shape == (KERNEL_SIZE, KERNEL_SIZE)
    assert torch.allclose(point[0, 0].flip(0, 1), kernel, atol=1e-5 * float(kernel.detach().abs().max()))


def test_a_seed_decides_the_layers() -> None:
    first, again, other = (initial_layers(drawn(seed)) for seed in (7, 7, 8))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])

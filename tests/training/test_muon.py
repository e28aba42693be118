"""Muon: orthogonal steps for the layers in the middle, Adam's for the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from upscale_cli import networks
from upscale_cli.training.muon import MOMENTUM, Muon, hidden_weights, orthogonal
from upscale_cli.training.recipe import Optimizer

SETTINGS = Optimizer(kind="muon", rate=1e-2)


@pytest.mark.parametrize("shape", [(3, 8, 72), (2, 72, 8), (1, 16, 16)])
def test_singular_values_become_about_one_and_directions_stay(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    changed = orthogonal(matrices)
    assert changed.shape == matrices.shape
    values = torch.linalg.svdvals(changed)
    assert values.min() > 0.3
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(changed.flatten(1), (left @ right).flatten(1)).min() > 0.97


def test_a_gradient_of_zero_changes_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 4, 9)), torch.zeros(1, 4, 9))


def network() -> nn.Module:
    torch.manual_seed(2)
    return networks.draw(networks.spec("compact", 2, {"features": 8, "blocks": 3}))


def with_gradients(module: nn.Module) -> nn.Module:
    for number, parameter in enumerate(module.parameters()):
        torch.manual_seed(number)
        parameter.grad = torch.randn_like(parameter)
    return module


def test_the_first_and_the_last_layer_and_all_that_is_no_matrix_take_the_steps_of_adam() -> None:
    by_muon, by_adam = with_gradients(network()), with_gradients(network())
    Muon(by_muon, SETTINGS, fused=False).step()
    Adam(by_adam.parameters(), SETTINGS.rate, SETTINGS.betas).step()
    hidden = {id(weight) for weight in hidden_weights(by_muon)}
    assert len(hidden) == 3
    for mine, theirs in zip(by_muon.parameters(), by_adam.parameters(), strict=True):
        assert torch.equal(mine, theirs) == (id(mine) not in hidden)


def test_a_step_follows_the_momentum_and_is_as_long_as_one_of_adam() -> None:
    module = with_gradients(network())
    weight = hidden_weights(module)[0]
    gradient, before = gradient_of(weight).clone(), weight.detach().clone()
    Muon(module, SETTINGS, fused=False).step()
    change = (weight - before).detach()
    # Nesterov's momentum of the first gradient is a multiple of it, which orthogonal takes no notice of.
    expected = -orthogonal((gradient * (1 - MOMENTUM)).flatten(1)[None])[0].view_as(weight)
    assert torch.nn.functional.cosine_similarity(change.flatten(), expected.flatten(), 0) > 0.999
    assert 0.1 < float(change.square().mean().sqrt()) / SETTINGS.rate < 0.3


def gradient_of(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def test_weights_of_single_channels_are_not_mixed() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 3)]
    assert [weight.shape for weight in hidden_weights(nn.Sequential(*layers))] == [(8, 8, 1, 1)]

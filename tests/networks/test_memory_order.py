"""Pixel shuffles in the memory order of a CPU: the same pixels, of every network and kind of picture."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from upscale_cli.networks import ARCHITECTURES, NetworkSpec, build
from upscale_cli.networks.memory_order import OrderedOntoNearest, OrderedShuffle, order_for_cpu

ORDERED = OrderedShuffle | OrderedOntoNearest
EXAMPLES = [spec for architecture in ARCHITECTURES for spec in architecture.examples]
SHUFFLED = {"compact", "srresnet", "msrresnet", "span", "edsr", "rcan", "swinir", "dat", "hat"}


def name_of(spec: NetworkSpec) -> str:
    return f"{spec.architecture}-x{spec.scale}-{spec.in_channels}ch"


def ordered(network: nn.Module) -> nn.Module:
    changed = copy.deepcopy(network)
    order_for_cpu(changed)
    return changed


@pytest.mark.parametrize("spec", EXAMPLES, ids=name_of)
@torch.inference_mode()
def test_results_stay_the_same_in_either_order_of_the_input(spec: NetworkSpec) -> None:
    torch.manual_seed(0)
    network = build(spec).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    height, width = (spec.size_multiple * -(-side // spec.size_multiple) for side in (16, 12))
    lr = torch.rand(2, spec.in_channels, height, width)
    for picture in (lr, lr.contiguous(memory_format=torch.channels_last)):
        assert torch.allclose(ordered(network)(picture), network(picture), rtol=1e-6, atol=1e-6)


def test_the_networks_that_shuffle_pixels_are_changed() -> None:
    found = {
        spec.architecture
        for spec in EXAMPLES
        if any(isinstance(module, ORDERED) for module in ordered(build(spec)).modules())
    }
    assert found >= SHUFFLED, sorted(SHUFFLED - found)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_an_ordered_shuffle_moves_what_a_pixel_shuffle_moves(scale: int, kind: torch.dtype) -> None:
    x = torch.randn(2, 5 * scale**2, 4, 3).to(kind)
    channels = torch.arange(5 * scale**2).reshape(5, scale**2).T.flatten()
    assert torch.equal(OrderedShuffle(scale)(x[:, channels]), nn.PixelShuffle(scale)(x))


def test_grouped_convolutions_are_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(8, 16, 3, groups=2), nn.PixelShuffle(2))
    assert isinstance(ordered(network)[1], nn.PixelShuffle)  # type: ignore[index]

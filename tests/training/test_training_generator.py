"""The network that is trained: how its weights start."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from upscale_cli.errors import UsageError
from upscale_cli.networks import build
from upscale_cli.notices import Notice, ignore
from upscale_cli.training.generator import fresh, started
from upscale_cli.training.recipe_file import load_recipe
from upscale_cli.weights.load import load
from upscale_cli.weights.progress import silent


def convolutions(name: str, prefix: str = "") -> dict[str, nn.Conv2d]:
    settings = ["network.features=32", "network.blocks=2"] + (["network.growth=16"] if "esrgan" in name else [])
    _, module = fresh(load_recipe(name, settings).network, seed=1)
    layers = {key: layer for key, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
    return {key: layer for key, layer in layers.items() if key.startswith(prefix)}


def he_share(layer: nn.Conv2d) -> float:
    """Standard deviation of the weights in units of He's (2015): sqrt(2 / fan in)."""
    return float(layer.weight.detach().std()) / math.sqrt(2 / layer.weight[0].numel())


def test_dense_blocks_start_at_a_tenth_and_the_layers_around_them_do_not() -> None:
    layers = convolutions("esrgan-psnr")
    dense = {key for key in layers if key.startswith("body.")}
    assert len(dense) == 2 * 3 * 5
    for key, layer in layers.items():
        assert he_share(layer) == pytest.approx(0.1, rel=0.1) if key in dense else he_share(layer) > 0.3, key
        assert layer.bias is not None
        assert bool(torch.all(layer.bias == 0)) == (key in dense), key


def test_msrresnet_starts_at_a_tenth_everywhere() -> None:
    assert all(he_share(layer) == pytest.approx(0.1, rel=0.15) for layer in convolutions("msrresnet").values())


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(3)
    first = convolutions("compact")
    torch.manual_seed(4)
    assert all(torch.equal(layer.weight, first[key].weight) for key, layer in convolutions("compact").items())


def test_scales_a_network_cannot_have_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot enlarge 3 times"):
        fresh(load_recipe("esrgan-psnr", ["network.scale=3", "data.hr_patch=96"]).network, seed=0)


def test_a_network_of_another_scale_gives_what_fits() -> None:
    notices: list[Notice] = []
    network = load_recipe("compact", ["network.scale=2"]).network
    spec, module = started("lite-x4", network, 0, lambda name, done, total: None, notices.append)
    given = load("lite-x4", lambda name, done, total: None, notices.append).tensors
    own = module.state_dict()
    assert spec.scale == 2
    different = [key for key in own if not torch.equal(own[key], given[key].float())]
    assert sorted(different) == ["body.18.bias", "body.18.weight"]
    assert "27 of 29 tensors come from it" in notices[-1].text


def test_a_network_of_another_library_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_recipe("lite-x4").network
    foreign = replace(load("lite-x4"), spec=replace(network.spec(), architecture="ATD", library="spandrel"))
    monkeypatch.setattr("upscale_cli.training.generator.load", lambda *given: foreign)
    with pytest.raises(UsageError, match="opened by spandrel, which only runs it"):
        started("atd.pth", network, 0, silent, ignore)


def test_a_conditioned_network_grows_from_a_compact_one() -> None:
    network = load_recipe("lite-x4-conditioned").network
    spec, module = started("lite-x4", network, 0, silent, ignore)
    given = load("lite-x4").tensors
    assert spec == network.spec()
    assert all(torch.equal(module.state_dict()[key], tensor.float()) for key, tensor in given.items())


@pytest.mark.parametrize("branches", [False, True])
def test_a_compact_network_grows_deeper_with_the_same_result(branches: bool) -> None:
    notices: list[Notice] = []
    network = load_recipe("lite-x4", ["network.blocks=10", f"network.branches={str(branches).lower()}"]).network
    spec, module = started("lite-x4", network, 0, silent, notices.append)
    given = load("lite-x4")
    shallow = build(given.spec, given.tensors).float()
    lr = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(2))
    assert spec.hyperparameters["convolutions"] == 10
    assert "lite-x4 has 8 convolutions and gets 2 more, which change nothing at first." in notices[-1].text
    with torch.no_grad():
        difference = (module(lr) - shallow(lr)).abs().max()
    assert float(difference) < 1e-5


def test_a_compact_network_does_not_become_shallower() -> None:
    notices: list[Notice] = []
    network = load_recipe("lite-x4", ["network.blocks=7"]).network
    spec, _ = started("lite-x4", network, 0, silent, notices.append)
    assert spec.hyperparameters["convolutions"] == 8
    assert "The network is that of lite-x4, not the recipe's" in notices[-1].text

"""SPAN: four convolutions in training, one afterwards."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.errors import WeightsError
from upscale_cli.networks import build, build_trainable, draw, recognise
from upscale_cli.networks.span import SPAN

SPEC = SPAN.examples[1]
PICTURE = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def branched() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return draw(SPEC).state_dict()


def test_the_network_that_runs_is_the_one_that_was_trained(branched: dict[str, Tensor]) -> None:
    spec, canonical = recognise(branched)
    assert spec == SPEC
    assert not any("sk" in key or ".conv." in key for key in canonical)
    assert torch.allclose(build(spec, canonical)(PICTURE), build_trainable(spec, branched)(PICTURE), atol=1e-6)


def test_the_branches_decide_and_not_a_stale_eval_conv(branched: dict[str, Tensor]) -> None:
    stale = {
        f"{base}.eval_conv.{part}": torch.zeros(6, 3 if base == "conv_1" else 6, 3, 3)
        if part == "weight"
        else torch.zeros(6)
        for base in {key.split(".sk.")[0] for key in branched if ".sk." in key}
        for part in ("weight", "bias")
    }
    _, canonical = recognise(branched | stale)
    _, expected = recognise(branched)
    assert all(torch.equal(canonical[key], expected[key]) for key in expected | canonical)
    alone = {key: tensor for key, tensor in branched.items() if ".sk." not in key and ".conv." not in key} | stale
    assert recognise(alone)[1]["conv_1.weight"].count_nonzero() == 0


def test_training_goes_on_from_folded_weights_with_living_branches(branched: dict[str, Tensor]) -> None:
    _, canonical = recognise(branched)
    network = build_trainable(SPEC, canonical)
    assert torch.allclose(network(PICTURE), build(SPEC, canonical)(PICTURE), atol=1e-5)
    F.mse_loss(network(PICTURE), torch.zeros(1, 3, 24, 20)).backward()  # type: ignore[no-untyped-call]
    gradients = {key: parameter.grad for key, parameter in network.named_parameters() if key.endswith("weight")}
    assert all(gradient is not None and bool((gradient != 0).all()) for gradient in gradients.values())


@pytest.mark.parametrize("damage", ["missing", "misshapen"])
def test_branches_that_do_not_fold_are_named(branched: dict[str, Tensor], damage: str) -> None:
    tensor = branched.pop("block_2.c1_r.conv.1.bias")
    if damage == "misshapen":
        branched["block_2.c1_r.conv.1.bias"] = tensor[1:]
    with pytest.raises(WeightsError, match=r"look like span, but the branches of block_2\.c1_r are incomplete"):
        recognise(branched)


def test_the_mean_of_rgb_pictures_is_subtracted_from_no_other() -> None:
    gray = next(spec for spec in SPAN.examples if spec.in_channels == 1)
    state = build(gray).state_dict()
    del state["no_norm"]
    with pytest.raises(WeightsError, match="subtracts the mean of RGB pictures, and 1 channels go in"):
        recognise(state)

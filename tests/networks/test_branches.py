"""Convolutions that are trained as four: the same results, folded and unfolded."""

from __future__ import annotations

import pytest
import torch

from upscale_cli.errors import WeightsError
from upscale_cli.networks import build, build_trainable, draw, recognise
from upscale_cli.networks.branches import BranchedConv
from upscale_cli.networks.compact import COMPACT

SPEC = COMPACT.examples[1]
PICTURE = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0))


def test_the_folded_convolution_is_what_the_four_compute_one_after_the_other() -> None:
    torch.manual_seed(0)
    layer = BranchedConv(3, 5)
    x = torch.rand(2, 3, 8, 9)
    inside = layer.conv(x) + layer.sk(x[:, :, 1:-1, 1:-1])
    assert torch.allclose(layer(x)[:, :, 1:-1, 1:-1], inside, atol=1e-6)


def test_compact_has_branches_only_where_they_are_asked_for() -> None:
    assert not any(isinstance(module, BranchedConv) for module in draw(SPEC).modules())
    layers = [module for module in draw(SPEC, branches=True).modules() if isinstance(module, BranchedConv)]
    assert len(layers) == SPEC.hyperparameters["convolutions"] + 1  # all but the last, which makes the pixels


def test_a_compact_network_with_branches_runs_as_one_without() -> None:
    torch.manual_seed(0)
    trained = draw(SPEC, branches=True)
    spec, canonical = recognise(trained.state_dict())
    assert spec == SPEC
    assert canonical.keys() == build(SPEC).state_dict().keys()
    assert torch.allclose(build(spec, canonical)(PICTURE), trained(PICTURE), atol=1e-5)
    for branches in (False, True):
        assert torch.allclose(build_trainable(spec, canonical, branches)(PICTURE), trained(PICTURE), atol=1e-5)


def test_branches_of_a_compact_network_that_do_not_fold_are_named() -> None:
    state = draw(SPEC, branches=True).state_dict()
    del state["body.2.conv.1.bias"]
    with pytest.raises(WeightsError, match=r"look like compact, but the branches of body\.2 are incomplete"):
        recognise(state)

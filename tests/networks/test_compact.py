"""Compact networks that grow deeper: the same results, at any depth and in any layout."""

from __future__ import annotations

import pytest
import torch

from upscale_cli.networks import build, draw, published, recognise
from upscale_cli.networks.compact import COMPACT, Compact, CompactSizes

PICTURE = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("had", "has"), [(0, 1), (0, 3), (1, 2), (3, 7), (3, 3)])
def test_new_convolutions_pass_on_what_they_get(had: int, has: int) -> None:
    torch.manual_seed(had)
    shallow, wanted = Compact(3, 3, 6, had, 2), CompactSizes(features=6, blocks=has).spec(2)
    spec, deeper = recognise(COMPACT.expanded(wanted, shallow.state_dict()))
    assert spec == wanted
    assert torch.allclose(build(spec, deeper)(PICTURE), shallow(PICTURE), atol=1e-5)


def test_a_network_with_branches_grows_as_well() -> None:
    torch.manual_seed(0)
    wanted = CompactSizes(features=6, blocks=5).spec(2)
    trained = draw(CompactSizes(features=6, blocks=3).spec(2), branches=True)
    spec, deeper = recognise(COMPACT.expanded(wanted, trained.state_dict()))
    assert spec == wanted
    assert torch.allclose(build(spec, deeper)(PICTURE), trained(PICTURE), atol=1e-5)


@pytest.mark.parametrize(("had", "has", "last"), [(1, 2, 12), (3, 4, 14), (2, 5, 12)])
def test_a_narrow_end_changes_nothing_at_first(had: int, has: int, last: int) -> None:
    torch.manual_seed(had)
    former, wanted = Compact(3, 3, 16, had, 2), CompactSizes(features=16, blocks=has, last_features=last).spec(2)
    spec, narrow = recognise(COMPACT.expanded(wanted, former.state_dict()))
    assert spec == wanted
    assert torch.allclose(build(spec, narrow)(PICTURE), former(PICTURE), atol=1e-5)
    assert torch.allclose(build(*recognise(COMPACT.expanded(wanted, narrow)))(PICTURE), former(PICTURE), atol=1e-5)


def test_the_published_layout_is_filled_with_zeros_that_are_not_computed() -> None:
    torch.manual_seed(0)
    spec = CompactSizes(features=16, blocks=3, last_features=12).spec(2)
    own = build(spec).state_dict()
    filled = published(spec, own)
    assert filled["body.6.weight"].shape == (16, 16, 3, 3)
    assert torch.allclose(_as_the_published_network(filled)(PICTURE), build(spec, own)(PICTURE), atol=1e-6)
    again, tensors = recognise(filled)
    assert again == spec
    assert all(torch.equal(tensor, own[key]) for key, tensor in tensors.items())


def test_a_network_of_zeros_keeps_its_shape() -> None:
    spec = CompactSizes(features=6, blocks=2).spec(2)
    zeros = {key: torch.zeros_like(tensor) for key, tensor in build(spec).state_dict().items()}
    assert recognise(zeros)[0] == spec


def test_more_last_features_than_others_are_refused() -> None:
    with pytest.raises(ValueError, match="last_features = 7, more than its features"):
        CompactSizes(features=6, last_features=7).spec(2)


def _as_the_published_network(state: dict[str, torch.Tensor]) -> Compact:
    network = Compact(3, 3, 16, 3, 2)
    network.load_state_dict(state)
    return network

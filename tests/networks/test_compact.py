"""Compact networks that grow deeper: the same results, at any depth and in any layout."""

from __future__ import annotations

import pytest
import torch

from upscale_cli.networks import build, draw, recognise
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

"""Conditioned networks: one for all strengths of compression and noise, a plain compact one for each picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from upscale_cli.networks import build, build_trainable, folded, named, recognise, spec
from upscale_cli.networks.conditioned import Conditioned, conditions

SPEC = spec("conditioned", 2, {"features": 5, "blocks": 2})
COMPACT = spec("compact", 2, {"features": 5, "blocks": 2})


def trained() -> dict[str, Tensor]:
    """Return the tensors of a network whose conditions matter."""
    torch.manual_seed(3)
    module = named("conditioned").module(SPEC)
    return {key: tensor.detach() for key, tensor in module.state_dict().items()}


@given(quality=st.none() | st.floats(1, 100), noise=st.floats(0, 50))
def test_folded_it_makes_what_it_makes_when_told(quality: float | None, noise: float) -> None:
    state, told = trained(), conditions(quality, noise)
    picture = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    module = build(SPEC, state)
    assert isinstance(module, Conditioned)
    plain_spec, plain = folded(SPEC, state, told)
    assert plain_spec == COMPACT
    with torch.no_grad():
        torch.testing.assert_close(
            build(plain_spec, plain)(picture), module(picture, torch.tensor([told] * 2)), atol=1e-5, rtol=1e-5
        )


def test_without_conditions_it_is_the_network_for_clean_pictures() -> None:
    state = trained()
    picture = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    clean = build(*folded(SPEC, state, conditions()))
    torch.testing.assert_close(build(SPEC, state)(picture), clean(picture), atol=1e-5, rtol=1e-5)


def test_a_compact_network_grows_into_one_that_takes_no_notice_of_conditions_yet() -> None:
    torch.manual_seed(5)
    compact = build(COMPACT)
    grown = named("conditioned").expanded(compact.state_dict())
    assert recognise(grown)[0] == SPEC
    picture = torch.rand(1, 3, 6, 7)
    told = build_trainable(SPEC, grown)(picture, torch.tensor([conditions(30, 20)]))
    torch.testing.assert_close(told, compact(picture))


@given(st.floats(1, 99), st.floats(0.1, 1))
def test_the_stronger_the_compression_the_larger_its_condition(quality: float, more: float) -> None:
    assert conditions(quality)[0] > conditions(quality + more)[0] >= conditions(100)[0] == conditions()[0] == 0
    assert conditions(50)[0] == pytest.approx(1)


def test_networks_of_other_architectures_do_not_grow() -> None:
    state = build(named("rrdbnet").examples[0]).state_dict()
    assert named("conditioned").expanded(state).keys() == state.keys()

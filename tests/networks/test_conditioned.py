"""Conditioned networks: one for all strengths of compression and noise, a plain compact one for each picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from upscale_cli.networks import NetworkSpec, build, build_trainable, folded, named, recognise, spec
from upscale_cli.networks.conditioned import BICUBIC, Conditioned, conditions

SPEC = spec("conditioned", 2, {"features": 5, "blocks": 2})
BLURRED = spec("conditioned", 2, {"features": 5, "blocks": 2, "blur": True})
COMPACT = spec("compact", 2, {"features": 5, "blocks": 2})


def trained(spec: NetworkSpec = SPEC) -> dict[str, Tensor]:
    """Return the tensors of a network whose conditions matter."""
    torch.manual_seed(3)
    module = named("conditioned").module(spec)
    return {key: tensor.detach() for key, tensor in module.state_dict().items()}


@pytest.mark.parametrize("spec", [SPEC, BLURRED])
@given(quality=st.none() | st.floats(1, 100), noise=st.floats(0, 50), blur=st.floats(0.05, 2))
def test_folded_it_makes_what_it_makes_when_given_conditions(
    spec: NetworkSpec, quality: float | None, noise: float, blur: float
) -> None:
    state, conditions_ = trained(spec), conditions(quality, noise, (blur, 0.02, 2 * blur))
    picture = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    module = build(spec, state)
    assert isinstance(module, Conditioned)
    plain_spec, plain = folded(spec, state, conditions_)
    assert plain_spec == COMPACT
    with torch.no_grad():
        torch.testing.assert_close(
            build(plain_spec, plain)(picture), module(picture, torch.tensor([conditions_] * 2)), atol=1e-5, rtol=1e-5
        )


def test_only_a_network_that_is_given_the_blur_heeds_it() -> None:
    picture = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    for network, heeds in ((SPEC, False), (BLURRED, True)):
        state = trained(network)
        sharp, blurred = (
            build(*folded(network, state, conditions(blur=blur)))(picture) for blur in (BICUBIC, (1.0, 0.3, 0.5))
        )
        assert torch.equal(sharp, blurred) is not heeds


def test_a_network_grows_into_one_that_takes_no_notice_of_blur_yet() -> None:
    grown = named("conditioned").expanded(BLURRED, trained())
    assert recognise(grown)[0] == BLURRED
    picture, given_ = torch.rand(1, 3, 6, 7), torch.tensor([conditions(30, 20, (1.0, 0.2, 0.5))])
    torch.testing.assert_close(build(BLURRED, grown)(picture, given_), build(SPEC, trained())(picture, given_))


def test_without_conditions_it_is_the_network_for_clean_pictures() -> None:
    state = trained()
    picture = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    clean = build(*folded(SPEC, state, conditions()))
    torch.testing.assert_close(build(SPEC, state)(picture), clean(picture), atol=1e-5, rtol=1e-5)


def test_a_compact_network_grows_into_one_that_takes_no_notice_of_conditions_yet() -> None:
    torch.manual_seed(5)
    compact = build(COMPACT)
    grown = named("conditioned").expanded(SPEC, compact.state_dict())
    assert recognise(grown)[0] == SPEC
    picture = torch.rand(1, 3, 6, 7)
    enlarged = build_trainable(SPEC, grown)(picture, torch.tensor([conditions(30, 20)]))
    torch.testing.assert_close(enlarged, compact(picture))


@given(st.floats(1, 99), st.floats(0.1, 1))
def test_the_stronger_the_compression_the_larger_its_condition(quality: float, more: float) -> None:
    assert conditions(quality)[0] > conditions(quality + more)[0] >= conditions(100)[0] == conditions()[0] == 0
    assert conditions(50)[0] == pytest.approx(1)


def test_networks_of_other_architectures_do_not_grow() -> None:
    state = build(named("rrdbnet").examples[0]).state_dict()
    assert named("conditioned").expanded(SPEC, state).keys() == state.keys()

"""Mixing networks tensor by tensor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import UsageError, WeightsError
from upscale_cli.networks import build
from upscale_cli.networks.compact import CompactSizes, with_narrow_end
from upscale_cli.weights.load import LoadedWeights, load
from upscale_cli.weights.mixture import mix, mixed


def interpolate(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    return mix([a, b], [1 - alpha, alpha])


A = {"w": torch.tensor([1.0, 2.0]), "steps": torch.tensor(7)}
B = {"w": torch.tensor([3.0, -2.0]), "steps": torch.tensor(9)}


@given(st.floats(-1, 2))
def test_every_value_lies_on_the_line_between_the_two(alpha: float) -> None:
    mixed = interpolate(A, B, alpha)["w"]
    assert torch.allclose(mixed, (1 - alpha) * A["w"] + alpha * B["w"])


def test_the_ends_are_the_networks_themselves_byte_for_byte() -> None:
    a, b = {"w": torch.rand(5).half()}, {"w": torch.rand(5).half()}
    assert interpolate(a, b, 0)["w"] is a["w"]
    assert interpolate(a, b, 1)["w"] is b["w"]


def test_counters_are_kept() -> None:
    assert interpolate(A, B, 0.5)["steps"].item() == 7


def test_half_precision_is_mixed_in_fp32() -> None:
    mixed = interpolate({"w": torch.tensor([1.0]).half()}, {"w": torch.tensor([1.001]).half()}, 0.3)["w"]
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(0.7 + 0.3 * torch.tensor(1.001).half().item(), abs=1e-7)


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"w": torch.zeros(3), "steps": torch.tensor(1)}, r"tensor w is \(2,\) in one and \(3,\) in the other"),
        ({"w": torch.zeros(2)}, r"tensor steps is \(\) in one and missing in the other"),
        (B | {"x": torch.zeros(1)}, r"tensor x is missing in one and \(1,\) in the other"),
    ],
)
def test_networks_that_differ_are_refused_with_the_first_difference(
    other: dict[str, torch.Tensor], complaint: str
) -> None:
    with pytest.raises(WeightsError, match=complaint):
        interpolate(A, other, 0.5)


@pytest.mark.parametrize("shares", [[0.5, 0.6], [float("nan"), 0.5], [float("inf"), float("-inf")]])
def test_shares_that_do_not_sum_to_one_are_refused(network: str, shares: list[float]) -> None:
    weights = load(network)
    with pytest.raises(UsageError, match="The shares sum to"):
        mixed([weights, weights], shares)


def test_a_network_that_lacks_only_the_narrow_end_of_another_gets_one() -> None:
    plain, narrow = (load_drawn(CompactSizes(features=16, blocks=n, last_features=k)) for n, k in ((2, None), (3, 12)))
    start = with_narrow_end(plain.tensors, 12)
    mixture = mixed([plain, narrow], [0.75, 0.25])
    assert mixture.spec == narrow.spec
    for key, tensor in mixture.tensors.items():
        assert torch.allclose(tensor, 0.75 * start[key] + 0.25 * narrow.tensors[key])


@pytest.mark.parametrize(("blocks", "last"), [(1, 12), (3, 12), (3, 13)])
def test_networks_of_other_depths_are_still_refused(blocks: int, last: int) -> None:
    other = load_drawn(CompactSizes(features=16, blocks=blocks, last_features=None if last == 12 else last))
    with pytest.raises(WeightsError, match="cannot be mixed"):
        mixed([other, load_drawn(CompactSizes(features=16, blocks=3, last_features=12))], [0.5, 0.5])


def load_drawn(sizes: CompactSizes) -> LoadedWeights:
    spec = sizes.spec(2)
    torch.manual_seed(0)
    return LoadedWeights("net", spec, build(spec).state_dict(), {}, Path(__file__))  # facts hold a file's sha256

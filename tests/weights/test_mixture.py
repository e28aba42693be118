"""Mixing networks tensor by tensor."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import UsageError, WeightsError
from upscale_cli.weights.load import load
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

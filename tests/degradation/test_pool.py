"""The pair pool: nothing is lost or doubled, pairs stay together, and a restored pool continues as the first."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.degradation.pool import PairPool


def pairs(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs that carry their own number, in levels."""
    number = torch.arange(first, first + count).float().view(-1, 1, 1, 1) / 255
    return number.expand(-1, 3, 2, 2), number.expand(-1, 3, 8, 8)


def numbers(images: torch.Tensor) -> list[int]:
    levels = images if images.dtype == torch.uint8 else (images * 255).round()
    assert torch.equal(levels, levels[:, :1, :1, :1].expand_as(levels))
    return [int(level) for level in levels[:, 0, 0, 0]]


@given(st.integers(0, 20), st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_no_pair_is_lost_doubled_or_torn_apart(size: int, batches: list[int]) -> None:
    pool, first = PairPool(size), 0
    for step, count in enumerate(batches):
        held = numbers(pool.state_dict()["lr"]) if pool.state_dict() else []
        lr, hr = pool.exchange(*pairs(first, count), seed=[0, step])
        assert numbers(lr) == numbers(hr)
        assert lr.shape[0] == count
        after = pool.state_dict()
        kept = numbers(after["lr"]) if after else []
        assert kept == (numbers(after["hr"]) if after else [])
        new = list(range(first, first + count))
        stored = min(size - len(held), count)
        assert numbers(lr)[:stored] == new[:stored]
        assert sorted(kept + numbers(lr)[stored:]) == sorted(held + new)
        first += count
    assert len(pool) == min(size, first)


def test_a_full_pool_gives_back_older_pairs_at_random() -> None:
    pool = PairPool(30)
    for step in range(10):
        pool.exchange(*pairs(3 * step, 3), seed=[step])
    lr, _ = pool.exchange(*pairs(100, 20), seed=[99])
    assert max(numbers(lr)) < 30
    assert numbers(lr) != sorted(numbers(lr))
    assert set(range(100, 120)) <= set(numbers(pool.state_dict()["lr"]))


def test_every_place_is_drawn_equally_often() -> None:
    hits = torch.zeros(10)
    for seed in range(2000):
        pool = PairPool(10)
        pool.exchange(*pairs(0, 10), seed=[seed])
        lr, _ = pool.exchange(*pairs(20, 2), seed=[seed])
        hits[numbers(lr)] += 1
    assert (hits - 400).abs().max() < 5 * (2000 * 0.2 * 0.8) ** 0.5


def test_a_restored_pool_continues_as_the_first() -> None:
    pool = PairPool(7)
    for step in range(5):
        pool.exchange(*pairs(4 * step, 4), seed=[step])
    restored = PairPool(7)
    restored.load_state_dict(pool.state_dict())
    for step in range(5, 9):
        results = [one.exchange(*pairs(4 * step, 4), seed=[step]) for one in (pool, restored)]
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])


def test_the_state_is_a_copy_in_eight_bits() -> None:
    pool = PairPool(4)
    pool.exchange(*pairs(0, 4), seed=[0])
    state = pool.state_dict()
    pool.exchange(*pairs(9, 4), seed=[1])
    assert numbers(state["lr"]) == [0, 1, 2, 3]
    assert state["hr"].dtype == torch.uint8


def test_a_state_that_does_not_fit_is_refused() -> None:
    pool = PairPool(4)
    pool.exchange(*pairs(0, 4), seed=[0])
    with pytest.raises(ValueError, match="4 pairs do not fit"):
        PairPool(3).load_state_dict(pool.state_dict())
    with pytest.raises(ValueError, match="-1 pairs"):
        PairPool(-1)
    emptied = PairPool(4)
    emptied.load_state_dict(pool.state_dict())
    emptied.load_state_dict({})
    assert len(emptied) == 0

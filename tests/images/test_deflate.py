"""zlib streams from several threads."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.images import deflate

LONG = bytes(range(251)) * 400  # longer than zlib's window, and repeated beyond the ends of blocks


@given(st.lists(st.binary(max_size=80) | st.just(LONG), max_size=6), st.integers(1, 4))
def test_a_stream_holds_its_blocks_whatever_threads_make_it(blocks: list[bytes], threads: int) -> None:
    parts = b"".join(deflate.stream(map(memoryview, blocks), threads))
    assert zlib.decompress(parts) == b"".join(blocks)
    assert parts == b"".join(deflate.stream(map(memoryview, blocks), 1))


def test_a_block_refers_to_the_one_before() -> None:
    noise = np.random.default_rng(0).bytes(20_000)
    once, twice = (len(b"".join(deflate.stream([memoryview(noise)] * count))) for count in (1, 2))
    assert once > 20_000
    assert twice < once + 1000


def test_items_are_taken_as_they_are_needed_and_results_come_in_order() -> None:
    taken, used = 0, set()

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    def slow(number: int) -> int:
        used.add(threading.get_ident())
        time.sleep(0.01 if number % 2 else 0.001)
        return number

    for number, result in enumerate(deflate.in_order(slow, items(), 3)):
        assert result == number
        assert taken <= number + 4
    assert len(used) == 3


def test_a_failure_ends_it() -> None:
    def failing(number: int) -> int:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        list(deflate.in_order(failing, range(5), 2))

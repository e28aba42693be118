"""No weights file, however hostile, runs code, crashes, stalls, fills the memory or ends in a traceback."""

from __future__ import annotations

import fuzz_weights


def test_two_hundred_hostile_weights_files_are_answered_in_a_sentence() -> None:
    assert fuzz_weights.faults(0, 200) == []


def test_an_input_that_is_not_answered_is_reported() -> None:
    """The check can fail: a network with thousands of tensors is not opened in a millisecond."""
    (result,) = fuzz_weights.results(11, 12, seconds=0.001)
    assert (result.mutation, result.outcome[:11]) == ("thousands_of_keys", "died with 1")

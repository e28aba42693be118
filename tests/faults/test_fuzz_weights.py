"""No weights file, however hostile, runs code, crashes, stalls, fills the memory or ends in a traceback."""

from __future__ import annotations

from fuzz_weights import SOAK


def test_two_hundred_hostile_weights_files_are_answered_in_a_sentence() -> None:
    assert [result for result in SOAK.results(0, 200) if SOAK.is_fault(result)] == []


def test_an_input_that_is_not_answered_is_reported() -> None:
    """The check can fail: a network with thousands of tensors is not opened in a millisecond."""
    (result,) = SOAK.results(11, 12, seconds=0.001)
    assert (result.kind, result.outcome[:9]) == ("thousands_of_keys", "died with")

"""No picture, however hostile, crashes, stalls, fills the memory or ends in a traceback."""

from __future__ import annotations

from fuzz_pictures import SOAK


def test_three_hundred_hostile_pictures_are_answered_in_a_sentence() -> None:
    results = list(SOAK.results(0, 300))
    assert [result for result in results if SOAK.is_fault(result)] == []
    assert {result.outcome.split(":")[0] for result in results} >= {"read", "refused"}


def test_an_input_that_is_not_answered_is_reported() -> None:
    """The check can fail: none is read in a millisecond."""
    (result,) = SOAK.results(49, 50, seconds=0.001)
    assert (result.kind, result.outcome[:9]) == ("frames of GIF", "died with")

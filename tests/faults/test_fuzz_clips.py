"""No clip, however hostile, crashes, stalls, fills the memory or ends in a traceback."""

from __future__ import annotations

from fuzz_clips import SOAK


def test_a_hundred_hostile_clips_are_enlarged_or_answered_in_a_sentence() -> None:
    results = list(SOAK.results(0, 100))
    assert [result for result in results if SOAK.is_fault(result)] == []
    outcomes = [result.outcome.split(":")[0] for result in results]
    assert min(outcomes.count("enlarged"), outcomes.count("refused")) > 20

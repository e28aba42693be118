"""No weights file, however hostile, runs code, crashes, stalls, fills the memory or ends in a traceback."""

from __future__ import annotations

import pytest
from fuzz_weights import SOAK
from soak import Result


def test_five_hundred_hostile_weights_files_are_answered_in_a_sentence() -> None:
    assert [result for result in SOAK.results(0, 500) if SOAK.is_fault(result)] == []


@pytest.mark.parametrize(
    ("outcome", "seconds", "megabytes", "fault"),
    [
        ("enlarged", 1, 500, False),
        ("enlarged", 6, 500, True),
        ("refused: it is damaged", 1, 1600, True),
        ("died with -11: ", 0, 0, True),
    ],
)
def test_what_dies_or_takes_too_much_is_a_fault(outcome: str, seconds: float, megabytes: float, fault: bool) -> None:
    assert SOAK.is_fault(Result(0, "flipped", outcome, seconds, megabytes)) == fault

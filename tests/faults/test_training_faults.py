"""A few of the faults that ``kill_training.py`` and ``fuzz_recipes.py`` try in numbers."""

from __future__ import annotations

import os
from pathlib import Path

import fuzz_recipes
import pytest
from kill_training import differences


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_run_that_is_killed_and_resumed_trains_the_same_network(tmp_path: Path) -> None:
    assert differences(2, tmp_path) == []


def test_hostile_recipes_are_refused_in_a_sentence() -> None:
    assert fuzz_recipes.faults(0, 200) == []

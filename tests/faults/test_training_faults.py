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


def test_an_error_that_is_no_refusal_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("base")

    monkeypatch.setattr(fuzz_recipes, "load_recipe", broken)
    assert fuzz_recipes.outcome(0, tmp_path, tmp_path).startswith("fault: Traceback")


def test_hostile_recipes_are_refused_in_a_sentence() -> None:
    assert fuzz_recipes.faults(0, 200) == []

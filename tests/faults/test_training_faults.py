"""A few of the faults that ``kill_training.py`` tries in numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kill_training import differences


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_run_that_is_killed_and_resumed_trains_the_same_network(tmp_path: Path) -> None:
    assert differences(2, tmp_path) == []

"""Files in the layouts of the wild: each is claimed by the architecture it is named after, and by no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale_cli.networks import ARCHITECTURES
from upscale_cli.weights.state_dict import open_state

pytestmark = pytest.mark.shared


def test_detectors_exclude_each_other_over_all_goldens(shared: Path) -> None:
    files = sorted((shared / "golden").rglob("*.pth"))
    assert len(files) > 20
    for file in files:
        state = open_state(file).tensors
        claiming = [a.name for a in ARCHITECTURES if a.detect(a.canonical(state))]
        named = file.stem.split("_")[0].replace("rrdb", "rrdbnet")
        assert claiming == ([named] if named in {a.name for a in ARCHITECTURES} else []), file

"""Files in the layouts of the wild: each is claimed by the architecture it is named after, and by no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale_cli.networks import ARCHITECTURES, published, recognise
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


NATIVE = ("dat_light_x2", "dat_x4", "hat_x4", "span_x2_norm", "span_x4", "swinir_x2_lightweight", "swinir_x4_real")


@pytest.mark.parametrize("name", [*NATIVE, "mosr_x4_dys", "plksr_x4", "rcan_x4", "realplksr_x2_dysample"])
def test_what_is_written_for_other_programs_has_the_tensors_of_the_file(name: str, shared: Path) -> None:
    state = open_state(shared / "golden" / "architectures" / f"{name}.pth").tensors
    written = published(*recognise(state))
    assert written.keys() == state.keys()
    for key, tensor in written.items():
        if "mask" not in key:  # as large as the pictures that it was trained with
            assert tensor.shape == state[key].shape, key
            assert name.startswith("span") or tensor.equal(state[key]), key  # one convolution has many branches

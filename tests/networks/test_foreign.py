"""Networks of no file of ours: through the extra ``spandrel``, or refused with its name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from terminal import Terminal
from torch import Tensor, nn

from upscale_cli.errors import WeightsError
from upscale_cli.images.read import read_picture
from upscale_cli.networks import build, foreign, recognise
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.notices import Notice
from upscale_cli.upscaling.runner import NetworkRunner
from upscale_cli.weights.state_dict import open_state, save_state

STATE = {"strange.weight": torch.ones(3)}
CPU = torch.device("cpu")


def describe(**facts: Any) -> SimpleNamespace:
    """A description as spandrel gives it, of a network that enlarges nothing."""
    known = {
        "model": nn.Identity(),
        "architecture": SimpleNamespace(id="Fake", name="Fake"),
        "purpose": "SR",
        "scale": 1,
        "input_channels": 3,
        "output_channels": 3,
        "tags": ["small"],
        "supports_half": False,
        "supports_bfloat16": False,
        "size_requirements": SimpleNamespace(minimum=16, multiple_of=48),
    }
    return SimpleNamespace(**known | facts)


def pretend(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Install a library that answers any state dict with ``answer``, or raises it."""

    class Unsupported(Exception):
        pass

    def load(_: Any, state: dict[str, Tensor]) -> Any:
        if answer is None:
            raise Unsupported
        if isinstance(answer, Exception):
            raise answer
        return answer

    library = SimpleNamespace(
        ModelLoader=type("ModelLoader", (), {"load_from_state_dict": load}), UnsupportedModelError=Unsupported
    )
    monkeypatch.setitem(sys.modules, "spandrel", library)
    monkeypatch.setattr(foreign, "installed", lambda: True)


def test_without_the_extra_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    monkeypatch.setattr(foreign, "installed", lambda: False)
    save_state(Path("strange.pth"), STATE, {})
    said = terminal("models", "info", "strange.pth")
    assert said.code != 0
    assert "of no known network (first keys: strange.weight)" in said.err
    assert "pip install 'upscale-cli[spandrel]'" in said.err


def test_what_the_library_knows_becomes_a_network_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, describe(supports_bfloat16=True))
    spec, tensors = recognise(STATE)
    assert (spec.architecture, spec.scale, spec.library) == ("fake", 1, "spandrel")
    assert (spec.size_multiple, spec.any_size, spec.tile_halo, spec.half_types) == (192, True, 64, ("bf16",))
    assert list(tensors) == list(STATE)


def test_what_the_library_does_not_know_is_refused_with_all_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, None)
    with pytest.raises(WeightsError, match="of no known network") as caught:
        recognise(STATE)
    assert "hat, and those of spandrel" in caught.value.hint


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"purpose": "FaceSR"}, "The weights are Fake, which restores faces only"),
        ({"purpose": "Inpainting"}, "which takes a mask beside the picture"),
        ({"purpose": "Segmentation"}, "which is for Segmentation"),
        ({"input_channels": 6}, "which takes 6 channels and returns 3"),
        ({"output_channels": 1}, "which takes 3 channels and returns 1"),
    ],
)
def test_networks_that_do_not_turn_a_picture_into_a_picture_are_refused(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], sentence: str
) -> None:
    pretend(monkeypatch, describe(**facts))
    with pytest.raises(WeightsError, match=sentence):
        recognise(STATE)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (RuntimeError('Error(s) in loading:\n\tMissing key(s) in state_dict: "a". '), 'Missing .*: "a"\\)'),
        (KeyError("conv.weight"), "'conv.weight'"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_damaged_weights_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, fault: str) -> None:
    pretend(monkeypatch, error)
    with pytest.raises(WeightsError, match=rf"fit no network \(spandrel: {fault}") as caught:
        recognise(STATE)
    assert "\n" not in caught.value.message


def test_a_torchvision_of_another_build_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "installed", lambda: True)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(WeightsError, match="cannot be imported") as caught:
        recognise(STATE)
    assert "torchvision of the same build" in caught.value.hint


def test_a_network_without_half_precision_runs_in_fp32_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.device.dtype", lambda device, precision: torch.bfloat16)
    spec = NetworkSpec("fake", 1, 3, 3, receptive_radius=0, half_types=("fp16",), library="spandrel")
    notices: list[Notice] = []
    runner = NetworkRunner(nn.Conv2d(3, 3, 1), spec, devices_used=[CPU], precision="half", notify=notices.append)
    assert runner.precision == "fp32"
    assert [notice.text for notice in notices] == ["The network fake does not support bf16: running in fp32."]


def levels(path: Path) -> NDArray[np.int64]:
    return read_picture(path).color.astype(np.int64)


@pytest.mark.shared
@pytest.mark.parametrize("tile", ["0", "64"])
@pytest.mark.parametrize("name", ["atd_x2", "omnisr_x2", "hat_x4"])
def test_a_golden_comes_out_through_the_command_line(
    name: str, tile: str, shared: Path, spandrel: Any, terminal: Terminal
) -> None:
    weights = shared / "golden" / "architectures" / f"{name}.pth"
    said = terminal(str(shared / "golden" / "small.png"), "-m", str(weights), "--tile", tile, "-o", "out.png")
    assert said.code == 0, said.err
    assert np.abs(levels(Path("out.png")) - levels(weights.with_name(f"small_{name}.png"))).max() <= 1


@pytest.mark.shared
def test_information_on_a_foreign_network_names_its_library(shared: Path, spandrel: Any, terminal: Terminal) -> None:
    said = terminal("models", "info", str(shared / "golden" / "architectures" / "atd_x2.pth"))
    assert "atd, x2, 3 to 3 channels, opened by spandrel" in said.out
    assert "half precision     bf16" in said.out


@pytest.mark.shared
def test_a_foreign_network_takes_pictures_smaller_than_its_window(shared: Path, spandrel: Any) -> None:
    spec, tensors = recognise(open_state(shared / "golden" / "architectures" / "omnisr_x2.pth").tensors)
    runner = NetworkRunner(build(spec, tensors), spec, devices_used=[CPU])
    for height, width in [(1, 1), (3, 70), (5, 16)]:
        assert runner.run(np.full((height, width, 3), 99, np.uint8)).shape == (2 * height, 2 * width, 3)


@pytest.mark.shared
def test_a_foreign_network_with_a_tensor_missing_or_too_many_is_refused(shared: Path, spandrel: Any) -> None:
    state = open_state(shared / "golden" / "architectures" / "atd_x2.pth").tensors
    without = {key: tensor for key, tensor in state.items() if key != "upsample.0.bias"}
    for damaged in (without, state | {"extra.weight": torch.zeros(1)}, state | {"upsample.0.bias": torch.zeros(7)}):
        with pytest.raises(WeightsError, match=r"fit no network \(spandrel: "):
            recognise(damaged)

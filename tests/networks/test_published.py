"""Files for other programs: spandrel opens what we write, and gives the same picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from terminal import Terminal
from test_networks import EXAMPLES, each_example, name_of, side_for, state_of

from upscale_cli.networks import build, published, recognise
from upscale_cli.networks.architecture import NetworkSpec
from upscale_cli.weights.state_dict import open_state, save_state

# Sizes that spandrel takes for granted.
FIXED = {"growth": 32, "tail_features": 64}
UNKNOWN = ("srresnet", "msrresnet", "enhancenet", "edsr", "conditioned")


def is_beyond_spandrel(spec: NetworkSpec) -> bool:
    """Return whether spandrel 0.4 has no such network: RCAN at x1 is always unshuffled, PLKSR always RGB."""
    sizes = spec.hyperparameters
    gray_plksr = spec.architecture in ("plksr", "realplksr") and spec.in_channels == 1
    return spec.architecture in UNKNOWN or gray_plksr or (spec.architecture == "rcan" and sizes["factors"] == ())


def is_taken_for_another(spec: NetworkSpec) -> bool:
    """Return whether spandrel runs the network in another range: that of RCAN is 255 for it, whatever the means say."""
    return spec.architecture == "rcan" and spec.hyperparameters["value_range"] == 1


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("spec", [s for s in EXAMPLES if not is_taken_for_another(s)], ids=name_of)
def test_spandrel_opens_what_is_written_and_gives_the_same_picture(spec: NetworkSpec, spandrel: Any) -> None:
    sizes = {key: FIXED.get(key, value) for key, value in spec.hyperparameters.items()}
    spec = spec if spec.architecture == "hat" else replace(spec, hyperparameters=sizes)
    state = state_of(spec)
    if is_beyond_spandrel(spec):
        with pytest.raises((spandrel.UnsupportedModelError, RuntimeError)):
            spandrel.ModelLoader().load_from_state_dict(published(spec, state))
        return
    theirs = spandrel.ModelLoader().load_from_state_dict(published(spec, state))
    side = 2 * side_for(spec)
    picture = torch.rand(1, spec.in_channels, side, side, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        ours = build(spec, state)(picture)
    assert torch.allclose(theirs(picture), ours.clamp(0, 1), atol=1e-5)


@each_example
def test_what_is_written_is_read_back(spec: NetworkSpec) -> None:
    state = state_of(spec)
    recognised, tensors = recognise(published(spec, state))
    assert recognised == spec
    assert tensors.keys() == state.keys()
    assert all(torch.allclose(tensors[key], state[key], atol=1e-6) for key in state)


@pytest.mark.parametrize(("name", "extra"), [("a.pth", True), ("a.safetensors", False)])
def test_only_a_pth_file_holds_what_follows_from_the_sizes(name: str, extra: bool, terminal: Terminal) -> None:
    spec = next(spec for spec in EXAMPLES if spec.architecture == "swinir")
    save_state(Path("own.safetensors"), state_of(spec), {})
    said = terminal("models", "convert", "own.safetensors", "--half", "-o", name)
    assert said.code == 0, said.err
    assert any(key.endswith("relative_position_index") for key in open_state(Path(name)).tensors) == extra
    assert terminal("models", "info", name).code == 0

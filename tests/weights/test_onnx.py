"""ONNX files give what PyTorch gives, for every size of picture, and say what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from upscale_cli import networks
from upscale_cli.errors import UpscaleError, UsageError, WeightsError
from upscale_cli.networks import NetworkSpec
from upscale_cli.weights import onnx_export
from upscale_cli.weights.load import LoadedWeights, load
from upscale_cli.weights.onnx_export import INEXPRESSIBLE, INPUT, save_onnx, smallest_side
from upscale_cli.weights.resolve import built
from upscale_cli.weights.state_dict import save_state

onnxruntime: Any = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

EXAMPLES = [
    spec
    for architecture in networks.ARCHITECTURES
    if architecture.name not in INEXPRESSIBLE
    for spec in (architecture.examples[1], architecture.examples[-1])
]


def saved(spec: NetworkSpec, folder: Path) -> Path:
    """Return a weights file of a network with drawn weights."""
    torch.manual_seed(0)
    path = folder / "drawn.safetensors"
    save_state(path, networks.build(spec).state_dict(), {})
    return path


def largest_difference(path: Path, weights: Path, sizes: list[tuple[int, int]]) -> float:
    """Return by how many levels of 255 the ONNX file and PyTorch in fp32 differ."""
    session = onnxruntime.InferenceSession(path)
    half = session.get_inputs()[0].type == "tensor(float16)"
    network = built(load(weights))
    differences = []
    for height, width in sizes:
        lr = torch.rand(1, network.spec.in_channels, height, width).half().float()
        (result,) = session.run(None, {INPUT: (lr.half() if half else lr).numpy()})
        with torch.inference_mode():
            expected = network.module(lr).numpy()
        assert result.shape == expected.shape
        assert expected.std() > 0.001
        differences.append(float(np.abs(result.astype(np.float32) - expected).max()) * 255)
    return max(differences)


def named(spec: NetworkSpec) -> str:
    return f"{spec.architecture}-x{spec.scale}-{spec.in_channels}"


@pytest.mark.parametrize("spec", EXAMPLES, ids=named)
def test_an_onnx_file_gives_what_pytorch_gives_at_any_size(spec: NetworkSpec, tmp_path: Path) -> None:
    weights, path = saved(spec, tmp_path), tmp_path / "network.onnx"
    save_onnx(path, load(weights))
    least, multiple = smallest_side(spec), spec.size_multiple
    sizes = [(least + multiple, least + 4 * multiple), (least + 7 * multiple, least)]
    assert largest_difference(path, weights, sizes) < 0.1


@pytest.mark.parametrize("spec", EXAMPLES[::2], ids=named)
def test_half_precision_agrees_to_a_level(spec: NetworkSpec, tmp_path: Path) -> None:
    weights, path = saved(spec, tmp_path), tmp_path / "network.onnx"
    save_onnx(path, load(weights), half=True)
    assert 0 < largest_difference(path, weights, [(smallest_side(spec) * 4, smallest_side(spec) * 5)]) < 1


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    save_onnx(path, load("lite-x4"), half=True)
    said = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert (said["name"], said["scale"], said["licence"], said["precision"]) == ("lite-x4", "4", "MIT", "fp16")
    assert len(said["sha256"]) == 64
    assert path.stat().st_size < 2e6


def test_a_file_that_only_has_the_name_of_a_known_one_has_not_its_licence(tmp_path: Path) -> None:
    weights = saved(networks.named("compact").examples[1], tmp_path).rename(tmp_path / "lite-x4.safetensors")
    save_onnx(tmp_path / "network.onnx", load(weights))
    said = onnxruntime.InferenceSession(tmp_path / "network.onnx").get_modelmeta().custom_metadata_map
    assert said["licence"] == "none stated"


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_what_onnx_cannot_express_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    weights = load(saved(networks.named(name).examples[0], tmp_path))
    with pytest.raises(UpscaleError, match="ONNX has no"):
        save_onnx(tmp_path / "network.onnx", weights)
    assert not (tmp_path / "network.onnx").exists()


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="extra") as refused:
        save_onnx(tmp_path / "network.onnx", load("lite-x4"))
    assert "upscale-cli[onnx]" in (refused.value.hint or "")


def test_a_network_opened_by_a_library_is_not_written(tmp_path: Path) -> None:
    spec = NetworkSpec("fake", 1, 3, 3, receptive_radius=0, library="spandrel")
    weights = LoadedWeights("strange", spec, {}, {}, tmp_path / "strange.pth")
    with pytest.raises(WeightsError, match="strange is opened by spandrel"):
        save_onnx(tmp_path / "strange.onnx", weights)
    assert not list(tmp_path.iterdir())

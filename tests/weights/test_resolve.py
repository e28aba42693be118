"""From what the user typed to a network: names, ids, files, mixes, and the choice when nothing was typed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.weights import load as loading
from upscale_cli.weights.load import is_path, notices_on
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.resolve import resolve, resolve_default
from upscale_cli.weights.state_dict import save_state

TINY = NetworkSpec("compact", 2, 3, 3, 3, hyperparameters={"features": 4, "convolutions": 1})


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Files that take the place of a GAN-trained model and its partner."""
    paths = tmp_path / "psnr.pth", tmp_path / "gan.pth"
    for seed, path in enumerate(paths):
        torch.manual_seed(seed)
        save_state(path, build(TINY).state_dict(), {})
    names = {"realesrnet-x4plus": paths[0], "realesrgan-x4plus": paths[1]}
    names |= {"realesr-general-wdn-x4v3": paths[0], "realesr-general-x4v3": paths[1]}
    monkeypatch.setattr(loading, "locate", lambda record, *_: names[record.name])
    return paths


def first_weight(model: str | Path, alpha: float | None = None, denoise: float | None = None) -> torch.Tensor:
    weight: torch.Tensor = resolve(model, alpha, denoise).module.state_dict()["body.0.weight"]
    return weight


@pytest.mark.parametrize("model", ["realesrgan-x4plus", "realesrnet-x4plus"])
def test_alpha_is_the_share_of_the_gan_whichever_is_named(pair: tuple[Path, Path], model: str) -> None:
    psnr, gan = (first_weight(path) for path in pair)
    assert torch.allclose(first_weight(model, alpha=0.8), 0.2 * psnr + 0.8 * gan)
    assert torch.equal(first_weight(model, alpha=1), gan)


def test_denoise_is_the_share_of_the_strong_denoiser(pair: tuple[Path, Path]) -> None:
    weak, strong = (first_weight(path) for path in pair)
    assert torch.allclose(first_weight("realesr-general-x4v3", denoise=0.3), 0.7 * weak + 0.3 * strong)


def test_an_alpha_outside_zero_to_one_extrapolates_with_a_notice(pair: tuple[Path, Path]) -> None:
    assert "extrapolation" in resolve("realesrgan-x4plus", alpha=1.2).notices[0].text
    assert resolve("realesrgan-x4plus", alpha=0.5).notices == ()


def test_what_cannot_be_mixed_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="needs a model with a partner"):
        resolve(pair[0], alpha=0.5)
    with pytest.raises(WeightsError, match="srgan-x4 has no partner"):
        resolve("srgan-x4", alpha=0.5)
    with pytest.raises(UsageError, match="works with realesr-general-x4v3 only"):
        resolve("realesrgan-x4plus", denoise=0.5)
    with pytest.raises(UsageError, match="mix the same two networks"):
        resolve("realesr-general-x4v3", 0.5, 0.5)


def test_names_and_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_path("dir/x")
    assert is_path("x.pth")
    assert is_path(Path("x"))
    assert not is_path("realesrgan-x4plus")
    Path("realesrgan-x4plus").touch()
    assert is_path("realesrgan-x4plus")


def test_a_missing_file_and_a_network_that_enlarges_nothing_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="Cannot read the weights"):
        resolve(tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match="vgg19 is a features network"):
        resolve("vgg19")


def test_an_unknown_network_in_a_file_is_told_with_the_file(tmp_path: Path) -> None:
    save_state(tmp_path / "a.pth", {"strange.weight": torch.zeros(1)}, {})
    with pytest.raises(WeightsError, match=r"a\.pth: The weights are of no known network \(first keys: strange"):
        resolve(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("scale", "embedded", "own_scale", "best"),
    [
        (4, "lite-x4", 4, "realesrgan-x4plus"),
        (2.01, "lite-x4", 4, "realesrgan-x4plus"),
        (2, "lite-x2", 2, "realesrgan-x2plus"),
        (0.5, "lite-x2", 2, "realesrgan-x2plus"),
    ],
)
def test_the_embedded_network_goes_by_scale(scale: float, embedded: str, own_scale: int, best: str) -> None:
    network = resolve_default("cpu", scale)
    assert (network.name, network.spec.scale) == (embedded, own_scale)
    assert network.notices[0].text.startswith(f"Using the embedded network {embedded}.")
    assert best in network.notices[0].text
    fallen_back = resolve_default("cuda", scale)
    assert fallen_back.name == embedded
    assert fallen_back.notices[0].severity == "warning"
    assert fallen_back.notices[0].text.startswith(f"Using the embedded network {embedded} instead of {best}")


def test_a_model_asked_for_by_name_is_never_replaced() -> None:
    with pytest.raises(DownloadError, match="realesrgan-x4plus"):
        resolve("realesrgan-x4plus")


def test_licences_and_pins_are_told() -> None:
    manifest = load_manifest()
    assert "not for commercial use" in notices_on(manifest.find("1x-Anti-Aliasing"), fresh=False)[0].text
    pinned = manifest.find("msrgan-x4-kair")
    assert "pinned" in notices_on(pinned, fresh=True)[0].text
    assert notices_on(pinned, fresh=False) == ()


def test_without_network_the_default_mix_is_the_embedded_pair_with_a_warning() -> None:
    network = resolve_default("cpu", 4, alpha=0.25)
    assert network.notices[0].severity == "warning"
    assert network.notices[0].text.startswith("Mixing the embedded networks lite-x4 and lite-x4-restore")
    ends = [resolve(name).module.state_dict()["body.0.weight"] for name in ("lite-x4", "lite-x4-restore")]
    assert torch.allclose(network.module.state_dict()["body.0.weight"], 0.75 * ends[0] + 0.25 * ends[1], atol=1e-6)

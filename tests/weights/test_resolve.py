"""From what the user typed to a network: names, ids, files, mixes, and the choice when nothing was typed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.notices import Notice
from upscale_cli.weights import load as loading
from upscale_cli.weights.load import is_path, local_path, notices_on
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


def told(model: str | Path, alpha: float | None = None) -> list[str]:
    notices: list[Notice] = []
    resolve(model, alpha, notify=notices.append)
    return [notice.text for notice in notices]


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


@pytest.fixture
def files(pair: tuple[Path, Path], tmp_path: Path) -> Path:
    """The pair as files under the names they are published by; the strong denoiser's path."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for source, stem in zip(pair, ("realesr-general-wdn-x4v3", "realesr-general-x4v3"), strict=True):
        shutil.copy(source, folder / f"{stem}.pth")
    return folder / "realesr-general-x4v3.pth"


def test_a_file_is_mixed_with_its_partner_beside_it(pair: tuple[Path, Path], files: Path) -> None:
    weak, strong = (first_weight(path) for path in pair)
    expected = 0.7 * weak + 0.3 * strong
    assert torch.allclose(first_weight(files, denoise=0.3), expected)
    assert torch.allclose(first_weight(files, alpha=0.3), expected)
    assert torch.allclose(first_weight(files.with_stem("realesr-general-wdn-x4v3"), alpha=0.3), expected)


def test_a_file_without_its_partner_beside_it_is_told(files: Path) -> None:
    files.with_stem("realesr-general-wdn-x4v3").rename(files.with_stem("elsewhere"))
    with pytest.raises(UsageError, match=r"Put realesr-general-wdn-x4v3\.pth there"):
        resolve(files, denoise=0.5)
    with pytest.raises(UsageError, match="--denoise works with realesr-general-x4v3 only"):
        resolve(files.with_stem("elsewhere"), denoise=0.5)


@pytest.mark.parametrize("name", ["RealESRGAN_x4plus", "realesrgan_X4plus", "realesrgan-x4plus"])
def test_a_model_is_found_by_its_files_name_too(pair: tuple[Path, Path], name: str) -> None:
    assert torch.equal(first_weight(name), first_weight(pair[1]))


def test_a_missing_file_of_the_manifest_is_answered_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="-m realesrgan-x4plus downloads it"):
        resolve("RealESRGAN_x4plus.pth")


def test_an_alpha_outside_zero_to_one_extrapolates_with_a_notice(pair: tuple[Path, Path]) -> None:
    assert "extrapolation" in told("realesrgan-x4plus", alpha=1.2)[0]
    assert told("realesrgan-x4plus", alpha=0.5) == []


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


def test_an_unknown_network_in_a_file_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
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
    notices: list[Notice] = []
    network = resolve_default("cpu", scale, notify=notices.append)
    assert (network.name, network.spec.scale) == (embedded, own_scale)
    assert resolve_default("cuda", scale, notify=notices.append).name == embedded
    on_cpu, fallen_back = notices
    assert on_cpu.text.startswith(f"Using the embedded network {embedded}.")
    assert best in on_cpu.text
    assert fallen_back.severity == "warning"
    assert fallen_back.text.startswith(f"Using the embedded network {embedded} instead of {best}")


def test_a_model_asked_for_by_name_is_never_replaced() -> None:
    with pytest.raises(DownloadError, match="realesrgan-x4plus"):
        resolve("realesrgan-x4plus")


def test_licences_and_pins_are_told() -> None:
    manifest = load_manifest()
    assert "not for commercial use" in notices_on(manifest.find("1x-Anti-Aliasing"))[0].text
    pinned = manifest.find("msrgan-x4-kair")
    assert "pinned" in notices_on(pinned)[0].text
    path = local_path(pinned)
    path.parent.mkdir(parents=True)
    path.touch()
    assert notices_on(pinned) == []


def test_without_network_the_default_mix_is_the_embedded_pair_with_a_warning() -> None:
    notices: list[Notice] = []
    network = resolve_default("cpu", 4, alpha=0.25, notify=notices.append)
    assert notices[-1].severity == "warning"
    assert notices[-1].text.startswith("Mixing the embedded networks lite-x4 and lite-x4-restore")
    ends = [resolve(name).module.state_dict()["body.0.weight"] for name in ("lite-x4", "lite-x4-restore")]
    assert torch.allclose(network.module.state_dict()["body.0.weight"], 0.75 * ends[0] + 0.25 * ends[1], atol=1e-6)


def test_a_network_that_needs_an_extra_is_refused_before_its_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    monkeypatch.setattr(loading, "locate", lambda *_: pytest.fail("it was downloaded"))
    with pytest.raises(WeightsError, match=r"architecture hma, which needs an extra\. Run: pip install 'upscale-cli"):
        resolve("4x-mssim-hma-pretrains")

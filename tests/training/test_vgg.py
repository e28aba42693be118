"""Feature networks: every known layout, recognised by its keys, against plain computations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.images.read import read_picture
from upscale_cli.training.vgg import load_features
from upscale_cli.weights.progress import silent
from upscale_cli.weights.state_dict import save_state

STAGES = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
WIDTH = 4


def convolutions(kind: str) -> list[tuple[str, Tensor, Tensor]]:
    """(name as conv1_1, weight, bias) of a narrow network."""
    torch.manual_seed(2)
    names = [f"conv{s}_{n}" for s, count in enumerate(STAGES[kind], 1) for n in range(1, count + 1)]
    inner = [3] + [WIDTH] * (len(names) - 1)
    return [(n, torch.randn(WIDTH, i, 3, 3) * 0.3, torch.randn(WIDTH)) for n, i in zip(names, inner, strict=True)]


def torchvision_numbers(kind: str) -> list[int]:
    """Where torchvision's Sequential has its convolutions: a ReLU after each, a pool after each stage."""
    numbers, at = [], 0
    for count in STAGES[kind]:
        for _ in range(count):
            numbers.append(at)
            at += 2
        at += 1
    return numbers


def plain(image: Tensor, layers: list[tuple[str, Tensor, Tensor]], reflect: bool) -> dict[str, Tensor]:
    """Every layer, one after the other."""
    found: dict[str, Tensor] = {}
    x, stage = image, "1"
    for name, weight, bias in layers:
        if name[4] != stage:
            x, stage = F.max_pool2d(x, 2), name[4]
            found[f"pool{int(stage) - 1}"] = x
        x = F.pad(x, (1, 1, 1, 1), mode="reflect" if reflect else "constant")
        found[name] = F.conv2d(x, weight, bias)
        x = found[name.replace("conv", "relu")] = found[name].clamp(min=0)
    found[f"pool{stage}"] = F.max_pool2d(x, 2)
    return found


def saved(path: Path, state: dict[str, Tensor]) -> str:
    save_state(path, state, {})
    return str(path)


def require_equal(weights: str, image: Tensor, expected: dict[str, Tensor]) -> None:
    features = load_features(weights, expected, 0, silent)
    for name, values in features(image, list(expected)).items():
        assert torch.allclose(values, expected[name], rtol=1e-3, atol=1e-3), name


IMAGE = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", STAGES)
def test_torchvisions_files(kind: str, tmp_path: Path) -> None:
    layers = convolutions(kind)
    state: dict[str, Tensor] = {}
    for number, (_, weight, bias) in zip(torchvision_numbers(kind), layers, strict=True):
        state |= {f"features.{number}.weight": weight, f"features.{number}.bias": bias}
    state |= {"classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = plain((IMAGE - mean) / std, layers, reflect=False)
    require_equal(saved(tmp_path / "v.pth", state), IMAGE, expected)


def test_the_minc_trained_network_sees_bgr_less_the_mean(tmp_path: Path) -> None:
    layers = convolutions("vgg16")
    state = {f"{name}.{part}": t for name, w, b in layers for part, t in (("weight", w), ("bias", b))}
    mean = torch.tensor((103.939, 116.779, 123.68)).view(3, 1, 1) / 255
    expected = plain(IMAGE[:, [2, 1, 0]] - mean, layers, reflect=False)
    require_equal(saved(tmp_path / "minc.pth", state), IMAGE, expected)


TO_BGR = torch.tensor([[0, 0, 255.0], [0, 255, 0], [255, 0, 0]])[..., None, None]
MEANS = torch.tensor([-103.939, -116.779, -123.68])


def test_the_normalised_network_ends_where_its_file_does(tmp_path: Path) -> None:
    layers = [(n, w / 100 if n == "conv1_1" else w, b) for n, w, b in convolutions("vgg19")[:5]]
    state = {"0.weight": TO_BGR, "0.bias": MEANS}
    for number, (_, weight, bias) in zip((2, 5, 9, 12, 16), layers, strict=True):
        state |= {f"{number}.weight": weight, f"{number}.bias": bias}
    weights = saved(tmp_path / "n.pth", state)
    require_equal(weights, IMAGE, plain(F.conv2d(IMAGE, TO_BGR, MEANS), layers, reflect=True))
    with pytest.raises(UsageError, match=r"no layer conv5_4\. It has: conv1_1, relu1_1, .*relu3_1"):
        load_features(weights, ["conv5_4"], 0, silent)


def test_the_distilled_network_goes_without_its_auxiliary_layers(tmp_path: Path) -> None:
    layers = [(n, w / 100 if n == "conv1_1" else w, b) for n, w, b in convolutions("vgg19")]
    layers = [layer for layer in layers if layer[0] <= "conv5_1"]
    state = {"conv0.weight": TO_BGR, "conv0.bias": MEANS, "conv31_aux.weight": torch.randn(9, WIDTH, 1, 1)}
    for name, weight, bias in layers:
        state |= {f"{name.replace('_', '')}.weight": weight, f"{name.replace('_', '')}.bias": bias}
    expected = plain(F.conv2d(IMAGE, TO_BGR, MEANS), layers, reflect=True)
    require_equal(saved(tmp_path / "d.pth", state), IMAGE, expected)


def test_random_features_follow_from_the_seed() -> None:
    layers = ["conv2_2"]
    one, same, other = (load_features("random", layers, seed, silent)(IMAGE, layers) for seed in (1, 1, 2))
    assert torch.equal(one["conv2_2"], same["conv2_2"])
    assert not torch.equal(one["conv2_2"], other["conv2_2"])


def test_networks_that_cannot_be_loaded_are_refused(tmp_path: Path, network: str) -> None:
    with pytest.raises(DownloadError, match=r"vgg19 cannot be downloaded.*--set perceptual\.weights=FILE"):
        load_features("vgg19", ["conv5_4"], 0, silent)
    with pytest.raises(WeightsError, match="lite-x4 is a generator network"):
        load_features("lite-x4", ["conv5_4"], 0, silent)
    with pytest.raises(WeightsError, match="no known feature network"):
        load_features(network, ["conv5_4"], 0, silent)
    state = {"features.0.weight": torch.zeros(4, 3, 3, 3), "features.0.bias": torch.zeros(4)}
    with pytest.raises(WeightsError, match="incomplete"):
        load_features(saved(tmp_path / "cut.pth", state), ["conv1_1"], 0, silent)
    state = {"0.weight": TO_BGR, "0.bias": MEANS, "2.weight": torch.zeros(4, 5, 3, 3), "2.bias": torch.zeros(4)}
    with pytest.raises(WeightsError, match="incomplete"):
        load_features(saved(tmp_path / "other.pth", state), ["conv1_1"], 0, silent)


def photograph(shared: Path) -> Tensor:
    levels = read_picture(shared / "data" / "bsds400" / "100075.jpg").color
    return torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.shared
def test_the_real_network_has_normalised_activations(shared: Path) -> None:
    """It is scaled so that ReLUs put out one on average: a misread layer would put out anything else."""
    layers = ["relu1_1", "relu2_1", "relu3_1"]
    weights = shared / "weights" / "features" / "vgg19_normalised_conv3_1.pth"
    for layer, values in load_features(str(weights), layers, 0, silent)(photograph(shared), layers).items():
        assert 0.4 < float(values.mean()) < 2.5, layer


@pytest.mark.shared
def test_the_distilled_network_sees_what_the_real_one_sees(shared: Path) -> None:
    """Linear maps of its 16 first features explain nearly all of the real 64."""
    folder, layer = shared / "weights" / "features", "conv1_1"
    names = ("vgg19_normalised_conv3_1", "vgg19_distilled16x_relu5_1")
    networks = [load_features(str(folder / f"{name}.pth"), [layer], 0, silent) for name in names]
    real, distilled = (network(photograph(shared), [layer])[layer][0].flatten(1)[:, ::7].T for network in networks)
    known = torch.cat([distilled, torch.ones(len(distilled), 1)], 1)
    left = real - known @ torch.linalg.lstsq(known, real).solution
    assert float(left.var(0).sum() / real.var(0).sum()) < 0.1

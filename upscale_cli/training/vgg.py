"""Feature networks for perceptual losses: VGG16 and VGG19 from several sources, recognised by their keys.

Layers are named conv3_4 (before its ReLU), relu3_4 (after), pool3. Pictures are (N, 3, H, W), RGB in [0, 1].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.networks.architecture import StateDict
from upscale_cli.weights.load import load_tensors
from upscale_cli.weights.progress import Progress

RANDOM = "random"
VGG16, VGG19 = (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)  # convolutions per stage
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939 / 255, 116.779 / 255, 123.68 / 255)  # BGR


class Features(nn.Module):
    """A network of convolutions, ReLUs and 2×2 maxima whose layers can be looked into by name.

    ``prepare`` turns RGB in [0, 1] into what the first convolution takes.
    """

    def __init__(self, convolutions: Mapping[str, nn.Conv2d], prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, stage = nn.ModuleDict(), "1"
        for name, convolution in convolutions.items():
            if name[4] != stage:
                self.layers[f"pool{stage}"], stage = nn.MaxPool2d(2), name[4]
            self.layers[name], self.layers[name.replace("conv", "relu")] = convolution, nn.ReLU()
        self.layers[f"pool{stage}"] = nn.MaxPool2d(2)
        self._prepare = prepare

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Return the values of ``layers`` by name, computing no further than the last of them."""
        wanted = set(layers)
        found: dict[str, Tensor] = {}
        x = self._prepare(image)
        for name, layer in self.layers.items():
            x = layer(x)
            if name in wanted:
                found[name] = x
            if len(found) == len(wanted):
                break
        return found


def load_features(weights: str, layers: Iterable[str], seed: int, progress: Progress) -> Features:
    """Return the feature network of a manifest name or a file, or one of "random" weights, frozen.

    Raises UsageError for layers it does not have, and WeightsError or DownloadError where it cannot be loaded.
    """
    features = (_random(seed) if weights == RANDOM else _load(weights, progress)).eval().requires_grad_(False)
    unknown = [layer for layer in layers if layer not in features.layers]
    if unknown:
        known = ", ".join(features.layers)
        raise UsageError(f"The feature network {weights} has no layer {', '.join(unknown)}.", f"It has: {known}.")
    return features


def _load(weights: str, progress: Progress) -> Features:
    try:
        features = _recognised(load_tensors(weights, "features", progress), weights)
        features(torch.zeros(1, 3, 32, 32), features.layers)
    except DownloadError as error:
        hint = "Give a file: --set perceptual.weights=FILE (and texture.weights for textures)."
        raise DownloadError(f"The feature network {weights} cannot be downloaded: {error.message}", hint) from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"The feature network {weights} is incomplete ({error}).", "Get the file again.") from error
    return features


def _recognised(state: StateDict, name: str) -> Features:
    """Return the network of a state dict, recognised by its keys.

    Known are torchvision's VGG16 and VGG19, which take RGB normalised by ImageNet's statistics; the VGG16 trained on
    MINC, which takes BGR less the mean; the normalised VGG19 of style transfer, whose first layer takes RGB, which pads
    by reflection, and whose files may end at any layer; and its narrower student (Wang et al. 2020, Collaborative
    Distillation), whose 1×1 convolutions to the teacher's width are left out. Raises WeightsError for others,
    KeyError, ValueError or RuntimeError for incomplete ones.
    """
    prepare: Callable[[Tensor], Tensor]
    padding: Literal["zeros", "reflect"] = "zeros"
    if "features.0.weight" in state:
        numbers, prepare = _numbered(state, r"features\."), _by_imagenet
        names = _names(VGG16 if len(numbers) == sum(VGG16) else VGG19)
        keys = dict(zip(names, (f"features.{number}" for number in numbers), strict=True))
    elif "conv1_1.weight" in state:
        keys, prepare = {name: name for name in _names(VGG16)}, _as_caffe
    elif "0.weight" in state:
        first, *numbers = _numbered(state, "")
        keys = dict(zip(_names(VGG19)[: len(numbers)], map(str, numbers), strict=True))
        padding, prepare = "reflect", _convolution(state, str(first))
    elif "conv0.weight" in state:
        present = [name for name in _names(VGG19) if f"{name.replace('_', '')}.weight" in state]
        keys = {name: name.replace("_", "") for name in present}
        padding, prepare = "reflect", _convolution(state, "conv0")
    else:
        known = "torchvision's VGG16 and VGG19, the normalised VGG19, its distilled form, and the MINC-trained VGG16"
        raise WeightsError(f"{name} is no known feature network.", f"Known are {known}.")
    return Features({name: _convolution(state, key, padding) for name, key in keys.items()}, prepare)


def _names(stages: Iterable[int]) -> list[str]:
    return [f"conv{stage}_{number}" for stage, count in enumerate(stages, 1) for number in range(1, count + 1)]


def _numbered(state: StateDict, prefix: str) -> list[int]:
    matches = (re.fullmatch(rf"{prefix}(\d+)\.weight", key) for key in state)
    return sorted(int(match[1]) for match in matches if match)


def _convolution(state: StateDict, key: str, padding_mode: Literal["zeros", "reflect"] = "zeros") -> nn.Conv2d:
    weight = state[f"{key}.weight"].float()
    outer, inner, size, _ = weight.shape
    convolution = nn.Conv2d(inner, outer, size, padding=size // 2, padding_mode=padding_mode)
    convolution.load_state_dict({"weight": weight, "bias": state[f"{key}.bias"].float()})
    return convolution


def _random(seed: int) -> Features:
    """Return a VGG19 of an eighth of the width with drawn weights, for tests: its features mean nothing."""
    generator = torch.Generator().manual_seed(seed)
    widths, inner = (8, 16, 32, 64, 64), 3
    convolutions = {}
    for name in _names(VGG19):
        width = widths[int(name[4]) - 1]
        convolutions[name] = nn.Conv2d(inner, width, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolutions[name].weight, nonlinearity="relu", generator=generator)
        inner = width
    return Features(convolutions, _by_imagenet)


def _by_imagenet(image: Tensor) -> Tensor:
    mean, std = (image.new_tensor(v).reshape(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (image - mean) / std


def _as_caffe(image: Tensor) -> Tensor:
    return image.flip(1) - image.new_tensor(CAFFE_MEAN).reshape(1, 3, 1, 1)

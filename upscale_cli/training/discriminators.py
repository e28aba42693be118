"""Discriminators: networks that tell HR pictures from generated ones. They return logits, high for HR."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

SLOPE = 0.2


class Layer(NamedTuple):
    """A convolution to ``width`` channels, BatchNorm where ``normalised``, and a LeakyReLU."""

    width: int
    stride: int = 1
    size: int = 3
    bias: bool = True
    normalised: bool = False


class Classifier(nn.Module):
    """Convolutions, then two dense layers: (N, 3, crop, crop) to (N, 1)."""

    def __init__(self, layers: Sequence[Layer], hidden: int, crop: int) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        channels, side = 3, crop
        for layer in layers:
            modules.append(_Convolution(channels, layer.width, layer.size, layer.stride, 1, bias=layer.bias))
            modules += [nn.BatchNorm2d(layer.width)] if layer.normalised else []
            modules.append(nn.LeakyReLU(SLOPE, inplace=True))
            channels, side = layer.width, -(-side // layer.stride)
        self.features = nn.Sequential(*modules)
        dense = nn.Linear(channels * side**2, hidden), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(hidden, 1)
        self.verdict = nn.Sequential(*dense)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (N, 1) of ``image`` (N, C, H, W)."""
        logits: Tensor = self.verdict(self.features(image).flatten(1))
        return logits


class _Convolution(nn.Conv2d):
    """A 3×3 or 4×4 convolution with a padding of 1 that rounds up where its stride halves an odd side."""

    def forward(self, input: Tensor) -> Tensor:
        if self.kernel_size == (4, 4):
            input = F.pad(input, (0, input.shape[-1] % 2, 0, input.shape[-2] % 2))
        return super().forward(input)


def vgg(features: int, crop: int) -> nn.Module:
    """Return ESRGAN's: five pairs of 3×3 and 4×4 stride-2 convolutions with BatchNorm, 64 to 512; dense 100, 1."""
    layers = [
        Layer(features * factor, stride, size, bias=False, normalised=True)
        for factor in (1, 2, 4, 8, 8)
        for stride, size in ((1, 3), (2, 4))
    ]
    return Classifier([Layer(features), *layers[1:]], 100, crop)


def srgan(features: int, crop: int) -> nn.Module:
    """Return SRGAN's (Ledig et al. 2017, figure 4): eight 3×3 convolutions, every other of stride 2; dense 1024, 1."""
    layers = [Layer(features * factor, stride, normalised=True) for factor in (1, 2, 4, 8) for stride in (1, 2)]
    return Classifier([Layer(features), *layers[1:]], features * 16, crop)


def enhancenet(features: int, crop: int) -> nn.Module:
    """Return EnhanceNet's (Sajjadi et al. 2017, table 4): five pairs of 3×3 convolutions, the second of stride 2,
    32 to 512; dense 1024, 1. No BatchNorm.
    """
    layers = [Layer(features * factor, stride) for factor in (1, 2, 4, 8, 16) for stride in (1, 2)]
    return Classifier(layers, features * 32, crop)


class UNet(nn.Module):
    """Real-ESRGAN's (Wang et al. 2021, figure 6): (N, 3, H, W), sides multiples of 8, to a map (N, 1, H, W).

    Spectral normalisation in all but the first and last convolutions. Its keys are those of the published weights.
    """

    def __init__(self, features: int) -> None:
        super().__init__()

        def normalised(inner: int, outer: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
            return spectral_norm(nn.Conv2d(inner, outer, size, stride, 1, bias=False))

        f = features
        self.conv0 = nn.Conv2d(3, f, 3, padding=1)
        self.conv1 = normalised(f, f * 2, 4, 2)
        self.conv2 = normalised(f * 2, f * 4, 4, 2)
        self.conv3 = normalised(f * 4, f * 8, 4, 2)
        self.conv4 = normalised(f * 8, f * 4)
        self.conv5 = normalised(f * 4, f * 2)
        self.conv6 = normalised(f * 2, f)
        self.conv7 = normalised(f, f)
        self.conv8 = normalised(f, f)
        self.conv9 = nn.Conv2d(f, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return a map of logits (N, 1, H, W) of ``image`` (N, C, H, W)."""
        full = F.leaky_relu(self.conv0(image), SLOPE)
        half = F.leaky_relu(self.conv1(full), SLOPE)
        quarter = F.leaky_relu(self.conv2(half), SLOPE)
        eighth = F.leaky_relu(self.conv3(quarter), SLOPE)
        up = F.leaky_relu(self.conv4(_doubled(eighth)), SLOPE) + quarter
        up = F.leaky_relu(self.conv5(_doubled(up)), SLOPE) + half
        up = F.leaky_relu(self.conv6(_doubled(up)), SLOPE) + full
        up = F.leaky_relu(self.conv7(up), SLOPE)
        logits: Tensor = self.conv9(F.leaky_relu(self.conv8(up), SLOPE))
        return logits


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


# Each makes a network of (features, crop). The U-Net takes any crop.
DISCRIMINATORS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "vgg": vgg,
    "srgan": srgan,
    "enhancenet": enhancenet,
    "unet": lambda features, crop: UNet(features),
}
# What the sides of the crop must be multiples of.
MULTIPLE: Mapping[str, int] = {"vgg": 1, "srgan": 1, "enhancenet": 1, "unet": 8}

"""The critics: networks that tell real pictures from generated ones, as logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

SLOPE = 0.2


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(SLOPE, inplace=True)


def _after_halvings(side: int, halvings: int) -> int:
    """Side of the features after so many convolutions of stride 2, which round up."""
    return -(-side // (1 << halvings))


class Critic(nn.Module):
    """Convolutions, then dense layers: (N, C, crop, crop) to (N, 1)."""

    def __init__(self, features: nn.Sequential, verdict: nn.Sequential, crop: int) -> None:
        super().__init__()
        self.features, self.verdict = features, verdict
        self.crop = crop

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.verdict(self.features(image).flatten(1))
        return logits


def vgg(channels: int, features: int, crop: int) -> nn.Module:
    """VGG-style (ESRGAN): five pairs of 3×3 and 4×4 stride-2 convolutions with BatchNorm, 64 to 512; linear 100, 1."""
    widths = [features, features * 2, features * 4, features * 8, features * 8]
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1), _activation()]
    inner = widths[0]
    for number, width in enumerate(widths):
        if number > 0:
            layers += [nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), _activation()]
        layers += [_Halving(width), nn.BatchNorm2d(width), _activation()]
        inner = width
    side = _after_halvings(crop, len(widths))
    verdict = nn.Sequential(nn.Linear(inner * side**2, 100), _activation(), nn.Linear(100, 1))
    return Critic(nn.Sequential(*layers), verdict, crop)


class _Halving(nn.Conv2d):
    """A 4×4 convolution of stride 2 that rounds odd sides up, so that any crop will do."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2)))


def srgan(channels: int, features: int, crop: int) -> nn.Module:
    """SRGAN's (Ledig et al. 2017, figure 4): eight 3×3 convolutions, every other of stride 2; dense 1024, 1."""
    layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, padding=1), _activation()]
    plan = [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)]  # (width in features, stride)
    inner = features
    for factor, stride in plan:
        width = features * factor
        layers += [nn.Conv2d(inner, width, 3, stride, 1), nn.BatchNorm2d(width), _activation()]
        inner = width
    side = _after_halvings(crop, 4)
    verdict = nn.Sequential(nn.Linear(inner * side**2, features * 16), _activation(), nn.Linear(features * 16, 1))
    return Critic(nn.Sequential(*layers), verdict, crop)


def enhancenet(channels: int, features: int, crop: int) -> nn.Module:
    """EnhanceNet's (Sajjadi et al. 2017, table 4): five pairs of 3×3 convolutions, the second of stride 2, 32 to 512;
    dense 1024, 1. No BatchNorm.
    """
    layers: list[nn.Module] = []
    inner = channels
    for number in range(5):
        width = features * 2**number
        layers += [nn.Conv2d(inner, width, 3, padding=1), _activation()]
        layers += [nn.Conv2d(width, width, 3, 2, 1), _activation()]
        inner = width
    side = _after_halvings(crop, 5)
    verdict = nn.Sequential(nn.Linear(inner * side**2, features * 32), _activation(), nn.Linear(features * 32, 1))
    return Critic(nn.Sequential(*layers), verdict, crop)


class UNet(nn.Module):
    """Real-ESRGAN's (Wang et al. 2021, figure 6): (N, C, H, W), sides multiples of 8, to a map (N, 1, H, W).

    Spectral normalisation in all but the first and last convolutions. Its keys are those of the published weights.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()

        def normalised(inner: int, outer: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
            return spectral_norm(nn.Conv2d(inner, outer, size, stride, 1, bias=False))

        f = features
        self.conv0 = nn.Conv2d(channels, f, 3, padding=1)
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


def unet(channels: int, features: int, crop: int) -> nn.Module:
    """Real-ESRGAN's, which judges every pixel of any crop."""
    return UNet(channels, features)


DISCRIMINATORS: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "vgg": vgg,
    "srgan": srgan,
    "enhancenet": enhancenet,
    "unet": unet,
}
# What the sides of the crop must be multiples of.
MULTIPLE: Mapping[str, int] = {"vgg": 1, "srgan": 1, "enhancenet": 1, "unet": 8}

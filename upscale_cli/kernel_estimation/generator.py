"""KernelGAN's generator: six linear layers, equal to one kernel (Bell-Kligler et al. 2019, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

LAYER_SIZES = (7, 5, 3, 1, 1, 1)
CHANNELS = 64
SCALE = 2
KERNEL_SIZE = sum(LAYER_SIZES) - len(LAYER_SIZES) + 1  # 13
INITIAL_GAIN = 0.1


def initial_layers(generator: torch.Generator) -> list[Tensor]:
    """Return six weights (out, in, k, k) drawn after Glorot with a gain of 0.1, 1 → 64 → … → 64 → 1 channels."""
    widths = [1, *[CHANNELS] * (len(LAYER_SIZES) - 1), 1]
    layers = []
    for (inputs, outputs), size in zip(pairwise(widths), LAYER_SIZES, strict=True):
        standard_deviation = INITIAL_GAIN * (2 / ((inputs + outputs) * size**2)) ** 0.5
        weight = torch.randn((outputs, inputs, size, size), generator=generator) * standard_deviation
        layers.append(weight.requires_grad_())
    return layers


def composed(layers: Sequence[Tensor]) -> Tensor:
    """Return the kernel (13, 13) that correlates as all layers do one after the other; differentiable.

    Correlating twice is correlating with the kernels' full convolution. It starts from the last layer, whose one
    output channel keeps every intermediate result small.
    """
    row = layers[-1]
    for layer in reversed(layers[:-1]):  # row (1, out, k, k), layer (out, in, l, l)
        outputs, inputs, size = layer.shape[:3]
        side = row.shape[-1] + size - 1
        columns = layer.reshape(outputs, -1).mT @ row.reshape(outputs, -1)
        row = columns.view(1, inputs, side, side) if size == 1 else F.fold(columns[None], (side, side), size)
    return row[0, 0]


def layer_by_layer(image: Tensor, layers: Sequence[Tensor]) -> Tensor:
    """Return what the network itself makes of (N, C, H, W), channel by channel: (N, C, (H - 12) / 2, (W - 12) / 2)."""
    n, channels = image.shape[:2]
    planes = image.reshape(n * channels, 1, *image.shape[2:])
    for layer in layers[:-1]:
        planes = F.conv2d(planes, layer)
    planes = F.conv2d(planes, layers[-1], stride=SCALE)
    return planes.reshape(n, channels, *planes.shape[2:])

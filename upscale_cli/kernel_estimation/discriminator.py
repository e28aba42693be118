"""KernelGAN's discriminator: does a 7×7 patch come from the picture, or was it downsampled? (section 3 of the paper)

A 7×7 convolution and 1×1 convolutions see each patch alone, so the map is a product of matrices over all patches.
Layers before a batch normalisation have no bias, which it would subtract again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 7
FEATURES = 64
BLOCKS = 5
INITIAL_GAIN = 0.1
NORM_EPSILON, BATCH_EPSILON = 1e-12, 1e-5


@dataclass
class Discriminator:
    """Weights, and the left singular vectors that spectral normalisation follows from step to step.

    ``first`` (64, C·49), ``blocks`` (5, 64, 64), ``last`` (1, 64) and its ``bias`` (1); ``gain`` and ``shift`` (5, 64)
    of the batch normalisations.
    """

    first: Tensor
    blocks: Tensor
    last: Tensor
    gain: Tensor
    bias: Tensor
    shift: Tensor
    vectors: list[Tensor]

    @property
    def parameters(self) -> list[Tensor]:
        """All that is trained."""
        return [self.first, self.blocks, self.last, self.gain, self.bias, self.shift]


def initial(channels: int, generator: torch.Generator) -> Discriminator:
    """Return weights drawn after Glorot with a gain of 0.1, and batch normalisation around 1."""

    def glorot(*shape: int, fan: int) -> Tensor:
        return (torch.randn(shape, generator=generator) * (INITIAL_GAIN * math.sqrt(2 / fan))).requires_grad_()

    inputs = channels * PATCH**2
    first = glorot(FEATURES, inputs, fan=inputs + FEATURES * PATCH**2)
    blocks = glorot(BLOCKS, FEATURES, FEATURES, fan=2 * FEATURES)
    last = glorot(1, FEATURES, fan=FEATURES + 1)
    gain = (1 + 0.02 * torch.randn((BLOCKS, FEATURES), generator=generator)).requires_grad_()
    vectors = [torch.randn((*w.shape[:-1], 1), generator=generator) for w in (first, blocks, last)]
    bias, shift = torch.zeros(1, requires_grad=True), torch.zeros(BLOCKS, FEATURES, requires_grad=True)
    return Discriminator(first, blocks, last, gain, bias, shift, vectors)


def normalised(network: Discriminator) -> list[Tensor]:
    """Return first, blocks' and last weights divided by their largest singular values (Miyato et al. 2018).

    The values are known from one step of power iteration, which ``network.vectors`` take part in.
    """
    divided = []
    for index, weight in enumerate((network.first, network.blocks, network.last)):
        with torch.no_grad():
            right = F.normalize(weight.mT @ network.vectors[index], dim=-2, eps=NORM_EPSILON)
            left = F.normalize(weight @ right, dim=-2, eps=NORM_EPSILON)
        network.vectors[index] = left
        divided.append(weight / (left.mT @ weight @ right))
    return divided


def judge(images: Tensor, network: Discriminator, weights: list[Tensor]) -> Tensor:
    """Return an opinion on each patch of (N, C, H, W) in [-1, 1]: (N, (H - 6)·(W - 6)), 1 for real.

    Each sample is a batch of its own.
    """
    first, blocks, last = weights
    patches = F.unfold(images, PATCH)  # (N, C·49, positions)
    samples = len(images)
    patches = patches.transpose(0, 1).reshape(patches.shape[1], -1)
    gains, shifts = (p.repeat_interleave(samples, 1) for p in (network.gain, network.shift))
    features = _activated((blocks[0] @ first) @ patches, samples, gains[0], shifts[0])
    for index in range(1, BLOCKS):
        features = _activated(blocks[index] @ features, samples, gains[index], shifts[index])
    return torch.sigmoid(last @ features + network.bias).view(samples, -1)


def _activated(features: Tensor, samples: int, gain: Tensor, shift: Tensor) -> Tensor:
    """Return ``features`` (64, N · positions) after batch normalisation, each sample for itself, and ReLU."""
    rows = features.view(1, FEATURES * samples, -1)
    rows = F.batch_norm(rows, None, None, gain, shift, training=True, eps=BATCH_EPSILON)
    return F.relu(rows, inplace=True).view_as(features)

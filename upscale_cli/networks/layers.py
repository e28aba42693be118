"""Layers one after the other, under the names that files give them, with what several architectures do around them."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


def chain(**layers: nn.Module) -> nn.Sequential:
    """Return layers one after the other, under these names."""
    return nn.Sequential(OrderedDict(layers))


class Residual(nn.Sequential):
    """Layers whose result, times ``scale``, is added to what they see."""

    def __init__(self, scale: float = 1.0, **layers: nn.Module) -> None:
        super().__init__(OrderedDict(layers))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        residual = x
        for layer in self:
            residual = layer(residual)
        return torch.add(x, residual, alpha=self.scale)


class Weighted(nn.Sequential):
    """Layers whose result, in [0, 1], is multiplied by what they see: attention of elements or channels."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        weights = x
        for layer in self:
            weights = layer(weights)
        return x * weights


def residual_block(features: int) -> Residual:
    """Return a residual of two convolutions, with a ReLU between them."""
    return Residual(
        conv1=nn.Conv2d(features, features, 3, padding=1),
        relu=nn.ReLU(),
        conv2=nn.Conv2d(features, features, 3, padding=1),
    )


def squeeze_and_excite(features: int, squeezed: int) -> list[nn.Module]:
    """Return layers from all channels' means to a weight for each channel, with ``squeezed`` features between."""
    return [nn.Conv2d(features, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, features, 1), nn.Sigmoid()]


def draw_scaled_he(module: nn.Module, share: float) -> None:
    """Draw all convolutions by He's initialisation times ``share``, biases 0 (Wang et al. 2018, section 3.1)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(share)
                if layer.bias is not None:
                    layer.bias.zero_()

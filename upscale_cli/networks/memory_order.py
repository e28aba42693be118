"""Pixel shuffles on a CPU, at a fraction of PyTorch's time: convolutions write channels in the order of the result.

PyTorch's kernel moves single numbers. Where the convolution before it makes the channels of an enlarged pixel
neighbours in memory (channels_last), and those of its right neighbour follow, whole rows of a block are moved.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from upscale_cli.networks.compact import Compact
from upscale_cli.networks.msrresnet import MSRResNet


class OrderedShuffle(nn.Module):
    """Enlarges by ``scale``, as a pixel shuffle does, channels in the order (row, column, channel of the result)."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) in channels_last order of ``x``, (N, scale²·C, H, W)."""
        n, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(n, height, width, self.scale, channels // self.scale).transpose(2, 3)
        enlarged = rows.reshape(n, height * self.scale, width * self.scale, channels // self.scale**2)
        return enlarged.permute(0, 3, 1, 2)


class OrderedOntoNearest(nn.Module):
    """What ``OntoNearest`` does, of channels in the order of ``OrderedShuffle``."""

    repeating: Tensor

    def __init__(self, scale: int, like: Tensor) -> None:
        super().__init__()
        self.shuffle = OrderedShuffle(scale)
        channels = like.shape[0] // scale**2
        identity = torch.eye(channels, dtype=like.dtype, device=like.device)
        self.register_buffer("repeating", identity.repeat(scale**2, 1)[:, :, None, None])

    def forward(self, residual: Tensor, lr: Tensor) -> Tensor:
        """Return (N, C, scale·H, scale·W) of ``residual``, (N, scale²·C, H, W), and ``lr``, (N, C, H, W)."""
        # The product with zeros and ones repeats the pixels faster than any copy, and exactly.
        result: Tensor = self.shuffle(residual.add_(torch.conv2d(lr, self.repeating)))
        return result


@torch.no_grad()
def order_for_cpu(network: nn.Module) -> None:
    """Change ``network`` so that its pixel shuffles are fast on a CPU, and its results stay the same to the bit."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            for (_, before), (name, after) in pairwise(list(module.named_children())):
                if isinstance(after, nn.PixelShuffle) and type(before) is nn.Conv2d and before.groups == 1:
                    _reorder(before, after.upscale_factor)
                    setattr(module, name, OrderedShuffle(after.upscale_factor))
        elif type(module) is Compact:
            last = module.body[-1]
            assert isinstance(last, nn.Conv2d)
            _reorder(last, module.scale)
            module.enlarge = OrderedOntoNearest(module.scale, last.weight)
        elif isinstance(module, MSRResNet):
            for number in range(1, module.steps + 1):
                _reorder(getattr(module, f"upconv{number}"), module.factor)
            module.shuffle = OrderedShuffle(module.factor)


def _reorder(convolution: nn.Conv2d, scale: int) -> None:
    """Put the output channels of ``convolution`` from (channel, row, column) into the order (row, column, channel)."""
    for tensor in (convolution.weight, convolution.bias):
        if tensor is not None:
            channels = tensor.reshape(-1, scale**2, *tensor.shape[1:])
            tensor.copy_(channels.transpose(0, 1).flatten(0, 1).clone())

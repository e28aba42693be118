"""The memory that a network needs for each pixel on its way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from upscale_cli.networks.architecture import NetworkSpec

# Buffers beside the largest layer's own input and output: skip connections, copies of the tile, the library's scratch.
MEMORY_SAFETY = 2.0


@torch.inference_mode()
def bytes_per_pixel(module: nn.Module, spec: NetworkSpec, dtype: torch.dtype) -> float:
    """Estimate the memory one LR pixel needs on its way: the largest layer's input and output, with a margin."""
    side = -(-16 // spec.size_multiple) * spec.size_multiple
    largest = 0

    def measure(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        largest = max(largest, sum(tensor.numel() for tensor in (*inputs, output) if isinstance(tensor, Tensor)))

    leaves = [layer for layer in module.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(measure) for layer in leaves]
    try:
        parameter = next(module.parameters())
        module(torch.zeros(1, spec.in_channels, side, side, device=parameter.device, dtype=parameter.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return largest / side**2 * dtype.itemsize * MEMORY_SAFETY

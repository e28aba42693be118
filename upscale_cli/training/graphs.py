"""CUDA graphs: a network's two passes recorded once and replayed, so that small layers need not wait for Python."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from upscale_cli.networks import NetworkSpec
from upscale_cli.training.hardware import Hardware
from upscale_cli.training.recipe import Recipe


class _Apart(nn.Module):
    """``network`` as it is: recording changes how a module is called, and validation calls the network itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the network's result."""
        result: Tensor = self.network(*inputs)
        return result


def recorded(network: nn.Module, spec: NetworkSpec, recipe: Recipe, hardware: Hardware) -> Callable[..., Tensor]:
    """Return ``network`` for batches of the recipe alone, in training mode, its passes recorded on a CUDA device.

    Each result stands where the one before stood, so that of a step nothing must be kept for the next one.
    """
    count, side = recipe.data.batch, recipe.data.hr_patch // spec.scale
    lr = torch.zeros(count, spec.in_channels, side, side, device=hardware.device)
    batch: tuple[Tensor, ...] = (lr.contiguous(memory_format=torch.channels_last),)
    if spec.conditions:
        batch += (torch.zeros(count, len(spec.conditions), device=hardware.device),)
    # PyTorch 2.11 warns that recording leaves the parameters' nodes on a stream of its own. It waits for that one.
    expect_streams: Callable[[bool], None] | None = getattr(
        torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None
    )
    if expect_streams is not None:
        expect_streams(False)
    # A cache of converted weights would be filled while recording, and never again.
    with torch.autocast(hardware.device.type, hardware.dtype, hardware.dtype is not torch.float32, cache_enabled=False):
        graphed: Callable[..., Tensor] = torch.cuda.make_graphed_callables(_Apart(network), batch)  # type: ignore[assignment]
    return graphed

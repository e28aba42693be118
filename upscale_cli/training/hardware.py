"""Where a run computes, and how precisely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from upscale_cli import device as devices
from upscale_cli.training.distributed import Team


@dataclass(frozen=True)
class Hardware:
    """A process's device, the type its networks compute in, and the team it belongs to."""

    device: torch.device
    dtype: torch.dtype
    team: Team = Team()  # noqa: RUF009  (frozen)

    def autocast(self) -> torch.autocast:
        """Return a context in which networks compute in ``dtype``. Losses stay in fp32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)

    def place(self, module: nn.Module) -> nn.Module:
        """Return the module on the device, in the memory layout that is fastest there."""
        return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of a recipe's ``run.precision``: for ``auto`` bf16 where the device has it, else fp32."""
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    on_cuda = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if on_cuda or (device.type == "cpu" and devices.cpu_has_bf16()) else torch.float32

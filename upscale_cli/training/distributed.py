"""One run on several devices, each a process started by torchrun."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

LETTING_GO = 0.2  # seconds


@dataclass(frozen=True)
class Team:
    """The processes of a run: this is number ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and reports."""
        return self.rank == 0

    def parallel(self, module: nn.Module) -> nn.Module:
        """Return the module with its gradients averaged over the team."""
        if self.size == 1:
            return module
        # Buffers are each process's own: spectral normalisation's are equal anyway, and BatchNorm's only matter in use.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # older versions of torch do not know the option's new name
            return DistributedDataParallel(module, broadcast_buffers=False)


def local_device() -> str | None:
    """Return the CUDA device that torchrun assigned to this process; None without torchrun or CUDA."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if local is not None and torch.cuda.is_available() else None


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """Yield the team of all processes that torchrun started; a process on its own is a team of one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size())
    finally:
        # gloo's threads need the interpreter's lock to release the last tensors they worked on, and its destructor
        # waits for these threads while it holds that lock. They must be done by then, or the process hangs forever.
        time.sleep(LETTING_GO)
        dist.destroy_process_group()


class _TeamSum(torch.autograd.Function):
    """The sum of a number over all processes; the gradient of every share is the sum of all gradients."""

    @staticmethod
    def forward(ctx: object, share: Tensor) -> Tensor:
        total = share.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def team_mean(values: Tensor) -> Tensor:
    """Return the mean over all values of all processes, differentiable."""
    mean = values.mean()
    if not dist.is_initialized():
        return mean
    total: Tensor = _TeamSum.apply(mean)  # type: ignore[no-untyped-call]
    return total / dist.get_world_size()


def averaged(values: dict[str, float], team: Team) -> dict[str, float]:
    """Return the team's means of numbers that every process has its own of."""
    if team.size == 1:
        return values
    numbers = torch.tensor(list(values.values()), dtype=torch.float64)
    if dist.get_backend() == "nccl":
        numbers = numbers.cuda()
    dist.all_reduce(numbers)
    return dict(zip(values, (numbers / team.size).tolist(), strict=True))


def any_of(team: Team, value: bool) -> bool:
    """Return whether ``value`` is true in any process of the team."""
    return averaged({"value": float(value)}, team)["value"] > 0

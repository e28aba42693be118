"""One run on many devices, each a process started by torchrun: who is who, and what they agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Team:
    """``rank`` of ``size`` processes; a process on its own is 0 of 1."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0


def local_device() -> str | None:
    """The CUDA device that torchrun means for this process; None where it started none."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if local is not None and torch.cuda.is_available() else None


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """The team of all processes that torchrun started, for as long as the context lasts."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def parallel(module: nn.Module, team: Team) -> nn.Module:
    """The module, its gradients averaged over the team."""
    if team.size == 1:
        return module
    # Buffers are each process's own: spectral normalisation's are equal anyway, and BatchNorm's only matter in use.
    return DistributedDataParallel(module, broadcast_buffers=False)


def team_mean(values: Tensor) -> Tensor:
    """Mean over all values of all processes, differentiable."""
    mean = values.mean()
    if not dist.is_initialized():
        return mean
    total: Tensor = differentiable.all_reduce(mean)  # type: ignore[no-untyped-call]
    return total / dist.get_world_size()


def averaged(values: dict[str, float], team: Team) -> dict[str, float]:
    """Means over the team of numbers that every process has its own of."""
    if team.size == 1:
        return values
    numbers = torch.tensor(list(values.values()), dtype=torch.float64)
    if dist.get_backend() == "nccl":
        numbers = numbers.cuda()
    dist.all_reduce(numbers)
    return dict(zip(values, (numbers / team.size).tolist(), strict=True))


def agreed(wish: bool, team: Team) -> bool:
    """Whether any process of the team wishes it."""
    return averaged({"wish": float(wish)}, team)["wish"] > 0

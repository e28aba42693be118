"""One run on many devices, each a process started by torchrun: who is who, and what they agree on."""

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
        # gloo's threads need the interpreter's lock to release the last tensors they worked on. Its destructor waits
        # for these threads while it holds that lock, so they must be done by then, or the process hangs forever.
        time.sleep(LETTING_GO)
        dist.destroy_process_group()


def parallel(module: nn.Module, team: Team) -> nn.Module:
    """The module, its gradients averaged over the team."""
    if team.size == 1:
        return module
    # Buffers are each process's own: spectral normalisation's are equal anyway, and BatchNorm's only matter in use.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the option's new name is unknown to older versions of torch
        return DistributedDataParallel(module, broadcast_buffers=False)


class _TeamSum(torch.autograd.Function):
    """Sum over all processes of a number each has; the gradient of every share is the sum of all gradients."""

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
    """Mean over all values of all processes, differentiable."""
    mean = values.mean()
    if not dist.is_initialized():
        return mean
    total: Tensor = _TeamSum.apply(mean)  # type: ignore[no-untyped-call]
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

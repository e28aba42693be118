"""Iterations per second of `upscale train` beside those of its bare network on tensors in memory.

    python benchmarks/training_throughput.py --hr DIR [--iterations 120] [--rounds 7] [--device cuda] [--set KEY=VALUE]

The recipe is compact with 48 features and 10 convolutions, batch 16 and HR patches of 128 pixels. The bare network
does forward, L1, backward and fused Adam on one batch, in the same precision, memory layout and allocator settings:
no pictures, no averaging, no logging. The two run in alternating rounds; the result is the median of the ratios.
On a GPU, --set data.on_device=true and --set run.cuda_graphs=true show what they bring.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F

from upscale_cli import device as devices
from upscale_cli.networks import build
from upscale_cli.training import loop, setup
from upscale_cli.training.distributed import Team
from upscale_cli.training.generator import fresh
from upscale_cli.training.hardware import choose_dtype
from upscale_cli.training.recipe import Recipe
from upscale_cli.training.recipe_file import load_recipe

WARM_UP = 20  # iterations that are not timed


class Stopwatch:
    """Times iterations, the first ones excluded."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def tick(self, step: int = 0, losses: Mapping[str, float] | None = None) -> None:
        self._times.append(time.perf_counter())

    def rate(self) -> float:
        timed = self._times[WARM_UP:]
        return (len(timed) - 1) / (timed[-1] - timed[0])


def trained(recipe: Recipe, device: torch.device) -> float:
    """Iterations per second of the trainer, data and all."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        training = setup.prepare(recipe, Path(folder), device, Team(), lambda *_: None, lambda _: None)
        loop.run(training, watch.tick, lambda *_: None, lambda: False)
    return watch.rate()


def bare(recipe: Recipe, device: torch.device) -> float:
    """Iterations per second of the network on one batch in memory."""
    spec, start = fresh(recipe.network, seed=0)
    network = build(spec, start.state_dict()).requires_grad_(True).train()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.optimizer.rate, fused=True)
    side, scale = recipe.data.hr_patch, recipe.network.scale
    hr = torch.rand(recipe.data.batch, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    lr = F.avg_pool2d(hr, scale)
    dtype = choose_dtype(recipe.run.precision, device)
    watch = Stopwatch()
    for _ in range(recipe.schedule.iterations):
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            sr = network(lr)
        optimizer.zero_grad(set_to_none=True)
        loss = F.l1_loss(sr.float(), hr)
        torch.autograd.backward(loss)
        optimizer.step()
        loss.item()  # a GPU has then done the iteration
        watch.tick()
    return watch.rate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hr", required=True, help="folder of pictures")
    parser.add_argument("--iterations", type=int, default=120, help="per round, 20 of them to warm up")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="change the recipe")
    given = parser.parse_args()
    sizes = ["network.features=48", "network.blocks=10", "data.batch=16", "data.hr_patch=128"]
    own = [f'data.hr=["{given.hr}"]', f"schedule.iterations={given.iterations + WARM_UP}", "start=scratch"]
    recipe = load_recipe("compact", [*sizes, *own, *given.settings])
    device = devices.select(given.device)
    print(f"{devices.describe(device)}, {choose_dtype(recipe.run.precision, device)}")
    devices.keep_freed_memory()
    shares = []
    for number in range(given.rounds):
        plain, full = bare(recipe, device), trained(recipe, device)
        shares.append(full / plain)
        print(f"round {number + 1}: bare {plain:.2f} it/s, trainer {full:.2f} it/s: {full / plain:.1%}", flush=True)
    print(f"median {statistics.median(shares):.1%}")


if __name__ == "__main__":
    main()

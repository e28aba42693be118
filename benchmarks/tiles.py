"""What a megapixel costs in tiles of different sizes on a CPU, also on one that has less than this one has.

    python benchmarks/tiles.py -m lite-x4 --sides 128,192,256,384,512,768
    python benchmarks/tiles.py -m rrdbnet --sides 128,256,384 --repeat 1
    python benchmarks/tiles.py -m realesr-general-x4v3 --precision half --capability this

``--capability avx2``: as on CPUs without AVX-512 and bf16. A side is that of the whole tile; what of it is not halo
comes out. Seconds are those of the processor's work in one thread, so that other programs hardly disturb them, for a
megapixel that comes out; the sides take turns, and the best of ``--repeat`` counts. The tile that ``--tile auto``
takes is marked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from time import process_time

import numpy as np
import torch

from upscale_cli import benchmarking, networks
from upscale_cli.device import keep_freed_memory
from upscale_cli.upscaling.runner import NetworkRunner

CAPABILITIES = {"this": {}, "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}}
LARGE = 4096  # pixels: a picture of this side is cut into tiles by every network


def parse_sides(text: str) -> list[int]:
    return [int(side) for side in text.split(",")]


def case_of(model: str) -> benchmarking.Case:
    """Return the network of that name, or of that architecture, with random weights."""
    if model not in {architecture.name for architecture in networks.ARCHITECTURES}:
        return benchmarking.named_case(model, 0, 0)
    spec = networks.spec(model, 4, {})
    return benchmarking.Case(model, spec, networks.build(spec), 0, 0)


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Return the seconds for a megapixel by side, and under "auto" the side that is chosen."""
    keep_freed_memory()
    torch.set_num_threads(1)
    case = case_of(given.model)
    cpu = [torch.device("cpu")]
    runner = NetworkRunner(case.module, case.spec, devices_used=cpu, precision=given.precision)
    chosen = runner.tile_side(LARGE, LARGE) + 2 * runner.halo
    whole = NetworkRunner(case.module, case.spec, devices_used=cpu, precision=given.precision, tile=0)
    rng, sides = np.random.default_rng(0), sorted({*given.sides, chosen})
    tiles = {side: rng.integers(0, 256, (side, side, 3), np.uint8) for side in sides if side > 2 * runner.halo}
    best: dict[str, float] = {"auto": chosen}
    whole.run(next(iter(tiles.values())))
    for _ in range(given.repeat):
        for side, tile in tiles.items():
            begun = process_time()
            whole.run(tile)
            seconds = (process_time() - begun) / (side - 2 * runner.halo) ** 2 * 1e6
            best[str(side)] = min(seconds, best.get(str(side), seconds))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default="lite-x4")
    parser.add_argument(
        "--sides", type=lambda text: [*map(int, text.split(","))], default=[128, 192, 256, 384, 512, 768]
    )
    parser.add_argument("--precision", choices=("fp32", "half"), default="fp32")
    parser.add_argument("--capability", choices=tuple(CAPABILITIES), action="append")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(measure(given)))
        return
    for capability in given.capability or CAPABILITIES:
        command = [sys.executable, __file__, *sys.argv[1:], "--inside"]
        environment = {**os.environ, **CAPABILITIES[capability]}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        costs = json.loads(done.stdout)
        chosen = str(costs.pop("auto"))
        sides = [f"{side} (auto)" if side == chosen else side for side in costs]
        print(f"\n{given.model}, {given.precision}, {capability}:\n")
        print(f"| tile with halo | {' | '.join(sides)} |\n|{' --- |' * (len(sides) + 1)}")
        print(f"| seconds / MP | {' | '.join(f'{seconds:.2f}' for seconds in costs.values())} |", flush=True)


if __name__ == "__main__":
    main()

"""Speed, memory and parameters of every architecture at its published size, as a Markdown table.

    python benchmarks/networks.py [--size 128x128] [--scale 4] [--repeat 1] [--device cpu] [NAME ...]

Speed is in megapixels of input per second, memory the most that the process held while the network ran.
"""

from __future__ import annotations

import argparse

import torch

from upscale_cli import networks
from upscale_cli.benchmarking import Case, Measurement, measure, measure_machine

HEADING = "| architecture | parameters | fp32, MP/s | `--half`, MP/s | fp32, MiB | `--half`, MiB |"


def published(name: str, scale: int, width: int, height: int) -> Case:
    """Return the architecture at its published size, with random weights."""
    torch.manual_seed(0)
    spec = networks.spec(name, scale, {})
    return Case(name, spec, networks.build(spec).requires_grad_(False), height, width)


def row(case: Case, full: Measurement, half: Measurement) -> str:
    """Return the table's line of one network."""
    parameters = sum(parameter.numel() for parameter in case.module.parameters())
    speeds = [f"{way.megapixels_per_second:.3g}" for way in (full, half)]
    memory = [f"{way.peak_memory / 2**20:.0f}" for way in (full, half)]
    return f"| {' | '.join([case.name, f'{parameters / 1e6:.2f} M', *speeds, *memory])} |"


def main() -> None:
    every = [architecture.name for architecture in networks.ARCHITECTURES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=every, metavar="NAME", help="architectures, all by default")
    parser.add_argument("--size", default="128x128", help="width and height of the picture")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=1, help="runs, of which the fastest counts")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    machine = measure_machine(given.device, None)
    print(f"{machine.describe()}; x{given.scale}, {given.size}\n\n{HEADING}\n{'| --- ' * 6}|")
    for name in given.names:
        case = published(name, given.scale, width, height)
        full, half = measure(case, machine, "auto", given.repeat, skip_plain=True)
        print(row(case, full, half), flush=True)


if __name__ == "__main__":
    main()

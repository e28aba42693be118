"""How cost grows with the picture: time and peak memory of whole runs, as a Markdown table and a plot.

    python benchmarks/cost.py -o cost.svg
    python benchmarks/cost.py -m lite-x2 --scale 2 --megapixels 0.25,1,4,16,64 --half

Each picture is the sample, tiled to a square and written as PNG, and each run a process of its own. Time should be
linear: seconds per megapixel stay the same once starting counts for little. Memory should be that of the pictures,
input and result, and a constant.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image

SAMPLE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "sample.png"
MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """Of one run: input megapixels, seconds, and MiB at its peak and of its pictures."""

    megapixels: float
    seconds: float
    peak: float
    pictures: float


def draw(megapixels: float, path: Path) -> int:
    """Write a square picture of so many megapixels, and return its side."""
    side, sample = int(math.sqrt(megapixels * 1e6)), read_picture(SAMPLE).color
    repeats = [-(-side // length) for length in sample.shape[:2]]
    write_image(Picture(np.tile(sample, (*repeats, 1))[:side, :side]), path, WriteOptions(by_name("png")))
    return side


def measured(megapixels: float, folder: Path, scale: float, options: list[str]) -> Cost:
    source, target = folder / "input.png", folder / "result.tif"
    side = draw(megapixels, source)
    command = [sys.executable, "-m", "upscale_cli", str(source), "-o", str(target), "-q", "--overwrite"]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "-s", f"{scale:g}", *options])
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"The run on {megapixels:g} megapixels failed.")
    pictures = 3 * (side**2 + round(side * scale) ** 2)
    return Cost(side**2 / 1e6, seconds, used.ru_maxrss * 1024 / MIB, pictures / MIB)


def line(x: list[float], y: list[float]) -> tuple[float, float]:
    """Return slope and offset of the line through the points, each of equal relative weight."""
    slope, offset = np.polyfit(x, y, 1, w=1 / np.asarray(y))
    return float(slope), float(offset)


def plot(costs: list[Cost], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    megapixels = [cost.megapixels for cost in costs]
    for axes, values, label in zip(
        figure.subplots(1, 2), ([c.seconds for c in costs], [c.peak for c in costs]), ("seconds", "MiB"), strict=True
    ):
        slope, offset = line(megapixels, values)
        axes.loglog(megapixels, values, "o", color="tab:blue", label="measured")
        fitted = [offset + slope * m for m in megapixels]
        axes.loglog(megapixels, fitted, "--", color="tab:gray", label=f"{offset:.3g} + {slope:.3g} for each MP")
        axes.set_xlabel("megapixels of the input")
        axes.set_ylabel(label)
        axes.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default="lite-x2")
    parser.add_argument("--scale", type=float, default=2)
    parser.add_argument("--megapixels", default="0.25,1,4,16,64")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="file of the plot: .svg, .png")
    given = parser.parse_args()
    options = ["-m", given.model, "--device", "cpu", *["--half"] * given.half]
    print("| megapixels | seconds | seconds / MP | peak, MiB | pictures, MiB | beside them, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    costs = []
    with tempfile.TemporaryDirectory() as name:
        for megapixels in map(float, given.megapixels.split(",")):
            cost = measured(megapixels, Path(name), given.scale, options)
            costs.append(cost)
            cells = [f"{cost.megapixels:.3g}", f"{cost.seconds:.1f}", f"{cost.seconds / cost.megapixels:.2f}"]
            cells += [f"{value:.0f}" for value in (cost.peak, cost.pictures, cost.peak - cost.pictures)]
            print(f"| {' | '.join(cells)} |", flush=True)
    if len(costs) > 1:
        x = [cost.megapixels for cost in costs]
        time_line, memory = line(x, [cost.seconds for cost in costs]), line(x, [cost.peak for cost in costs])
        of_pictures = 3 * (1 + given.scale**2) * 1e6 / MIB
        print(f"\nTime: {time_line[1]:.2f} s and {time_line[0]:.2f} s for each MP.")
        print(
            f"Memory: {memory[1]:.0f} MiB and {memory[0]:.1f} for each MP, of which the pictures are {of_pictures:.1f}."
        )
    if given.output:
        plot(costs, given.output)


if __name__ == "__main__":
    main()

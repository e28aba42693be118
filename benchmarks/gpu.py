"""This program against the loop that most Python tools run on a GPU, as one Markdown page.

    python benchmarks/gpu.py [--device cuda] [--quick] [--compile]

First the tests marked `cuda` run, where there is such a device. Then each network enlarges the same pictures in several
ways: the plain loop (half precision, NCHW, tiles of 400 with 10 pixels around them, one copy after the other), this
program at --tile auto and 400, with --compile (on a GPU, or where that is given), 40 pictures of 480x320 one after the
other and as many at once as folders get (four where they get one), and one of 24 megapixels. MP/s is of input;
GB are those moved both ways; the share of the peak is that of the machine's fastest matrix product in that precision;
copies are the bytes moved at the speed of plain copies, as a share of the time; PSNR is to fp32 on the first picture.
`--quick` takes pictures small enough for a test.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli import benchmarking, levels, metrics
from upscale_cli import device as devices
from upscale_cli.benchmarking import Case, Machine
from upscale_cli.images.picture import Pixels
from upscale_cli.networks import draw, sizes
from upscale_cli.transfer import Transfer, transfer_for
from upscale_cli.upscaling.runner import NetworkRunner

TILE, PAD = 400, 10
FEW = 4  # pictures at once where the device suits one
# Compiled kernels run once as they are, are recorded as a graph in the second call, and replayed from then on.
WARM_UP = 3
COLUMNS = ("network", "way", "MP/s", "GB moved", "of peak", "copies", "peak memory", "PSNR to fp32")
Way = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Sizes:
    """(height, width) of the picture, of those of a folder and how many, and of the large one."""

    picture: tuple[int, int] = (1080, 1920)
    small: tuple[int, int] = (320, 480)
    count: int = 40
    large: tuple[int, int] = (4000, 6000)


QUICK = Sizes((48, 64), (32, 32), 3, (64, 96))


class Counting(Transfer):
    """Counts the bytes that a transfer moves."""

    def __init__(self, inner: Transfer) -> None:
        self.inner, self.bytes = inner, 0

    def mark(self) -> Any:
        return self.inner.mark()

    def send(self, tiles: NDArray[Any]) -> Tensor:
        self.bytes += tiles.nbytes
        return self.inner.send(tiles)

    def fetch(self, result: Tensor, finite: Tensor, mark: Any) -> NDArray[Any] | None:
        pixels = self.inner.fetch(result, finite, mark)
        self.bytes += 0 if pixels is None else pixels.nbytes
        return pixels


def cases(quick: bool) -> list[Case]:
    """Return compact 64/32, lite-x4, SPAN-48 and RRDBNet 64/23/32; all but lite-x4 have random weights."""
    stated: list[tuple[str, str, dict[str, int]]] = [
        ("compact 64/32", "compact", {"features": 64, "blocks": 32}),
        ("SPAN-48", "span", {"features": 48}),
        ("RRDBNet 64/23/32", "rrdbnet", {"features": 64, "blocks": 23, "growth": 32}),
    ]
    made = [benchmarking.named_case("lite-x4", 0, 0)]
    for name, architecture, chosen in stated[: 1 if quick else None]:
        spec = sizes(architecture, chosen).spec(4)
        made.append(Case(name, spec, draw(spec, branches=False).eval().requires_grad_(False), 0, 0))
    return made


def plain_loop(case: Case, device: torch.device, moved: list[int]) -> Way:
    """Return the loop of the common Python tools."""
    dtype, scale = devices.dtype(device, "half"), case.spec.scale
    module = copy.deepcopy(case.module).to(device, dtype)

    @torch.no_grad()
    def enlarge(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        result = torch.empty(1, 3, height * scale, width * scale)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                y, x = max(0, top - PAD), max(0, left - PAD)
                tile = planes[..., y : top + TILE + PAD, x : left + TILE + PAD]
                enlarged = module(tile.to(device, dtype).contiguous()).float().cpu()
                bottom, right = min(top + TILE, height), min(left + TILE, width)
                core = enlarged[..., (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale]
                result[..., top * scale : bottom * scale, left * scale : right * scale] = core
                moved[0] += tile.numel() * 4 + enlarged.numel() * 4
        return levels.to_pixels(result, np.uint8)

    return enlarge


def copy_rate(device: torch.device) -> float:
    """Return bytes per second of plain copies to the device and back."""
    transfer, block = transfer_for(device), np.zeros((1, 4096, 4096, 3), np.uint8)
    finite = torch.ones((), dtype=torch.bool, device=device)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        transfer.fetch(transfer.send(block), finite, transfer.mark())
        times.append(time.perf_counter() - start)
    return 2 * block.nbytes / min(times)


class Page:
    """Measures ways of enlarging, and prints a row for each."""

    def __init__(self, machine: Machine, compiled: Path | None) -> None:
        self.machine, self.compiled, self.rate = machine, compiled, copy_rate(machine.device)
        print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS))

    def row(
        self, case: Case, name: str, way: Way, pictures: Sequence[Pixels], moved: list[int], exact: Pixels | None
    ) -> None:
        device = self.machine.device
        for _ in range(WARM_UP):
            way(pictures[0])
        benchmarking.reset_peak_memory(device)
        moved[0], start = 0, time.perf_counter()
        results = [way(picture) for picture in pictures]
        seconds = time.perf_counter() - start
        pixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures)
        flops = benchmarking.flops_per_pixel(case) * pixels
        cells = [
            f"{pixels / seconds / 1e6:.3g}",
            f"{moved[0] / 1e9:.3g}",
            f"{flops / seconds / self.machine.peak[devices.dtype(device, 'half')]:.0%}",
            f"{moved[0] / self.rate / seconds:.0%}",
            f"{benchmarking.peak_memory(device) / 2**20:.0f} MiB",
            f"{metrics.psnr(results[0], exact):.1f} dB" if exact is not None else "",
        ]
        print("| " + " | ".join([case.name, name, *cells]) + " |", flush=True)


def counted(
    case: Case, device: torch.device, moved: list[int], options: dict[str, Any]
) -> tuple[NetworkRunner, Counting, Way]:
    """Return a runner in half precision, what counts the bytes it moves, and a way that adds them to ``moved``."""
    runner = NetworkRunner(case.module, case.spec, devices_used=[device], precision="half", **options)
    counting = Counting(runner.lanes[0].transfer)
    runner.lanes[0].transfer = counting

    def run(pixels: Pixels) -> Pixels:
        counting.bytes = 0
        result = runner.run(pixels)
        moved[0] += counting.bytes
        return result

    return runner, counting, run


def measure(case: Case, page: Page, shapes: Sizes) -> None:
    """Print the rows of one network."""
    rng, device = np.random.default_rng(1), page.machine.device
    picture, small, large = (
        rng.integers(0, 256, (*s, 3), np.uint8) for s in (shapes.picture, shapes.small, shapes.large)
    )
    exact = NetworkRunner(case.module, case.spec, devices_used=[device], precision="fp32").run(picture)
    moved = [0]
    page.row(case, "plain loop", plain_loop(case, device, moved), [picture], moved, exact)
    ways: dict[str, dict[str, Any]] = {"--tile auto": {}, f"--tile {TILE}": {"tile": TILE}}
    if page.compiled:
        ways = {"--compile": {"compiled": page.compiled}} | ways
    for name, options in ways.items():
        _, _, run = counted(case, device, moved, options)
        page.row(case, name, run, [picture], moved, exact)
    runner, counting, run = counted(case, device, moved, {})
    page.row(
        case, f"{shapes.count} pictures of {small.shape[1]}x{small.shape[0]}", run, [small] * shapes.count, moved, None
    )
    suiting = runner.pictures_at_once(*small.shape[:2])
    at_once, batch = (suiting, None) if suiting > 1 else (FEW, FEW)
    together = f"{shapes.count}, {at_once} at once"

    def run_together(column: Pixels) -> Pixels:
        counting.bytes, pictures = 0, np.split(column, shapes.count)
        groups = [pictures[first : first + at_once] for first in range(0, shapes.count, at_once)]
        results = [runner.run_together(group, np.uint8, lambda done, total: None, batch) for group in groups]
        moved[0] += counting.bytes
        return np.concatenate([result for group in results for result in group])

    page.row(case, together, run_together, [np.concatenate([small] * shapes.count)], moved, None)
    page.row(case, f"one of {large.shape[1]}x{large.shape[0]}", run, [large], moved, None)


def run_cuda_tests() -> None:
    """Run the tests marked ``cuda``, of the files that have some: others may need packages that are not here."""
    tests = Path(__file__).resolve().parents[1] / "tests"
    files = [str(path) for path in sorted(tests.rglob("test_*.py")) if "pytest.mark.cuda" in path.read_text("utf-8")]
    options = ["-q", "-m", "cuda", "-n", "0", "-p", "no:benchmark"]  # one GPU, one process
    subprocess.run([sys.executable, "-m", "pytest", *options, *files], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--compile", action="store_true", help="measure it on a CPU too")
    options = parser.parse_args()
    machine = benchmarking.measure_machine(options.device, None)
    print(f"{machine.describe()}\n", flush=True)
    if machine.device.type == "cuda":
        run_cuda_tests()
    with tempfile.TemporaryDirectory() as folder:
        page = Page(machine, Path(folder) if options.compile or machine.device.type == "cuda" else None)
        for case in cases(options.quick):
            measure(case, page, QUICK if options.quick else Sizes())


if __name__ == "__main__":
    main()

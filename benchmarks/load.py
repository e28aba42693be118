"""Many small pictures in one process: memory, open files, threads and speed must stay as they are.

    python benchmarks/load.py -m tiny.safetensors --pictures 2000
    python benchmarks/load.py -m lite-x4 --minutes 30

Runs folders of 100 pictures of all formats, one after another, through the same engine as the command. After each it
prints the resident memory (MB), open handles, threads, pictures per second of processor time, and how many pictures
take as long as a fixed piece of work that is done before and after the folder: what other programs on the machine take
away slows both. At the end it prints how much they grew since the second folder. Without -m a tiny network is made.
Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.notices import ignore
from upscale_cli.upscalers import upscalers
from upscale_cli.upscaling.engines.engine import Progress
from upscale_cli.upscaling.engines.local import LocalEngine
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.weights.state_dict import save_state

IN_FOLDER = 100
FORMATS = ("png", "jpeg", "webp", "tiff", "bmp", "avif", "ppm")
MOST_GROWTH = 20.0  # MB
MOST_SLOWER = 0.05


class NoListener:
    """Takes the callbacks of a run and does nothing."""

    def started(self, job: Job) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        pass


@dataclass(frozen=True)
class Reading:
    """What the process holds after ``pictures``; the last folder's pictures per second, and per piece of fixed work."""

    pictures: int
    megabytes: float
    handles: int
    threads: int
    speed: float
    relative: float


def reference() -> float:
    """Return the seconds of processor time that a fixed piece of work takes: compression, sorting, convolution."""
    numbers = np.random.default_rng(0)
    bytes_, values = numbers.integers(0, 16, 1_000_000, np.uint8).tobytes(), numbers.random(1_000_000)
    planes, weight = torch.full((1, 64, 64, 64), 0.5), torch.full((64, 64, 3, 3), 0.1)
    before = time.process_time()
    for _ in range(5):
        zlib.compress(bytes_)
        np.sort(values)
        for _ in range(10):
            torch.nn.functional.conv2d(planes, weight)
    return time.process_time() - before


def draw(folder: Path) -> list[Job]:
    """Draw pictures of about 60 x 60 pixels in all formats; return a job for each."""
    jobs = []
    for number in range(IN_FOLDER):
        kind = by_name(FORMATS[number % len(FORMATS)])
        pixels = np.random.default_rng(number).integers(0, 256, (40 + number % 41, 80 - number % 37, 3), np.uint8)
        source = folder / f"{number}{kind.extensions[0]}"
        write_image(Picture(pixels), source, WriteOptions(kind))
        jobs.append(Job(source, folder / "out" / source.name, replaces=True))
    return jobs


def resident_megabytes() -> float:
    gc.collect()
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return float(fields["VmRSS"].split()[0]) / 1024


def readings(model: str, jobs: list[Job], pictures: int, seconds: float) -> Iterator[Reading]:
    """Do ``jobs`` again and again until ``pictures`` are done and ``seconds`` have passed."""
    options = UpscaleOptions(model, device="cpu", threads=1)
    start, done, fixed = time.monotonic(), 0, reference()
    while done < pictures or time.monotonic() - start < seconds:
        before = time.process_time()
        for outcome in LocalEngine(ignore).run(jobs, options, upscalers, NoListener()):
            if outcome.error is not None:
                raise outcome.error
            done += 1
        speed = len(jobs) / (time.process_time() - before)
        fixed_before, fixed = fixed, reference()
        handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        yield Reading(
            done, resident_megabytes(), handles, threading.active_count(), speed, speed * (fixed_before + fixed) / 2
        )


def tiny_network(folder: Path) -> str:
    path = folder / "tiny-x2.safetensors"
    spec = NetworkSpec("compact", 2, 3, 3, 3, hyperparameters={"features": 4, "convolutions": 1})
    torch.manual_seed(0)
    save_state(path, build(spec).state_dict(), {})
    return str(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", help="a name or file; a tiny network if left out")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=0, help="go on for so long")
    given = parser.parse_args()
    taken: list[Reading] = []
    with tempfile.TemporaryDirectory() as name:
        model = given.model or tiny_network(Path(name))
        print(f"{'pictures':>8} {'MB':>8} {'handles':>8} {'threads':>8} {'per CPU second':>15} {'relative':>9}")
        for r in readings(model, draw(Path(name)), given.pictures, 60 * given.minutes):
            taken.append(r)
            print(
                f"{r.pictures:8} {r.megabytes:8.1f} {r.handles:8} {r.threads:8} {r.speed:15.1f} {r.relative:9.2f}",
                flush=True,
            )
    first, last = taken[1], taken[-1]
    growth, third = last.megabytes - first.megabytes, max(1, len(taken) // 3)
    slower = 1 - median(r.relative for r in taken[-third:]) / median(r.relative for r in taken[1 : third + 1])
    print(f"memory {growth:+.1f} MB, handles {last.handles - first.handles:+}, ", end="")
    print(f"threads {last.threads - first.threads:+}, speed {-slower:+.1%}")
    kept = (last.handles, last.threads) == (first.handles, first.threads)
    return not (kept and growth <= MOST_GROWTH and slower <= MOST_SLOWER)


if __name__ == "__main__":
    raise SystemExit(main())

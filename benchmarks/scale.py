"""What a cluster costs and gains: the figures of docs/scale.md.

    python benchmarks/scale.py jobs --pictures 100000     # memory over many jobs, and the overhead of each
    python benchmarks/scale.py throughput --pictures 200  # one worker and two, of one core each
    python benchmarks/scale.py parts                      # a million pictures of 1 MP on ten GPUs, by what is known

`jobs` runs the command's own way, from listing to report, over pictures of 8x8 in folders of a thousand in memory
(/dev/shm), with a network that repeats pixels. `throughput` binds each worker to a core; the start is not counted.
Ratios of wall time mean something on a machine that does nothing else; processor time per picture does on any.
Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import ray as untyped

from upscale_cli.cli import pictures
from upscale_cli.cli.console import Console
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_image
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import Notify, ignore
from upscale_cli.resize import resize_pixels
from upscale_cli.upscalers import upscalers
from upscale_cli.upscaling.engines.ray import RayEngine
from upscale_cli.upscaling.job import Job, Outcome, UpscalerFor
from upscale_cli.upscaling.naming import Naming
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.plan import plans
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.ray_options import RayOptions
from upscale_cli.upscaling.size import Size

ray: Any = untyped
IN_FOLDER = 1000
SAMPLE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "sample.png"
ROOM = Path("/dev/shm")


class Repeating:
    """A network that repeats pixels."""

    name = "repeating"
    kernel: tuple[float, float] | None = None

    def upscale_picture(self, picture: Picture, size: Size, on_share: OnShare = lambda share, detail: None) -> Picture:
        return Picture(picture.color.repeat(2, 0).repeat(2, 1))

    def megapixels(self, picture: Picture, size: Size) -> float:
        return 0.0


def repeating(options: UpscaleOptions, notify: Notify) -> UpscalerFor:
    return lambda picture, on_share: Repeating()


def save(path: Path, side: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(side).integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), np.uint8)
    fine = np.random.default_rng(0).integers(0, 8, (side, side, 3), np.uint8)
    pixels = coarse.repeat(8, 0).repeat(8, 1)[:side, :side] // 2 + fine
    write_image(Picture(np.ascontiguousarray(pixels)), path, WriteOptions(by_name("png")))


def resident(process: str = "self") -> float:
    """Return the MB that a process holds."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def workers() -> list[str]:
    """Return the numbers of the cluster's workers that have a name, as those have that do jobs."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += [line.parent.name] if line.read_bytes().startswith(b"ray::Worker") else []
    return found


def worker_seconds() -> float:
    """Return the processor seconds of all workers."""
    ticks = 0
    for process in workers():
        with suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class Sampling(Console):
    """Prints the memory of this process and of the object store every so many pictures."""

    def __init__(self, every: int) -> None:
        super().__init__("quiet", 0)
        self._every, self._seen, self._begun = every, 0, time.perf_counter()

    def finished(self, outcome: Outcome) -> None:
        super().finished(outcome)
        self._seen += 1
        if self._seen == 1:
            print(f"first picture after {time.perf_counter() - self._begun:.1f} s")
            self._begun, self._processor = time.perf_counter(), time.process_time()
        if self._seen % self._every == 0:
            total = ray.cluster_resources()["object_store_memory"]
            stored = (total - ray.available_resources().get("object_store_memory", total)) / 1e6
            most = max(map(resident, workers()), default=0)
            wall = (time.perf_counter() - self._begun) / self._seen * 1e3
            own = (time.process_time() - self._processor) / self._seen * 1e3
            cells = f"{self._seen} | {resident():.1f} | {most:.1f} | {stored:.1f} | {wall:.2f} | {own:.2f}"
            print(f"| {cells} |", flush=True)


def jobs(count: int) -> None:
    place = Path(tempfile.mkdtemp(dir=ROOM, prefix="upscale-scale-"))
    try:
        save(place / "one.png", 8)
        for number in range(count):
            if number % IN_FOLDER == 0:
                folder = place / "in" / f"{number // IN_FOLDER:05}"
                folder.mkdir(parents=True)
            os.link(place / "one.png", folder / f"{number:08}.png")
        print("| pictures | driver, MB | worker, MB | object store, MB | ms per picture | driver's processor ms |")
        print("| --- | --- | --- | --- | --- | --- |")
        naming = Naming("x2", output=str(place / "out"), recursive=True)
        coming = (job for planned in plans([str(place / "in")], naming) for job in planned.jobs)
        setattr(pictures, "upscalers", repeating)  # noqa: B010  (the network of this run)
        console = Sampling(max(1, count // 10))
        pictures.enlarge_all((), UpscaleOptions(scale=2), console, False, RayOptions("local", 1, cpus=1), coming)
    finally:
        shutil.rmtree(place)


def bound(cores: Path, options: UpscaleOptions, notify: Notify) -> UpscalerFor:
    """Return the networks of a worker, bound to a core that no other has taken in the folder ``cores``."""
    for core in sorted(os.sched_getaffinity(0)):
        try:
            (cores / str(core)).mkdir(parents=True)
        except FileExistsError:
            continue
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
        break
    return upscalers(options, notify)


class Quiet:
    """Takes the callbacks of a run and does nothing."""

    def started(self, job: Job) -> None: ...

    def progress(self, progress: Any) -> None: ...


def rate(sources: list[Path], target: Path, count: int, options: UpscaleOptions) -> tuple[float, float]:
    """Return pictures per second, and processor seconds of all workers per picture, once all have started."""
    engine = RayEngine(ignore, RayOptions("local", count, cpus=1))
    work = [Job(source, target / source.name) for source in sources]
    begun, first, used = 0.0, 0, 0.0
    for done, outcome in enumerate(engine.run(iter(work), options, partial(bound, target / ".cores"), Quiet()), 1):
        assert outcome.error is None
        if not begun and len(list((target / ".cores").iterdir())) == count and done >= 3 * count:
            begun, first, used = time.perf_counter(), done, worker_seconds()
        if done == len(work) - 3 * count:
            seconds, each = time.perf_counter() - begun, done - first
            result = each / seconds, (worker_seconds() - used) / each
    return result


def throughput(count: int, repeats: int) -> None:
    place = Path(tempfile.mkdtemp(dir=ROOM, prefix="upscale-scale-"))
    try:
        sources = [place / "in" / f"{number:04}.png" for number in range(count)]
        for number, source in enumerate(sources):
            save(source, 184 + number % 16)
        options, rates = UpscaleOptions("lite-x4", scale=4, threads=1), dict[int, list[tuple[float, float]]]()
        print("| workers | pictures per second | workers' processor seconds per picture |\n| --- | --- | --- |")
        for turn in range(repeats):
            for number in (1, 2):
                known = rate(sources, place / f"out{turn}{number}", number, options)
                rates.setdefault(number, []).append(known)
                print(f"| {number} | {known[0]:.2f} | {known[1]:.3f} |", flush=True)
        one, two = (median(speed for speed, _ in rates[number]) for number in (1, 2))
        print(f"Two workers are {two / one:.2f} times as fast as one, by the medians of {repeats} runs.")
    finally:
        shutil.rmtree(place)


def timed(act: Any, repeats: int = 5) -> float:
    """Return the processor seconds of ``act``, the least of some."""

    def once() -> float:
        begun = time.process_time()
        act()
        return time.process_time() - begun

    return min(once() for _ in range(repeats))


def parts(overhead_ms: float, gpus: int, count: int) -> None:
    place = Path(tempfile.mkdtemp(dir=ROOM, prefix="upscale-scale-"))
    try:
        sample = read_image(SAMPLE).frames[0].color[:, :, :3]
        tiled = np.ascontiguousarray(np.tile(sample, (7, 5, 1))[:1000, :1000])
        small, large = Picture(tiled), Picture(resize_pixels(tiled, (4000, 4000), "bicubic", np.uint8))
        write_image(small, place / "in.jpg", WriteOptions(by_name("jpeg")))
        reading = timed(lambda: read_image(place / "in.jpg"))
        writing = {
            kind: timed(lambda kind=kind: write_image(large, place / f"out.{kind}", WriteOptions(by_name(kind))), 2)
            for kind in ("jpeg", "png", "webp")
        }
        print(f"Reading a JPEG of 1 MP takes {reading:.3f} s of one core; {overhead_ms:g} ms of the driver for each.")
        print(
            "| result of 16 MP | to write | GPU, MP/s | hours for all | what limits |\n| --- | --- | --- | --- | --- |"
        )
        for kind, seconds in writing.items():
            for speed in (0.5, 1, 2, 5):
                each = {"GPU": 1 / speed, "writing": seconds, "reading": reading, "driver": overhead_ms / 1e3 * gpus}
                limit = max(each, key=each.__getitem__)
                hours = count * each[limit] / gpus / 3600
                print(f"| {kind} | {seconds:.2f} s | {speed:g} | {hours:.1f} | {limit} |")
    finally:
        shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=("jobs", "throughput", "parts"))
    parser.add_argument("--pictures", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--overhead", type=float, default=1.0, metavar="MS", help="of the driver, as `jobs` prints it")
    asked = parser.parse_args()
    if asked.figure == "jobs":
        jobs(asked.pictures or 100_000)
    elif asked.figure == "throughput":
        throughput(asked.pictures or 200, asked.repeats)
    else:
        parts(asked.overhead, 10, asked.pictures or 1_000_000)


if __name__ == "__main__":
    main()

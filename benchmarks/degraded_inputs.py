"""The figures on compressed and noisy inputs, and on ZSSR, that the pages under docs/ quote.

    python benchmarks/degraded_inputs.py DATA jpeg noise clean orientations time [--photo PHOTO] [--quick]

DATA holds Set5, Set14 and BSD100 as NAME/xS/HR and NAME/xS/LR, the LR by MATLAB's bicubic. Of the parts named:

jpeg          LR saved by Pillow with qualities 75 and 92: bicubic, the plain network, and the conditioned one (auto).
noise         LR with Gaussian noise: bicubic, the plain network, noise as measured, as stated, and lite-x4-restore.
clean         how many clean pictures, HR and LR, count as noisy.
orientations  ZSSR over four, two (half a turn apart) and one orientation; LR of Set5, bicubic kernel, 600 iterations.
time          ZSSR of PHOTO as `upscale PHOTO -s 2 --kernel bicubic.json` with --iterations 50 and with --fast: seconds
              from start to end by the clock, so on a quiet machine, and of all cores' work.

PSNR is that of Y without a border of as many pixels as the scale, a mean over the pictures. `--quick` makes small
pictures of its own in place of DATA, small enough for a test.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

from upscale_cli import Upscaler, metrics
from upscale_cli import device as devices
from upscale_cli.evaluation import Case, load_case
from upscale_cli.images.jpeg_quality import jpeg_quality
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.kernels.blur_kernel import bicubic
from upscale_cli.kernels.files import write_kernel
from upscale_cli.levels import to_planes
from upscale_cli.noise import removable_noise
from upscale_cli.resize import resize_pixels
from upscale_cli.upscaling import upscaler as inner
from upscale_cli.weights.resolve import ResolvedNetwork
from upscale_cli.zero_shot import zssr
from upscale_cli.zero_shot.network import LARGE, ensemble, symmetries

PARTS = ("jpeg", "noise", "clean", "orientations", "time")
QUALITIES, LEVELS = (75, 92), (5, 10, 15, 25)
Enlarge = Callable[[Picture], Pixels]


@dataclass(frozen=True)
class Data:
    """The folder of the sets, the photograph to time, and how long ZSSR trains."""

    folder: Path
    photo: Path | None
    iterations: int
    levels: Sequence[int]

    def cases(self, name: str, scale: int) -> list[Case]:
        """Return HR and LR of a set."""
        hr, lr = (self.folder / name / f"x{scale}" / kind for kind in ("HR", "LR"))
        files = sorted(hr.iterdir())
        others: Sequence[Path | None] = sorted(lr.iterdir()) if lr.is_dir() else [None] * len(files)
        return [load_case(path, other, scale) for path, other in zip(files, others, strict=True)]


@cache
def network(name: str, **options: Any) -> Enlarge:
    upscaler = Upscaler(name, device="cpu", **options)
    return lambda picture: upscaler.upscale_picture(picture).color


def bicubically(scale: int) -> Enlarge:
    return lambda p: resize_pixels(p.color, (p.height * scale, p.width * scale), "bicubic", np.uint8)


def psnr(cases: Sequence[Case], inputs: Sequence[Picture], enlarge: Enlarge, scale: int) -> str:
    results = (enlarge(picture) for picture in inputs)
    return f"{fmean(metrics.score(sr, case.hr, scale).psnr_y for sr, case in zip(results, cases, strict=True)):.2f}"


def as_jpeg(pixels: Pixels, quality: int) -> Picture:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return Picture(np.asarray(image.convert("RGB")), jpeg_quality=jpeg_quality(file.getvalue()))


def with_noise(pixels: Pixels, level: int, seed: int) -> Picture:
    noise = np.random.default_rng([seed, level]).normal(0, level, pixels.shape)
    return Picture((pixels + noise).clip(0, 255).round().astype(np.uint8))


def jpeg(data: Data) -> Iterator[Sequence[object]]:
    yield "set", "scale", "quality", "bicubic", "plain", "conditioned"
    for scale in (4, 2):
        name = f"lite-x{scale}"
        ways = bicubically(scale), network(name, input_quality="none", noise=0), network(name)
        for part in ("Set14", "BSD100"):
            cases = data.cases(part, scale)
            for quality in QUALITIES:
                inputs = [as_jpeg(case.lr, quality) for case in cases]
                yield part, f"x{scale}", quality, *(psnr(cases, inputs, way, scale) for way in ways)


def noise(data: Data) -> Iterator[Sequence[object]]:
    yield "set", "levels", "bicubic", "plain", "measured", "stated", "lite-x4-restore"
    for part in ("Set14", "BSD100"):
        cases = data.cases(part, 4)
        for level in data.levels:
            inputs = [with_noise(case.lr, level, number) for number, case in enumerate(cases)]
            ways = [bicubically(4), network("lite-x4", noise=0), network("lite-x4")]
            ways += [network("lite-x4", noise=level), network("lite-x4-restore")]
            yield part, level, *(psnr(cases, inputs, way, 4) for way in ways)


def clean(data: Data) -> Iterator[Sequence[object]]:
    yield "set", "kind", "pictures", "noisy"
    for part in ("Set5", "Set14", "BSD100"):
        cases = data.cases(part, 4)
        for kind, pictures in (("HR", [case.hr for case in cases]), ("LR x4", [case.lr for case in cases])):
            yield part, kind, len(pictures), sum(removable_noise(pixels) > 0 for pixels in pictures)


def orientations(data: Data) -> Iterator[Sequence[object]]:
    yield "picture", "interpolated", "four", "two", "one"
    kernel, cases = bicubic(2), data.cases("Set5", 2)
    for case in cases:
        trained = zssr.fit(to_planes(case.lr), kernel, iterations=data.iterations, bf16=devices.cpu_has_bf16())
        cells = [psnr([case], [Picture(case.lr)], bicubically(2), 2)]
        four = symmetries(kernel)
        for chosen in (four, ensemble(four, LARGE + 1, fast=False), four[:1]):
            trained.orientations = chosen
            resolved = ResolvedNetwork("zssr", trained.spec, trained, {})
            upscaler = inner.Upscaler(network=resolved, scale=2, device="cpu", precision="half")
            cells.append(psnr([case], [Picture(case.lr)], lambda p, u=upscaler: u.upscale(p.color), 2))  # type: ignore[misc]
        yield case.name, *cells


def timed(data: Data) -> Iterator[Sequence[object]]:
    yield "options", "seconds", "of all cores"
    if data.photo is None:
        raise SystemExit("time needs --photo.")
    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "bicubic.json"
        write_kernel(kernel, bicubic(2))
        command = [sys.executable, "-m", "upscale_cli", str(data.photo), "-s", "2", "--kernel", str(kernel), "-q"]
        for options in (["--iterations", str(min(50, data.iterations))], ["--fast"]):
            target = Path(folder) / f"{len(options)}.png"
            begun, worked = time.perf_counter(), os.times()
            subprocess.run([*command, *options, "-o", str(target)], check=True)
            now = os.times()
            work = now.children_user + now.children_system - worked.children_user - worked.children_system
            yield " ".join(options), f"{time.perf_counter() - begun:.1f}", f"{work:.1f}"


def quick_data(folder: Path) -> Data:
    """Return sets of a picture each, of soft spots."""
    rows, columns = np.mgrid[:48, :64]
    waves = [128 + 90 * np.sin(rows / a) * np.cos(columns / b) for a, b in ((9, 7), (13, 5), (6, 11))]
    picture = np.stack(waves, 2).astype(np.uint8)
    for name, scale in (("Set5", 4), ("Set5", 2), ("Set14", 4), ("Set14", 2), ("BSD100", 4), ("BSD100", 2)):
        path = folder / name / f"x{scale}" / "HR" / "a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(picture).save(path)
    return Data(folder, None, 2, (10,))


def report(part: str, rows: Iterator[Sequence[object]]) -> None:
    print(f"\n## {part}\n")
    for number, row in enumerate(rows):
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        if number == 0:
            print("|" + " --- |" * len(row))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(arguments)
    make = dict(zip(PARTS, (jpeg, noise, clean, orientations, timed), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        data = quick_data(Path(folder)) if given.quick else Data(given.data, given.photo, 600, LEVELS)
        for part in given.parts:
            report(part, make[part](data))


if __name__ == "__main__":
    main()

"""What writing a result takes, and its size: every format that is installed, on one thread and on all.

    python benchmarks/writing.py
    python benchmarks/writing.py photo.jpg --size 7000x5000 --threads 16 --repeat 5

The picture, the sample where none is named, is enlarged to the size by bicubic interpolation, with noise of one level,
without which it would be too easy to compress. Times are the fastest of the repeats, both ways in turn. Only PNG and
TIFF are compressed on several threads; lossy formats have the quality of their own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from upscale_cli.images.extras import is_installed
from upscale_cli.images.formats import FORMATS, Format
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.resize import resize_pixels

SAMPLE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "sample.png"
HEADER = "| format | one thread, s | {threads} threads, s | MB/s of pixels | MB | share of the pixels' bytes |"


def enlarged(source: Path, height: int, width: int) -> Pixels:
    """Return the picture in ``source`` at that size (H, W, 3), uint8, with noise of one level."""
    pixels = resize_pixels(read_picture(source).color, (height, width), "bicubic", np.uint8)
    noise = np.random.default_rng(0).normal(0, 1, pixels.shape).round()
    noisy: Pixels = (pixels + noise).clip(0, 255).astype(np.uint8)
    return noisy


def seconds(picture: Picture, kind: Format, threads: int, path: Path) -> float:
    start = time.perf_counter()
    write_image(picture, path, WriteOptions(kind, threads=threads))
    return time.perf_counter() - start


def row(picture: Picture, kind: Format, threads: int, repeat: int, folder: Path) -> str:
    path = folder / f"result{kind.extensions[0]}"
    rounds = [[seconds(picture, kind, count, path) for count in (1, threads)] for _ in range(repeat)]
    one, several = (min(times) for times in zip(*rounds, strict=True))
    raw, stored = picture.color.nbytes, path.stat().st_size
    cells = (kind.name, f"{one:.2f}", f"{several:.2f}", f"{raw / 1e6 / several:.0f}", f"{stored / 1e6:.1f}")
    return f"| {' | '.join(cells)} | {stored / raw:.0%} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("picture", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--size", default="5000x3500", help="of the result, WIDTHxHEIGHT")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args(arguments)
    width, height = (int(side) for side in options.size.split("x"))
    picture = Picture(enlarged(options.picture, height, width))
    print(HEADER.format(threads=options.threads))
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for kind in FORMATS:
            if kind.extra is None or is_installed(kind.extra):
                print(row(picture, kind, options.threads, options.repeat, Path(folder)), flush=True)


if __name__ == "__main__":
    main()

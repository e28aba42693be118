"""What a run takes beside the network: starting, for one small picture, and reading and writing, for a folder of them.

    python benchmarks/startup.py
    python benchmarks/startup.py --repeat 7 --pictures 40 --threads 1

Times are medians, each way in turn with the others. Compiled modules are kept in a folder of the run, as an installed
program has them. The network's time is that of its runner in this process, on the same pictures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from upscale_cli import Upscaler
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.resize import resize_pixels

SAMPLE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "sample.png"
HEIGHT, WIDTH = 320, 480
IMPORTS = ("-c", "import torch, cv2")


def seconds(*arguments: str, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def draw(folder: Path, count: int) -> list[Path]:
    """Write ``count`` JPEG files of the sample, each a little different."""
    pixels = resize_pixels(read_picture(SAMPLE).color, (HEIGHT, WIDTH), "bicubic", np.uint8)
    paths = [folder / f"{number:02}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        write_image(Picture(np.roll(pixels, number, 1)), path, WriteOptions(by_name("jpeg")))
    return paths


def network_seconds(paths: list[Path]) -> float:
    """Return what the network alone takes for all, once it is warm."""
    upscaler = Upscaler(scale=4, device="cpu")
    pictures = [read_picture(path) for path in paths]
    runner = upscaler._runner_for(pictures[0].color, pictures[0].jpeg_quality)
    runner.run(pictures[0].color)
    start = time.perf_counter()
    for picture in pictures:
        runner.run(picture.color)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=40, help="of the folder; 0 for none")
    parser.add_argument("--threads", type=int, help="of the CPU")
    given = parser.parse_args()
    threads = () if given.threads is None else ("--threads", str(given.threads))
    if given.threads:
        torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        (folder / "one").mkdir()
        (photo,) = draw(folder / "one", 1)
        one = ("-m", "upscale_cli", str(photo), "-s", "4", "--device", "cpu", "--overwrite", *threads)
        times: dict[str, list[float]] = {"imports": [], "picture": []}
        for number in range(given.repeat + 1):
            for way, arguments in {"imports": IMPORTS, "picture": one}.items():
                taken = seconds(*arguments, environment=environment)
                times[way] += [taken] if number else []  # the first compiles
        imports, picture, network = median(times["imports"]), median(times["picture"]), network_seconds([photo])
        print(f"Torch {torch.__version__}, {torch.get_num_threads()} threads; medians of {given.repeat}, seconds.\n")
        print("| | seconds |\n| --- | --- |")
        print(f'| `python -c "import torch, cv2"` | {imports:.2f} |')
        print(f"| `upscale photo.jpg`, {WIDTH}x{HEIGHT}, four times | {picture:.2f} |")
        print(f"| above the imports | {picture - imports:.2f} |")
        print(f"| of that the network | {network:.2f} |")
        if given.pictures:
            (folder / "many").mkdir()
            paths = draw(folder / "many", given.pictures)
            network = network_seconds(paths)
            many = ("-m", "upscale_cli", str(folder / "many"), *one[3:])
            whole = seconds(*many, environment=environment) - imports
            print(f"| network, {given.pictures} pictures | {network:.2f} |")
            print(f"| `upscale folder/`, above the imports | {whole:.2f} |")
            print(f"| times the network | {whole / network:.2f} |")


if __name__ == "__main__":
    main()

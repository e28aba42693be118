"""What a picture larger than memory takes: resident memory beside file-backed pages, by the kernel's count.

    python benchmarks/large.py                                  # 12,000 x 12,000, a tiny network
    python benchmarks/large.py --side 4000 -m lite-x2           # needs the time of the network
    python benchmarks/large.py --kills 3                        # killed and started again so many times

The picture is a tiled BigTIFF, drawn by libvips. The program is made to take every picture for too large. Linux only.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from load import tiny_network

FORCED = """
import sys
from upscale_cli.cli import main
from upscale_cli.upscaling import large

large.SHARE_OF_FREE_MEMORY = 0
sys.argv = ["upscale", *sys.argv[1:]]
main()
"""
KINDS = ("RssAnon", "RssShmem", "RssFile")


def draw(side: int, path: Path) -> None:
    import pyvips

    coarse = np.random.default_rng(0).integers(0, 256, (side // 200, side // 200, 3)).astype(np.uint8)
    image = pyvips.Image.new_from_array(coarse).resize(200, kernel="cubic").crop(0, 0, side, side)
    image.tiffsave(str(path), compression="deflate", predictor="horizontal", tile=True, bigtiff=True)


def watched(command: list[str], longest: float) -> tuple[int, float, dict[str, float]]:
    """Run ``command`` for at most ``longest`` seconds; return its exit code, seconds, and the peak MiB of each kind."""
    peaks, start = dict.fromkeys(KINDS, 0.0), time.perf_counter()
    process = subprocess.Popen(command)
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        for kind in KINDS:
            if found := re.search(rf"{kind}:\s+(\d+)", status):
                peaks[kind] = max(peaks[kind], int(found[1]) / 1024)
        if time.perf_counter() - start > longest:
            process.kill()
        time.sleep(0.05)
    return process.returncode, time.perf_counter() - start, peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=12_000)
    parser.add_argument("-m", "--model", help="a name or file; a tiny network if left out")
    parser.add_argument("--format", default="tif", choices=["tif", "png", "jpg"], help="of the result")
    parser.add_argument("--width", type=int, help="of the result; twice the input's if left out")
    parser.add_argument("--kills", type=int, default=0, help="SIGKILL after 20 seconds each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        source, target = Path(name) / "scan.tif", Path(name) / f"result.{given.format}"
        draw(given.side, source)
        size = ["-s", "2"] if given.width is None else ["--width", str(given.width)]
        model = given.model or tiny_network(Path(name))
        command = [sys.executable, "-c", FORCED, str(source), *size, "-m", model, "-o", str(target), "--device", "cpu"]
        for _ in range(given.kills):
            watched(command, 20)
        code, seconds, peaks = watched(command, float("inf"))
        print(f"exit code {code}, {seconds:.0f} s, {target.stat().st_size / 1e6:.0f} MB written; at its peak ", end="")
        print(", ".join(f"{kind} {peak:.0f} MiB" for kind, peak in peaks.items()))


if __name__ == "__main__":
    main()

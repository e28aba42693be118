"""Scripts under benchmarks/ that wait for machines these tests do not have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def test_the_gpu_page_has_a_row_for_every_network_and_way() -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--quick", "--device", "cpu"]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    ways = ["plain loop", "--tile auto", "--tile 400", "3 pictures of 32x32", "one of 96x64"]
    assert [(row[0], row[1]) for row in rows[2:]] == [
        (name, way) for name in ("lite-x4", "compact 64/32") for way in ways
    ]
    moved = {(row[0], row[1]): float(row[3]) for row in rows[2:]}
    assert moved["lite-x4", "--tile auto"] < moved["lite-x4", "plain loop"] / 3.9  # bytes instead of fp32
    assert all(float(row[2]) > 0 for row in rows[2:])
    assert all(float(row[7].removesuffix(" dB")) > 40 for row in rows[2:] if row[7] and row[1] != "plain loop")

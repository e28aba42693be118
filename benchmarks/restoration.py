"""How close a small network for degraded pictures comes to its teacher, on pictures degraded with a fixed seed.

    python benchmarks/restoration.py --hr BSD100/HR --teacher realesr-general-x4v3 lite-x4 lite-x4-restore [--seed 0]

Every picture is degraded by the second-order degradation of Real-ESRGAN (x4). The table shows, for every network, the
PSNR on Y (dB) of its result to the teacher's and to HR, means over the pictures, without a border of 4 pixels; and by
how many levels of 255 the mean of a channel differs from LR's at most: in its result, and in the bare network's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import nn

from upscale_cli import Upscaler, metrics
from upscale_cli.evaluation import degraded_case
from upscale_cli.images.pairs import pictures_in
from upscale_cli.images.picture import Pixels
from upscale_cli.weights.resolve import resolve

SCALE = 4


def psnr_y(a: Pixels, b: Pixels) -> float:
    return metrics.score(a, b, SCALE).psnr_y


def shift(sr: Pixels, lr: Pixels) -> float:
    """Return the largest difference of a channel's mean, in levels."""
    return float(np.abs(sr.mean((0, 1)) - lr.mean((0, 1))).max())


def bare(module: nn.Module, lr: Pixels) -> Pixels:
    """Return what the network itself makes of ``lr``, as levels without rounding."""
    with torch.inference_mode():
        sr = module(torch.from_numpy(lr).permute(2, 0, 1)[None] / 255)
    levels: Pixels = sr[0].permute(1, 2, 0).numpy() * 255
    return levels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="names or files")
    parser.add_argument("--hr", type=Path, required=True, help="folder of sharp pictures")
    parser.add_argument("--teacher", default="realesr-general-x4v3", help="name or file")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cases = [degraded_case(path, SCALE, [given.seed, number]) for number, path in enumerate(pictures_in(given.hr))]
    teacher = Upscaler(given.teacher, precision="fp32")
    taught = [teacher.upscale(case.lr) for case in cases]
    print(f"{'network':<50} to teacher   to HR   shift    bare")
    for name in (given.teacher, *given.networks):
        upscaler = Upscaler(name, precision="fp32")
        results = [upscaler.upscale(case.lr) for case in cases]
        to_teacher = fmean(psnr_y(sr, other) for sr, other in zip(results, taught, strict=True))
        to_hr = fmean(psnr_y(sr, case.hr) for sr, case in zip(results, cases, strict=True))
        module = resolve(name).module
        shifts = max(shift(sr, case.lr) for sr, case in zip(results, cases, strict=True))
        own = max(shift(bare(module, case.lr), case.lr) for case in cases)
        print(f"{name:<50} {to_teacher:10.2f} {to_hr:7.2f} {shifts:7.2f} {own:7.2f}", flush=True)


if __name__ == "__main__":
    main()

"""How close a small network for damaged pictures comes to its teacher, on pictures damaged with a fixed seed.

    python benchmarks/restoration.py --hr BSD100/HR --teacher realesr-general-x4v3 lite-x4 lite-x4-restore [--seed 0]

Every picture is degraded by the second-order degradation of Real-ESRGAN (x4). The table shows, for every network, the
PSNR on Y (dB) of its result to the teacher's and to HR, means over the pictures, without a border of 4 pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from upscale_cli import Upscaler, metrics
from upscale_cli.degradation import chains
from upscale_cli.degradation.chains import SecondOrder
from upscale_cli.evaluation import levels
from upscale_cli.images.pairs import pictures_in
from upscale_cli.images.picture import Pixels
from upscale_cli.images.read import read_picture

SCALE = 4


def damaged(path: Path, seed: list[int]) -> tuple[Pixels, Pixels]:
    """HR, cropped to a multiple of the scale, and its LR."""
    hr = levels(read_picture(path).color)
    hr = np.ascontiguousarray(hr[: hr.shape[0] // SCALE * SCALE, : hr.shape[1] // SCALE * SCALE])
    planes: Tensor = torch.from_numpy(hr).permute(2, 0, 1)[None].float() / 255
    lr = chains.degrade(planes, SCALE, SecondOrder(), seed)[0].permute(1, 2, 0)
    return hr, (lr * 255).round().to(torch.uint8).contiguous().numpy()


def psnr_y(a: Pixels, b: Pixels) -> float:
    return metrics.score(a, b, SCALE).psnr_y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="names or files")
    parser.add_argument("--hr", type=Path, required=True, help="folder of sharp pictures")
    parser.add_argument("--teacher", default="realesr-general-x4v3", help="name or file")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    pairs = [damaged(path, [given.seed, number]) for number, path in enumerate(pictures_in(given.hr))]
    teacher = Upscaler(given.teacher, precision="fp32")
    taught = [teacher.upscale(lr) for _, lr in pairs]
    print(f"{'network':<50} to teacher   to HR")
    for name in (given.teacher, *given.networks):
        upscaler = Upscaler(name, precision="fp32")
        results = [upscaler.upscale(lr) for _, lr in pairs]
        to_teacher = fmean(psnr_y(sr, other) for sr, other in zip(results, taught, strict=True))
        to_hr = fmean(psnr_y(sr, hr) for sr, (hr, _) in zip(results, pairs, strict=True))
        print(f"{name:<50} {to_teacher:10.2f} {to_hr:7.2f}", flush=True)


if __name__ == "__main__":
    main()

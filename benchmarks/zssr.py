"""PSNR and time of zero-shot super-resolution on DIV2KRK's pictures, by the kernel it is given.

    python benchmarks/zssr.py DIV2KRK [--cases 14 24] [--kernels bicubic true] [--estimated DIR] [--crop 480]
    python benchmarks/zssr.py DIV2KRK --scale 4

DIV2KRK is a folder of gt/im_N.png, lr_x2/im_N.png and gt_k_x2/kernel_N.mat; of ``--estimated`` the kernels have names
that end in the number of their picture: kernel_14.mat, im_14.npy. LR is the middle of the picture, ``--crop`` pixels
wide and high. PSNR is that of Y, as `upscale eval` counts it; seconds are those of one core's work, training and
enlarging.

``--scale 4`` compares the two ways to four times the size with a kernel for two: the network twice, or one trained with
the kernel of downsampling twice. DIV2KRK's pictures for it being larger than they need to be, LR is made from gt.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from upscale_cli import device as devices
from upscale_cli import metrics
from upscale_cli.degradation.by_kernel import downsampled
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.kernels.blur_kernel import BlurKernel, applied_twice, bicubic
from upscale_cli.kernels.files import read_kernel
from upscale_cli.levels import to_pixels, to_planes
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.resolve import ResolvedNetwork
from upscale_cli.zero_shot import zssr
from upscale_cli.zero_shot.network import interpolate


@dataclass(frozen=True)
class Case:
    """``lr`` (H, W, 3), ``hr`` (scale·H, scale·W, 3), and the kernels by their names."""

    number: int
    lr: Pixels
    hr: Pixels
    kernels: dict[str, BlurKernel]

    @property
    def scale(self) -> int:
        return int(self.hr.shape[0] // self.lr.shape[0])


def psnr(a: Pixels, b: Pixels, border: int) -> float:
    inner = (slice(border, -border),) * 2
    return metrics.psnr(*(metrics.luma(pixels)[inner] for pixels in (a, b)))


def numbers(folder: Path) -> list[int]:
    """Of the pictures with ground truth."""
    return sorted(int(path.stem.removeprefix("im_")) for path in (folder / "gt").glob("im_*.png"))


def of_picture(folder: Path, number: int) -> BlurKernel:
    named = re.compile(rf"(.*\D)?0*{number}\.(npy|mat|json)")
    return read_kernel(next(path for path in sorted(folder.iterdir()) if named.fullmatch(path.name)))


def twice(folder: Path, number: int, options: argparse.Namespace) -> Case:
    """DIV2KRK's own LR, its middle; the kernels by their names."""
    lr, hr = (read_picture(folder / part / f"im_{number}.png").color for part in ("lr_x2", "gt"))
    true = read_kernel(folder / "gt_k_x2" / f"kernel_{number}.mat")
    same = psnr(downsampled(Picture(hr), true, 2).color, lr, 8)
    print(f"case {number}: gt downsampled by its kernel is LR within {same:.1f} dB", flush=True)
    kernels = {name: {"true": true, "bicubic": bicubic(2)}[name] for name in options.kernels}
    if options.estimated:
        kernels["estimated"] = of_picture(options.estimated, number)
    return Case(number, *middle(lr, hr, options.crop), kernels)


def four_times(folder: Path, number: int, options: argparse.Namespace) -> Case:
    """LR from gt by the kernel applied twice."""
    true = read_kernel(folder / "gt_k_x2" / f"kernel_{number}.mat")
    hr = read_picture(folder / "gt" / f"im_{number}.png").color
    hr = hr[: len(hr) // 4 * 4, : hr.shape[1] // 4 * 4]
    lr = downsampled(Picture(hr), applied_twice(true), 4).color
    return Case(number, *middle(lr, hr, options.crop), {"twice": true, "once": applied_twice(true)})


def middle(lr: Pixels, hr: Pixels, side: int) -> tuple[Pixels, Pixels]:
    scale = len(hr) // len(lr)
    height, width = (min(side, length) for length in lr.shape[:2])
    top, left = (lr.shape[0] - height) // 2, (lr.shape[1] - width) // 2
    cropped = hr[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    return lr[top : top + height, left : left + width], cropped


def measured(case: Case, kernel: BlurKernel, options: argparse.Namespace) -> tuple[float, float]:
    """(dB, seconds)."""
    start = time.process_time()
    bf16 = devices.cpu_has_bf16() and not options.fp32
    network = zssr.fit(to_planes(case.lr), kernel, seed=options.seed, iterations=options.iterations, bf16=bf16)
    resolved = ResolvedNetwork("zssr", network.spec, network, {})
    sr = Upscaler(network=resolved, scale=case.scale, device="cpu").upscale(case.lr)
    return psnr(sr, case.hr, case.scale), time.process_time() - start


def report(case: Case, options: argparse.Namespace) -> list[float]:
    """One row of the table; its decibels."""
    bicubically = to_pixels(interpolate(to_planes(case.lr), case.scale), np.uint8)
    results = [measured(case, kernel, options) for kernel in case.kernels.values()]
    decibels = [psnr(bicubically, case.hr, case.scale), *(db for db, _ in results)]
    cells = [f"{decibels[0]:.2f}", *(f"{db:.2f} ({seconds:.0f} s)" for db, seconds in results)]
    print(f"| {case.number} | " + " | ".join(cells) + " |", flush=True)
    return decibels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, nargs="+", help="numbers of pictures; default: all with ground truth")
    parser.add_argument("--kernels", nargs="*", choices=["bicubic", "true"], default=["bicubic", "true"])
    parser.add_argument("--estimated", type=Path, help="folder of estimated kernels")
    parser.add_argument("--crop", type=int, default=480, help="LR pixels")
    parser.add_argument("--scale", type=int, choices=[2, 4], default=2)
    parser.add_argument("--iterations", type=int, default=zssr.ITERATIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fp32", action="store_true", help="train in full precision")
    options = parser.parse_args()
    torch.set_num_threads(1)
    make = twice if options.scale == 2 else four_times
    cases = [make(options.folder, number, options) for number in options.cases or numbers(options.folder)]
    header = ["case", "interpolated", *cases[0].kernels]
    print("| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
    rows = [report(case, options) for case in cases]
    print("| mean | " + " | ".join(f"{mean:.2f}" for mean in np.mean(rows, 0)) + " |")


if __name__ == "__main__":
    main()

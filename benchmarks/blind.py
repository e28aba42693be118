"""PSNR and time of enlarging blurred pictures with their estimated kernel, on DIV2KRK's pictures with ground truth.

    python benchmarks/blind.py DIV2KRK [--scale 4] [--cases 14 24] [--sharp SET14] [--zssr]

DIV2KRK is a folder of gt/im_N.png, lr_x2/im_N.png and gt_k_x2/kernel_N.mat. Whole pictures; PSNR is that of Y, as
`upscale eval` counts it; seconds are those of one core's work, the estimate included. ``--scale 4``: LR is made from gt
by the kernel applied twice. ``--sharp``: a folder of HR/ and LR/, bicubically downsampled by the scale, on which
--kernel auto is compared with the network for sharp pictures. ``--zssr``: ZSSR with the estimated kernel too, and its
seconds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from upscale_cli import Upscaler, metrics
from upscale_cli.degradation.by_kernel import downsampled
from upscale_cli.images.pairs import paired
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.kernels.blur_kernel import applied_twice
from upscale_cli.kernels.files import read_kernel, write_kernel
from upscale_cli.resize import resize_pixels


def psnr(sr: Pixels, hr: Pixels, border: int) -> float:
    height, width = (min(a, b) - border for a, b in zip(sr.shape[:2], hr.shape[:2], strict=True))
    return metrics.psnr(*(metrics.luma(pixels)[border:height, border:width] for pixels in (sr, hr)))


def case(folder: Path, number: int, scale: int, scratch: Path) -> tuple[Pixels, Pixels, Path]:
    """Return LR, HR and the file of the true kernel of one picture."""
    kernel_file, hr = (
        folder / "gt_k_x2" / f"kernel_{number}.mat",
        read_picture(folder / "gt" / f"im_{number}.png").color,
    )
    if scale == 2:
        return read_picture(folder / "lr_x2" / f"im_{number}.png").color, hr, kernel_file
    hr = hr[: len(hr) // 4 * 4, : hr.shape[1] // 4 * 4]
    kernel = applied_twice(read_kernel(kernel_file))
    write_kernel(of_four := scratch / f"{number}.json", kernel)
    return downsampled(Picture(hr), kernel, 4).color, hr, of_four


def report(number: int, lr: Pixels, hr: Pixels, kernel: Path, scale: int, zssr: bool) -> list[float]:
    """Print one row of the table, and return its figures."""
    size = lr.shape[0] * scale, lr.shape[1] * scale
    figures = [psnr(resize_pixels(lr, size, "bicubic", np.uint8), hr, scale)]
    networks = [Upscaler(f"lite-x{scale}"), Upscaler(kernel=kernel, scale=scale), Upscaler(kernel="auto", scale=scale)]
    networks += [Upscaler(kernel="auto", zssr=True, scale=scale)] if zssr else []
    seconds = []
    for upscaler in networks:
        start = time.process_time()
        figures.append(psnr(upscaler.upscale(lr, scale), hr, scale))
        seconds.append(time.process_time() - start)
    figures += seconds[2:]
    print(f"| {number} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |", flush=True)
    return figures


def sharp(folder: Path, scale: int) -> None:
    """Print the means of PSNR on bicubically downsampled pictures."""
    networks = Upscaler(f"lite-x{scale}"), Upscaler(kernel="auto", scale=scale)
    rows = []
    for files in paired(folder / "HR", folder / "LR"):
        hr, lr = (read_picture(file).color for file in files)
        rows.append([psnr(network.upscale(lr, scale), hr, scale) for network in networks])
    plain, blind = np.mean(rows, 0)
    print(f"\n{len(rows)} pictures of {folder}: lite-x{scale} {plain:.2f}, --kernel auto {blind:.2f} dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=int, choices=[2, 4], default=2)
    parser.add_argument("--cases", type=int, nargs="+", help="numbers of pictures; default: all with ground truth")
    parser.add_argument("--sharp", type=Path)
    parser.add_argument("--zssr", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known = sorted(int(path.stem.removeprefix("im_")) for path in (asked.folder / "gt").glob("im_*.png"))
    header = (
        "picture",
        "bicubic",
        f"lite-x{asked.scale}",
        "true kernel",
        "estimated kernel",
        *asked.zssr * ("ZSSR",),
        "seconds",
    )
    header += asked.zssr * ("ZSSR's seconds",)
    print("| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
    with tempfile.TemporaryDirectory() as scratch:
        cases = (case(asked.folder, n, asked.scale, Path(scratch)) for n in asked.cases or known)
        rows = [
            report(n, *found, asked.scale, asked.zssr) for n, found in zip(asked.cases or known, cases, strict=True)
        ]
    print("| mean | " + " | ".join(f"{mean:.2f}" for mean in np.mean(rows, 0)) + " |")
    if asked.sharp:
        sharp(asked.sharp, asked.scale)


if __name__ == "__main__":
    main()

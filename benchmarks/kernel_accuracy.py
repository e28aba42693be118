"""How near estimated kernels come to the true ones of DIV2KRK, and how long that takes.

    python benchmarks/kernel_accuracy.py ../shared/data/DIV2KRK_10 [--runs 3] [--prior gaussian] [--cases 2,14]
    python benchmarks/kernel_accuracy.py ../shared/data/DIV2KRK_10 --bicubic
    python benchmarks/kernel_accuracy.py ../shared/data/DIV2KRK_10 --layer-by-layer 60
    python benchmarks/kernel_accuracy.py ../shared/data/DIV2KRK_10 --save kernels/ --picture kernels.png

The folder holds lr_x2/im_N.png, gt_k_x2/kernel_N.mat and, for some N, gt/im_N.png. Correlations are normalised
cross-correlations after alignment of the centres of mass. With several runs, "one run" is the first of them. With
--bicubic the sharp pictures are downsampled by MATLAB's bicubic instead, whose kernel is to be found. --save takes a
folder for the kernels found, which `benchmarks/zssr.py --estimated` reads; --picture shows them under the true ones.
One core; seconds are those of the processor's work, so that other programs hardly disturb them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from layer_by_layer import seconds_of_composed, seconds_of_layers
from tqdm import tqdm

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.sheet import contact_sheet
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.kernel_estimation.estimate import Estimate, Progress, Settings, estimate
from upscale_cli.kernels import blur_kernel
from upscale_cli.kernels.blur_kernel import BlurKernel
from upscale_cli.kernels.drawing import squares
from upscale_cli.kernels.files import read_kernel, write_kernel
from upscale_cli.kernels.similarity import correlation, placed, psnr
from upscale_cli.resize import matlab_bicubic

HEADINGS = ("case", "bicubic assumed", "one run", "estimate", "kernel PSNR", "agreement", "seconds")
SHOWN, CELL = 13, 104  # values and pixels of a drawn kernel


@dataclass(frozen=True)
class Case:
    name: str
    picture: Picture
    truth: BlurKernel


@dataclass(frozen=True)
class Row:
    """Correlations to the true kernel: of bicubic, of the first run, of all runs; and the rest of ``HEADINGS``."""

    bicubic: float
    one_run: float
    estimate: float
    kernel_psnr: float
    agreement: float
    seconds: float

    def cells(self) -> list[str]:
        quality = [f"{value:.3f}" for value in (self.bicubic, self.one_run, self.estimate)]
        return [*quality, f"{self.kernel_psnr:.1f} dB", f"{self.agreement:.3f}", f"{self.seconds:.1f}"]


def cases(folder: Path, chosen: Sequence[int]) -> list[Case]:
    numbers = chosen or sorted(int(path.stem.split("_")[1]) for path in (folder / "lr_x2").glob("im_*.png"))
    return [
        Case(
            str(number),
            read_picture(folder / "lr_x2" / f"im_{number}.png"),
            read_kernel(folder / "gt_k_x2" / f"kernel_{number}.mat"),
        )
        for number in numbers
    ]


def bicubic_cases(folder: Path, chosen: Sequence[int]) -> list[Case]:
    numbers = chosen or sorted(int(path.stem.split("_")[1]) for path in (folder / "gt").glob("im_*.png"))
    sharp = {number: read_picture(folder / "gt" / f"im_{number}.png") for number in numbers}
    return [
        Case(f"bicubic {n}", downsampled_bicubically(picture), blur_kernel.bicubic(2)) for n, picture in sharp.items()
    ]


def downsampled_bicubically(picture: Picture) -> Picture:
    image = torch.from_numpy(picture.color).permute(2, 0, 1).float()
    levels = matlab_bicubic(image, 0.5).round().clamp(0, 255).to(torch.uint8)
    return Picture(levels.permute(1, 2, 0).contiguous().numpy())


def estimated(case: Case, settings: Settings) -> tuple[Estimate, float]:
    """And the seconds it took."""
    steps = settings.runs * settings.iterations if settings.prior == "none" else 0
    started = time.process_time()
    with tqdm(total=steps, desc=case.name, leave=False, disable=not steps) as bar:

        def on_step(_: Progress) -> None:
            bar.update()

        found = estimate(case.picture, settings, on_step)
    return found, time.process_time() - started


def row(truth: BlurKernel, found: Estimate, seconds: float) -> Row:
    return Row(
        bicubic=correlation(blur_kernel.bicubic(2).values, truth.values),
        one_run=correlation(found.runs[0], truth.values),
        estimate=correlation(found.kernel.values, truth.values),
        kernel_psnr=psnr(found.kernel.values, truth.values),
        agreement=float("nan") if found.agreement is None else found.agreement,
        seconds=seconds,
    )


def draw(found: Sequence[tuple[Case, Estimate]], path: Path) -> None:
    """True kernels in one row, estimates under them with their correlations."""
    truths = [_cell(case.truth) for case, _ in found]
    estimates = [_cell(estimate.kernel) for _, estimate in found]
    names = [case.name for case, _ in found]
    scores = [f"{correlation(estimate.kernel.values, case.truth.values):.3f}" for case, estimate in found]
    sheet = contact_sheet([*truths, *estimates], [*names, *scores], most_columns=len(found))
    write_image(sheet, path, WriteOptions(by_name("png")))


def _cell(kernel: BlurKernel) -> Picture:
    """The middle 13x13 values around the centre of mass."""
    room = kernel.size + SHOWN + 1 | 1
    first = (room - SHOWN) // 2
    values = placed(kernel.values, room, (room // 2, room // 2))
    return Picture(squares(values[first : first + SHOWN, first : first + SHOWN], CELL))


def print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def mean(rows: Sequence[Row]) -> Row:
    return Row(*np.mean([list(vars(row).values()) for row in rows], axis=0))


def compare_speed(case: Case, iterations: int) -> None:
    """Both forms from the same start on the same crops, in turns; the seconds are of that many iterations, scaled."""
    image = torch.from_numpy(case.picture.color).permute(2, 0, 1).float() / 255
    scaled = 3000 / iterations
    ours, layers = (of(image, iterations) * scaled for of in (seconds_of_composed, seconds_of_layers))
    print(f"case {case.name}, {case.picture.width}x{case.picture.height}, one core, {iterations} iterations each")
    print(f"one kernel      {ours:7.1f} s for 3000 iterations")
    print(f"layer by layer  {layers:7.1f} s for 3000 iterations")
    print(f"ratio           {layers / ours:7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=lambda text: [int(part) for part in text.split(",")], default=[])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--prior", choices=["none", "gaussian"], default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--bicubic", action="store_true")
    parser.add_argument("--save", type=Path, help="folder for the kernels found")
    parser.add_argument("--picture", type=Path, help="PNG of true and found kernels")
    parser.add_argument("--layer-by-layer", type=int, metavar="ITERATIONS", help="compare the speed of both forms")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(seed=options.seed, runs=options.runs, prior=options.prior)
    if options.iterations:
        settings = replace(settings, iterations=options.iterations)
    found = (bicubic_cases if options.bicubic else cases)(options.folder, options.cases)
    if options.layer_by_layer:
        compare_speed(found[0], options.layer_by_layer)
        return
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
    print_row(HEADINGS)
    print_row(["---"] * len(HEADINGS))
    rows, results = [], []
    for case in found:
        result, seconds = estimated(case, settings)
        rows.append(row(case.truth, result, seconds))
        results.append((case, result))
        print_row([case.name, *rows[-1].cells()])
        if options.save:
            write_kernel(options.save / f"kernel_{case.name.replace(' ', '_')}.mat", result.kernel)
    print_row(["mean", *mean(rows).cells()])
    if options.picture:
        draw(results, options.picture)


if __name__ == "__main__":
    main()

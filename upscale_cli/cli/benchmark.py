"""``upscale benchmark``: how fast this machine is, against a plain loop and against its own arithmetic peak."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import parse_width_height, style_options, upscale_options
from upscale_cli.cli.records import BenchmarkRecord

if TYPE_CHECKING:
    from upscale_cli.device import Precision
    from upscale_cli.upscaling.options import UpscaleOptions

COLUMNS = ("network", "size", "how", "seconds", "MP/s", "speed-up", "of peak", "PSNR to fp32", "peak memory")
WIDTHS = (22, 12, 12, 9, 8, 10, 9, 14, 12)


@click.command()
@click.option("-m", "--model", "models", multiple=True, help="Network to measure; repeatable.")
@click.option(
    "--size",
    type=parse_width_height,
    default="512x512",
    show_default=True,
    metavar="WxH",
    help="Size of the picture given to --model.",
)
@upscale_options("device", "threads", "tile")
@click.option(
    "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Number of runs; the fastest counts."
)
@click.option("--skip-plain", is_flag=True, help="Leave out the plain fp32 loop, the slowest.")
@style_options(json_help="One JSON object per line.", quiet_help="No line on the machine.")
def benchmark(
    models: tuple[str, ...], size: tuple[int, int], options: UpscaleOptions, repeat: int, skip_plain: bool, style: Style
) -> None:
    """Measure speed and memory; with -m also for the times that `upscale --dry-run` names.

    Each network runs as the plain loop everybody writes first (whole picture, NCHW, fp32), then as this program runs
    it, in fp32 and with --half. Without -m: the two networks the field uses most, with random weights.

    \b
    Example:  upscale benchmark -m lite-x4 --size 4000x3000
    """
    from upscale_cli import benchmarking
    from upscale_cli import device as devices
    from upscale_cli.upscaling.forecast import keep_speed

    devices.keep_freed_memory()
    console = Console(style)
    named = [benchmarking.named_case(model, *size, console.download, console.notify) for model in models]
    cases = named or benchmarking.standard_cases()
    machine = benchmarking.measure_machine(options.device, options.threads)
    console.tell(machine.describe())
    if style != "json":
        console.result(_row(COLUMNS))
    for number, case in enumerate(cases):
        for measured in benchmarking.measure(case, machine, options.tile, repeat, skip_plain):
            cells = (
                measured.network,
                measured.size,
                measured.how,
                f"{measured.seconds:.2f}",
                f"{measured.megapixels_per_second:.3f}",
                f"{measured.speed_up:.2f}x" if measured.speed_up else "-",
                f"{measured.share_of_peak:.0%}",
                f"{measured.psnr_to_fp32:.1f} dB" if measured.psnr_to_fp32 else "-",
                f"{measured.peak_memory / 2**20:.0f} MiB",
            )
            console.result(_row(cells), BenchmarkRecord(**asdict(measured)))
            if named and measured.how != "plain fp32":
                precision: Precision = "half" if measured.how == "--half" else "fp32"
                asked = replace(options, model=models[number], precision=precision)
                keep_speed(asked, measured.seconds, measured.megapixels_per_second * measured.seconds)


def _row(cells: tuple[str, ...]) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()

"""``upscale benchmark``: how fast this machine is, against a plain loop and against its own arithmetic peak."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from upscale_cli.benchmarking import Measurement

COLUMNS = ("network", "size", "how", "seconds", "MP/s", "speed-up", "of peak", "PSNR to fp32", "peak memory")


@click.command()
@click.option(
    "-m", "--model", "models", multiple=True, help="Model or weights file to measure, several times if you like."
)
@click.option(
    "--size", default="512x512", show_default=True, metavar="WxH", help="Size of the picture given to --model."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]")
@click.option("--tile", default="auto", show_default=True, help="auto, 0 for none, or LR pixels.")
@click.option(
    "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Runs of which the fastest counts."
)
@click.option("--skip-plain", is_flag=True, help="Leave out the plain fp32 loop, the slowest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def benchmark(
    models: tuple[str, ...],
    size: str,
    device: str,
    threads: int | None,
    tile: str,
    repeat: int,
    skip_plain: bool,
    as_json: bool,
) -> None:
    """Measure speed and memory.

    Each network runs as the plain loop everybody writes first (whole picture, NCHW, fp32), then as this program runs
    it, in fp32 and with --half. Without -m: the two networks the field uses most, with random weights.

    \b
    Example:  upscale benchmark -m lite-x4 --size 4000x3000
    """
    from upscale_cli import benchmarking
    from upscale_cli.cli.options import parse_tile, parse_width_height

    cases = [
        benchmarking.named_case(model, *parse_width_height(size)) for model in models
    ] or benchmarking.standard_cases()
    machine = benchmarking.measure_machine(device, threads)
    if not as_json:
        click.echo(machine.describe())
        click.echo(_row(COLUMNS))
    for case in cases:
        for result in benchmarking.measure(case, machine, parse_tile(tile), repeat, skip_plain):
            click.echo(json.dumps(result.as_dict()) if as_json else _row(_cells(result)))


def _cells(result: Measurement) -> tuple[Any, ...]:
    return (
        result.network,
        result.size,
        result.how,
        f"{result.seconds:.2f}",
        f"{result.megapixels_per_second:.3f}",
        f"{result.speed_up:.2f}x" if result.speed_up else "-",
        f"{result.share_of_peak:.0%}",
        f"{result.psnr_to_fp32:.1f} dB" if result.psnr_to_fp32 else "-",
        f"{result.peak_memory / 2**20:.0f} MiB",
    )


def _row(cells: tuple[Any, ...]) -> str:
    return "".join(
        f"{cell!s:<{width}}" for cell, width in zip(cells, (22, 12, 12, 9, 8, 10, 9, 14, 12), strict=True)
    ).rstrip()

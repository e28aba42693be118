"""``upscale eval``: how close results, or networks, come to the truth, in the field's own measures and protocol."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from upscale_cli.cli.options import Heading, chosen_precision, parse_tile
from upscale_cli.cli.report import DownloadBar, Report, chosen_style
from upscale_cli.errors import UsageError

if TYPE_CHECKING:
    from upscale_cli.evaluation import Case
    from upscale_cli.upscaling.scoring import Distance, Enlarge, Result
    from upscale_cli.upscaling.upscaler import Upscaler

DEFAULT_SCALE = 4
COLUMNS = {  # measure: heading, format
    "psnr_y": ("PSNR Y", ".2f"),
    "ssim_y": ("SSIM Y", ".4f"),
    "psnr_rgb": ("PSNR RGB", ".2f"),
    "ssim_rgb": ("SSIM RGB", ".4f"),
    "lpips": ("LPIPS", ".4f"),
    "seconds": ("s/picture", ".2f"),
}
Row = tuple[str, dict[str, float]]


@click.command("eval", cls=Heading, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, metavar="[HR SR]")
@click.option(
    "-m", "--model", "models", multiple=True, metavar="NAME|FILE", help="Run these networks and measure them."
)
@click.option("--hr", type=click.Path(path_type=Path), help="The true pictures for --model.")
@click.option("--lr", type=click.Path(path_type=Path), help="Their LR pictures.  [default: MATLAB's bicubic of HR]")
@click.option("-s", "--scale", type=click.IntRange(1), help="Scale of the results.  [default: the network's, or 4]")
@click.option("--border", type=click.IntRange(0), help="Pixels left out on every side.  [default: the scale]")
@click.option("--lpips", "with_lpips", is_flag=True, help="LPIPS too, for --model (needs the extra of this name).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--half", is_flag=True, help="Half precision.")
@click.option("--fp32", is_flag=True, help="Full precision.")
@click.option("--tile", default="auto", show_default=True, help="Side of tiles in LR pixels, 0 for none, or auto.")
@click.option("--tta", is_flag=True, help="Mean over eight orientations.")
@click.option("--markdown", is_flag=True, help="The table in Markdown.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per picture, and one for each mean.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def evaluate(paths: tuple[str, ...], **options: Any) -> None:
    """PSNR and SSIM of results SR against the true pictures HR, two folders or two files.

    Or of networks: --model runs each of them on the LR pictures and measures what it makes, beside bicubic.

    Measured on Y (ITU-R BT.601) and on RGB, without a border of SCALE pixels, as papers do. Pictures pair by name:
    baby.png with baby.png, baby_x4.png or, in the usual packaging of Set5, img_001_SRF_4_HR with img_001_SRF_4_LR.

    \b
    upscale Set5/LR -s 4 -o results/ && upscale eval Set5/HR results/
    upscale eval --model lite-x4 my.safetensors --hr Set5/HR --lr Set5/LR --markdown
    """
    if options["markdown"] and options["as_json"]:
        raise UsageError("--markdown and --json exclude each other.", "Give one of them, or none.")
    if options["models"]:
        _evaluate_networks((*options["models"], *paths), options)
    else:
        _evaluate_results(paths, options)


evaluate.headings = {
    "Networks": ("models", "hr", "lr", "device", "half", "fp32", "tile", "tta"),
    "Measures": ("scale", "border", "with_lpips"),
    "Output": ("markdown", "as_json", "quiet"),
}


def _evaluate_results(paths: tuple[str, ...], options: dict[str, Any]) -> None:
    from upscale_cli.evaluation import compared
    from upscale_cli.images.pairs import paired

    for name in ("hr", "lr", "half", "fp32", "tta", "with_lpips"):
        if options[name]:
            raise UsageError(f"--{name.removeprefix('with_')} works with --model only.", "Add --model NAME.")
    if len(paths) != 2:
        raise UsageError(f"Two paths, HR and SR, are compared, not {len(paths)}.", "Or name networks with --model.")
    scale = options["scale"] or DEFAULT_SCALE
    border = scale if options["border"] is None else options["border"]
    rows: list[Row] = [
        (truth.stem, asdict(compared(truth, result, scale, border)))
        for truth, result in paired(Path(paths[0]), Path(paths[1]))
    ]
    measures = rows[0][1]
    rows.append(("mean", {measure: fmean(values[measure] for _, values in rows) for measure in measures}))
    if options["as_json"]:
        for name, values in rows:
            click.echo(_json({"name": name}, values))
    else:
        _print_table("picture", rows, options["markdown"])


def _evaluate_networks(models: tuple[str, ...], options: dict[str, Any]) -> None:
    from upscale_cli.upscaling.scoring import lpips_distance, mean

    if options["hr"] is None:
        raise UsageError("--model needs true pictures to compare with.", "Add --hr DIR.")
    lpips = lpips_distance() if options["with_lpips"] else None
    rows: list[Row] = []
    report = Report(chosen_style(options["quiet"], options["as_json"]), 1)
    for results in _scored(models, options, report, lpips):
        average = mean(results)
        rows.append((average.method, average.values))
        for result in [*results, average] if options["as_json"] else []:
            click.echo(_json({"model": result.method, "name": result.picture}, result.values))
    if not options["as_json"]:
        _print_table("network", rows, options["markdown"])


def _scored(
    models: tuple[str, ...], options: dict[str, Any], report: Report, lpips: Distance | None
) -> Iterator[list[Result]]:
    """The results of bicubic, once for each scale, and of every network, on all pictures."""
    from upscale_cli.evaluation import find_cases, load_case
    from upscale_cli.upscaling.scoring import bicubic, network, scored

    files = find_cases(options["hr"], options["lr"])
    cases: dict[int, list[Case]] = {}

    def results(method: str, enlarge: Enlarge, scale: int) -> list[Result]:
        border = scale if options["border"] is None else options["border"]
        hidden = options["quiet"] or options["as_json"] or not sys.stderr.isatty()
        bar = tqdm(cases[scale], desc=method, disable=hidden, leave=False, file=sys.stderr, dynamic_ncols=True)
        return [scored(method, enlarge, case, border, lpips) for case in bar]

    for model in models:
        upscaler = _upscaler(model, options, report)
        scale = options["scale"] or upscaler.spec.scale
        if scale not in cases:
            cases[scale] = [load_case(hr, lr, scale) for hr, lr in files]
            yield results(f"bicubic x{scale}", bicubic(scale), scale)
        yield results(model, network(upscaler, scale), scale)


def _upscaler(model: str, options: dict[str, Any], report: Report) -> Upscaler:
    from upscale_cli.upscaling.upscaler import Upscaler

    return Upscaler(
        model,
        device=options["device"],
        precision=chosen_precision(options["half"], options["fp32"]),
        tile=parse_tile(options["tile"]),
        tta=options["tta"],
        on_download=DownloadBar(options["quiet"]),
        notify=report.notify,
    )


def _json(name: dict[str, str], values: dict[str, float]) -> str:
    """JSON has no infinity, of equal pictures, and no NaN, of those smaller than SSIM's window: they are null."""
    return json.dumps({**name, **{key: v if math.isfinite(v) else None for key, v in values.items()}})


def _print_table(kind: str, rows: list[Row], markdown: bool) -> None:
    """Aligned for eyes, or in Markdown; ``kind`` is what the rows are."""
    measures = [measure for measure in COLUMNS if measure in rows[0][1]]
    lines = [[kind, *(COLUMNS[measure][0] for measure in measures)]]
    lines += [[name, *(format(values[m], COLUMNS[m][1]) for m in measures)] for name, values in rows]
    width = max(len(line[0]) for line in lines)
    for number, (name, *cells) in enumerate(lines):
        if markdown:
            click.echo("| " + " | ".join([name, *cells]) + " |")
        else:
            click.echo(f"{name:<{width}}" + "".join(f"{cell:>10}" for cell in cells))
        if markdown and number == 0:
            click.echo("|---" + "|--:" * len(cells) + "|")

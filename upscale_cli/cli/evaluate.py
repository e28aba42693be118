"""``upscale eval``: how close results, or networks, come to HR, in the field's own measures and protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import Heading, overwrite_option, path, style_options, upscale_options
from upscale_cli.cli.outputs import require_file
from upscale_cli.cli.records import MeanRecord, ScoreRecord
from upscale_cli.errors import UsageError

if TYPE_CHECKING:
    from upscale_cli.evaluation import Case
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.upscaling.scoring import Enlarge, Numbers

DEFAULT_SCALE = 4
METRICS = "psnr,ssim"
CHARTS = (".png", ".svg", ".pdf")
ONE_METHOD = "result"  # its name in a chart of results that are files


@click.command("eval", cls=Heading, no_args_is_help=True)
@click.argument("paths", nargs=-1, metavar="[HR SR]")
@click.option(
    "-m", "--model", "models", multiple=True, metavar="NAME|FILE", help="Run these networks and measure them."
)
@click.option("--hr", type=path(), help="The HR pictures for --model.")
@click.option("--lr", type=path(), help="Their LR pictures.  [default: MATLAB's bicubic of HR]")
@click.option("-s", "--scale", type=click.IntRange(1), help="Scale of the results.  [default: the network's, or 4]")
@click.option("--border", type=click.IntRange(0), help="Pixels left out on every side.  [default: the scale]")
@click.option(
    "--metrics",
    metavar="LIST",
    default=METRICS,
    show_default=True,
    help="Of psnr, ssim, ms-ssim, niqe, lpips (needs the extra of this name) and dists, joined by commas.",
)
@click.option("--lpips", "with_lpips", is_flag=True, help="LPIPS too.")
@click.option("--niqe-model", type=path(), help="Statistics of undistorted pictures, for niqe: an .npz or .mat file.")
@click.option("--plot", type=path(), metavar="FILE", help="A chart: png, svg or pdf.")
@overwrite_option
@upscale_options("device", "precision", "tile", "tta")
@click.option("--markdown", is_flag=True, help="The table in Markdown.")
@style_options(json_help="One JSON object per picture, and one for each mean.", quiet_help="No progress.")
def evaluate(
    *,
    paths: tuple[str, ...],
    models: tuple[str, ...],
    hr: Path | None,
    lr: Path | None,
    scale: int | None,
    border: int | None,
    metrics: str,
    with_lpips: bool,
    niqe_model: Path | None,
    plot: Path | None,
    overwrite: bool,
    options: UpscaleOptions,
    markdown: bool,
    style: Style,
) -> None:
    """Print PSNR, SSIM or other measures of results SR against HR, two folders or two files.

    Or of networks: --model runs each of them on the LR pictures and measures its results, beside bicubic.

    Measured on Y (ITU-R BT.601) and on RGB, without a border of SCALE pixels, as papers do. Pictures pair by name:
    baby.png with baby.png, baby_x4.png or, in the usual packaging of Set5, img_001_SRF_4_HR with img_001_SRF_4_LR.

    \b
    upscale Set5/LR -s 4 -o results/ && upscale eval Set5/HR results/
    upscale eval hr/ results/ --metrics psnr,ms-ssim,lpips --plot chart.png
    upscale eval --model lite-x4 my.safetensors --hr Set5/HR --lr Set5/LR --markdown
    """
    if markdown and style == "json":
        raise UsageError("--markdown and --json exclude each other.", "Give one of them, or none.")
    if plot:
        _require_chart(plot, overwrite)
    if models and hr is None:
        raise UsageError("--model needs HR pictures to compare with.", "Add --hr DIR.")
    if not models:
        used = {"hr": hr, "lr": lr, options.precision: options.precision != "auto", "tta": options.tta}
        for name, value in used.items():
            if value:
                raise UsageError(f"--{name} works with --model only.", "Add --model NAME.")
    from upscale_cli.measures.table import measured

    names = [name.strip().lower() for name in metrics.split(",") if name.strip()]
    numbers = measured([*names, *["lpips"] * with_lpips], niqe_model)
    console = Console(style)
    kind = "network" if models else "picture"
    scores: Iterable[ScoreRecord]
    if hr is None:
        scores = _compared(paths, scale or DEFAULT_SCALE, border, numbers, console)
    else:
        scores = _scored((*models, *paths), hr, lr, scale, border, numbers, options, console)
    shown = _print(scores, kind, markdown, console)
    if plot:
        _draw(shown, plot)


evaluate.headings = {
    "Networks": "models hr lr device half bf16 fp32 tile tta",
    "Measures": "metrics with_lpips niqe_model scale border",
    "Output": "plot overwrite markdown json quiet",
}


def _require_chart(path: Path, overwrite: bool) -> None:
    """Raise UsageError where ``path`` has no extension of a chart, OutputError where it cannot be written."""
    if path.suffix.lower() not in CHARTS:
        raise UsageError(f"{path} has no extension of a chart.", f"Name it {', '.join(CHARTS)}.")
    require_file(path, overwrite)


def _draw(scores: Sequence[ScoreRecord], path: Path) -> None:
    """Draw the scores of single pictures, those of networks beside each other."""
    from upscale_cli.measures.chart import draw
    from upscale_cli.measures.table import MEASURES

    table: dict[str, dict[str, dict[str, float]]] = {}
    for score in scores:
        if not isinstance(score, MeanRecord):
            numbers = {measure: value for measure in MEASURES if (value := getattr(score, measure)) is not None}
            table.setdefault(score.model or ONE_METHOD, {})[score.name] = numbers
    draw(table, path)


def _compared(
    paths: Sequence[str], scale: int, border: int | None, numbers: Numbers, console: Console
) -> list[ScoreRecord]:
    """Return the scores of each result, and their mean."""
    from upscale_cli.evaluation import result_and_hr
    from upscale_cli.images.pairs import paired

    if len(paths) != 2:
        raise UsageError(f"Two paths, HR and SR, are compared, not {len(paths)}.", "Or name networks with --model.")
    pairs = paired(Path(paths[0]), Path(paths[1]))
    border = scale if border is None else border
    scores = [
        ScoreRecord(hr.stem, model=None, **numbers(*result_and_hr(hr, sr, scale, border), border))
        for hr, sr in console.each(pairs, lambda pair: pair[1].name)
    ]
    return [*scores, _mean(scores)]


def _scored(
    models: Sequence[str],
    hr: Path,
    lr: Path | None,
    scale: int | None,
    border: int | None,
    numbers: Numbers,
    options: UpscaleOptions,
    console: Console,
) -> Iterator[ScoreRecord]:
    """Yield the scores, and their mean, of bicubic, once for each scale, and of every network."""
    from upscale_cli.evaluation import find_cases, load_case
    from upscale_cli.upscaling.scoring import bicubic, network, scored
    from upscale_cli.upscaling.upscaler import Upscaler

    files = find_cases(hr, lr)
    cases: dict[int, list[Case]] = {}

    def of_method(method: str, enlarge: Enlarge, scale: int) -> Iterator[ScoreRecord]:
        inner = scale if border is None else border
        scores = [
            ScoreRecord(case.name, model=method, **scored(enlarge, case, inner, numbers))
            for case in console.each(cases[scale], lambda case: method)
        ]
        yield from (*scores, _mean(scores))

    for model in models:
        asked = replace(options, model=model)
        upscaler = Upscaler.from_options(asked, on_download=console.download, notify=console.notify)
        used = scale or upscaler.spec.scale
        if used not in cases:
            cases[used] = [load_case(*pair, used) for pair in files]
            yield from of_method(f"bicubic x{used}", bicubic(used), used)
        yield from of_method(model, network(upscaler, used), used)


def _mean(scores: Sequence[ScoreRecord]) -> MeanRecord:
    """Return the means of what was measured."""
    from upscale_cli.measures.table import MEASURES

    measures = [measure for measure in MEASURES if getattr(scores[0], measure) is not None]
    means = {measure: fmean(getattr(score, measure) for score in scores) for measure in measures}
    return MeanRecord("mean", model=scores[0].model, **means)


def _print(scores: Iterable[ScoreRecord], kind: str, markdown: bool, console: Console) -> list[ScoreRecord]:
    """Print all ``scores`` as JSON, or a table of one row per ``kind``: picture, or network with its means.

    Returns all of them.
    """
    from upscale_cli.measures.table import MEASURES

    rows, shown = [], []
    for score in scores:
        shown.append(score)
        if console.style == "json":
            console.record(score)
        elif kind == "picture" or isinstance(score, MeanRecord):
            rows.append((score.model or score.name, score))
    if not rows:
        return shown
    measures = [measure for measure in MEASURES if getattr(rows[0][1], measure) is not None]
    lines = [[kind, *(MEASURES[measure].heading for measure in measures)]]
    lines += [[name, *(format(getattr(row, m), MEASURES[m].form) for m in measures)] for name, row in rows]
    width = max(len(line[0]) for line in lines)
    for number, (name, *cells) in enumerate(lines):
        if markdown:
            console.result("| " + " | ".join([name, *cells]) + " |")
        else:
            console.result(f"{name:<{width}}" + "".join(f"{cell:>10}" for cell in cells))
        if markdown and number == 0:
            console.result("|---" + "|--:" * len(cells) + "|")
    return shown

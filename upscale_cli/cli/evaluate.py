"""``upscale eval``: how close results are to the truth, in the field's own measures and protocol."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.errors import InputError

if TYPE_CHECKING:
    from upscale_cli.images.picture import Pixels
    from upscale_cli.metrics import Scores

MEASURES = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb")
HEADINGS = ("PSNR Y", "SSIM Y", "PSNR RGB", "SSIM RGB")


@click.command("eval", no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("hr", type=click.Path(path_type=Path))
@click.argument("sr", type=click.Path(path_type=Path))
@click.option("-s", "--scale", type=click.IntRange(1), default=4, show_default=True, help="Scale of the results.")
@click.option("--border", type=click.IntRange(0), help="Pixels left out on every side.  [default: the scale]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per picture, and one for the mean.")
def evaluate(hr: Path, sr: Path, scale: int, border: int | None, as_json: bool) -> None:
    """PSNR and SSIM of results SR against the true pictures HR, two folders or two files.

    Measured on Y (ITU-R BT.601) and on RGB, without a border of SCALE pixels, as papers do. Pictures pair by name:
    baby.png with baby.png, baby_x4.png or, in the usual packaging of Set5, img_001_SRF_4_HR with img_001_SRF_4_LR.

    \b
    Example:  upscale Set5/LR -s 4 -o results/ && upscale eval Set5/HR results/
    """
    from upscale_cli.images.pairs import paired

    pairs = paired(hr, sr)
    scores = [_score(truth, result, scale, scale if border is None else border) for truth, result in pairs]
    rows = [(truth.stem, asdict(score)) for (truth, _), score in zip(pairs, scores, strict=True)]
    rows.append(("mean", _means(scores)))
    if as_json:
        for name, values in rows:
            click.echo(_json(name, values))
        return
    width = max(len(name) for name, _ in rows)
    click.echo(" " * width + "".join(f"{heading:>10}" for heading in HEADINGS))
    for name, values in rows:
        click.echo(_row(name, width, values))


def _json(name: str, values: dict[str, float]) -> str:
    """JSON has no infinity, of equal pictures, and no NaN, of those smaller than SSIM's window: they are null."""
    return json.dumps({"name": name, **{key: v if math.isfinite(v) else None for key, v in values.items()}})


def _row(name: str, width: int, values: dict[str, float]) -> str:
    cells = (f"{values[m]:>10.2f}" if m.startswith("psnr") else f"{values[m]:>10.4f}" for m in MEASURES)
    return f"{name:<{width}}" + "".join(cells)


def _means(rows: list[Scores]) -> dict[str, float]:
    return {measure: sum(getattr(row, measure) for row in rows) / len(rows) for measure in MEASURES}


def _score(truth: Path, result: Path, scale: int, border: int) -> Scores:
    from upscale_cli.images.read import read_picture
    from upscale_cli.metrics import score

    hr, sr = (_levels(read_picture(path).color) for path in (truth, result))
    surplus = hr.shape[0] - sr.shape[0], hr.shape[1] - sr.shape[1]
    if not (0 <= surplus[0] < scale and 0 <= surplus[1] < scale):
        sizes = f"{truth} is {hr.shape[1]}x{hr.shape[0]} and {result} {sr.shape[1]}x{sr.shape[0]}"
        raise InputError(f"{sizes} pixels.", "Compare results of the true picture's size.")
    if min(sr.shape[:2]) <= 2 * border:
        raise InputError(f"{result} is all border.", "Use a smaller --border.")
    return score(sr, hr[: sr.shape[0], : sr.shape[1]], border)  # papers crop HR to a multiple of the scale


def _levels(pixels: Pixels) -> Pixels:
    """In 8 bits."""
    import numpy as np

    levels: Pixels = pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)
    return levels

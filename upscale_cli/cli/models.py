"""``upscale models``: what networks there are, and which suit a picture."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.cli import models_cache, models_file
from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.models_cache import local_file
from upscale_cli.cli.models_file import known
from upscale_cli.cli.options import path, style_options
from upscale_cli.cli.records import RecommendationRecord

if TYPE_CHECKING:
    from upscale_cli.weights.manifest import WeightsRecord

COLUMNS = ("name", "scale", "size", "licence", "purpose")
ORDERS = ("name", "scale", "size", "licence", "architecture")


@click.group("models", no_args_is_help=True)
def models() -> None:
    """List, inspect, convert, download, verify and remove networks.

    \b
    Example:  upscale models download realesrgan-x4plus
    """


for command in (
    models_file.info,
    models_file.convert,
    models_cache.download,
    models_cache.verify_models,
    models_cache.path_of,
    models_cache.remove,
):
    models.add_command(command)


@models.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those of OpenModelDB, and those that only train others.")
@click.option("--search", "text", metavar="TEXT", help="Those with the text in name, purpose or note, of all.")
@click.option("--architecture", metavar="NAME", help="Those of the architecture, of all.")
@click.option("--scale", type=click.IntRange(min=1), help="Those that enlarge so many times, of all.")
@click.option("--licence", metavar="NAME", help="Those under the licence, of all: MIT, CC-BY-4*, or none.")
@click.option("--tag", help="Those for it, of all: photo, anime, denoise.")
@click.option("--sort", "order", type=click.Choice(ORDERS), help="Order.  [default: as in the manifest]")
@style_options(json_help="One JSON object per network.", quiet_help="No line on how many there are.")
def list_models(
    everything: bool,
    text: str | None,
    architecture: str | None,
    scale: int | None,
    licence: str | None,
    tag: str | None,
    order: str | None,
    style: Style,
) -> None:
    """List networks. * are on this disk.

    \b
    Example:  upscale models list --all
              upscale models list --tag anime --scale 2 --sort size
    """
    from upscale_cli.weights.manifest import load_manifest
    from upscale_cli.weights.search import Query, search, sort

    console, manifest = Console(style), load_manifest()
    query = Query(architecture, scale, licence, tag, text)
    if short := not everything and query == Query():
        shown = [r for r in manifest.embedded + manifest.curated if r.kind == "generator"]
    else:
        shown = search(manifest.records(), query)
    shown = sort(shown, order) if order else shown
    if style != "json" and shown:
        for row in _table(shown):
            console.result(row)
    for record in shown if style == "json" else ():
        console.record(known(record))
    if short:
        more = len(manifest.records()) - len(shown)
        console.tell(f"* is on this disk. {more} more with --all; `upscale models info NAME` says more.", err=True)
    if not shown:
        console.tell("No network is all of that.", err=True)


def _table(records: Sequence[WeightsRecord]) -> list[str]:
    """Return heading and rows, cut to the terminal's width where there is one."""
    rows = [("", *COLUMNS)]
    for record in records:
        here, scale = "*" if local_file(record) else "", f"x{record.scale}" if record.scale else ""
        megabytes = (record.bytes or 0) / 1e6
        size = f"{megabytes:.{0 if megabytes >= 10 else 1}f} MB" if megabytes else ""
        licence = (record.licence or "none stated") + (" (non-commercial)" if record.non_commercial else "")
        extra = f" (needs the extra {record.extra})" if record.extra else ""
        rows.append((here, record.name, scale, size, licence, record.purpose + extra))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    sides = "<<<><"
    lines = []
    for *cells, purpose in rows:
        aligned = [f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=True)]
        lines.append(f"{aligned[0]} {'  '.join([*aligned[1:], purpose])}".rstrip())
    columns = shutil.get_terminal_size().columns
    return [f"{line[: columns - 1]}…" if has_columns() and len(line) > columns else line for line in lines]


def has_columns() -> bool:
    """Return whether stdout has a width."""
    return sys.stdout.isatty()


@models.command("recommend")
@click.argument("picture", type=path())
@style_options(json_help="One JSON object per network.", quiet_help="Only the networks.")
def recommend(picture: Path, style: Style) -> None:
    """Name three networks for a picture or a clip.

    Is it line art, animation, a degraded or a clean photograph? docs/models.md states the rules.

    \b
    Example:  upscale models recommend photo.jpg
    """
    from upscale_cli.picture_kind import kind_of
    from upscale_cli.recommendation import measured, suggestions_for

    console = Console(style)
    kind, reason = kind_of(measured(picture))
    console.tell(f"{picture}: {kind} ({reason})", err=True)
    three = suggestions_for(picture, kind)
    width = max(len(suggestion.model) for suggestion in three)
    for suggestion in three:
        record = RecommendationRecord(str(picture), kind, reason, suggestion.model, suggestion.reason)
        console.result(f"{suggestion.model:<{width}}  {suggestion.reason}", record)

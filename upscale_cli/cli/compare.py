"""``upscale compare``: pictures of one scene under sliders, in one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli import atomic
from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import overwrite_option, parse_bytes, path, style_options
from upscale_cli.cli.outputs import require_file
from upscale_cli.cli.records import PageRecord
from upscale_cli.errors import InputError, OutputError, UsageError
from upscale_cli.notices import note

if TYPE_CHECKING:
    from upscale_cli.cli.compare_page import Comparison

QUALITIES = (90, 80, 65, 50, 35)  # of WebP, tried in turn until the page is small enough
MOST_PICTURES = 400
PROPORTIONS = 0.02  # of a side, by which pictures of one scene may differ in shape
SUFFIXES = (".html", ".htm")


@click.command("compare", no_args_is_help=True)
@click.argument("paths", nargs=-1, metavar="A B...", type=path())
@click.option("-o", "--output", type=path(), default=Path("comparison.html"), show_default=True, help="The page.")
@click.option("--label", "labels", multiple=True, help="What stands beside A, B and so on.  [default: their names]")
@click.option("--title", help="Heading of the page.  [default: the names]")
@click.option(
    "--max-side",
    type=click.IntRange(64, 16383),
    default=4096,
    show_default=True,
    help="Larger pictures are shown smaller; pixels.",
)
@click.option(
    "--max-bytes",
    type=parse_bytes,
    metavar="SIZE",
    default="32MB",
    show_default=True,
    help="The quality is lowered until the page takes no more.",
)
@overwrite_option
@style_options(json_help="One JSON object on stdout.")
def compare(
    *,
    paths: tuple[Path, ...],
    output: Path,
    labels: tuple[str, ...],
    title: str | None,
    max_side: int,
    max_bytes: int,
    overwrite: bool,
    style: Style,
) -> None:
    """Write a page that shows A, B and further pictures of one scene under a slider; or folders, paired by name.

    The page is one file, with the pictures in it: it can be sent, and opened without a network. The slider moves by
    mouse, touch and arrow keys. Pictures may have different sizes, as before and after do; proportions must agree.

    \b
    Examples:
      upscale compare photo.jpg photo_x4.jpg -o page.html
      upscale compare in/ in_x4/ in_x4_restore/ --label before --label lite-x4 --label restored
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{output} is no page.", "Name it .html.")
    if len(paths) < 2:
        raise UsageError("A comparison needs at least two pictures or folders.", "Name them one after another.")
    if labels and len(labels) != len(paths):
        raise UsageError(f"{len(paths)} inputs have {len(labels)} labels.", "Give each one, or none.")
    require_file(output, overwrite)
    from upscale_cli.cli.compare_page import encoded, page

    console = Console(style)
    comparisons = _comparisons(paths, labels, max_side, console)
    heading = title or " | ".join(labels or [_name(each) for each in paths])
    for quality in QUALITIES:
        files = [[encoded(each.picture, quality) for each in comparison.pictures] for comparison in comparisons]
        footer = f"Made by upscale compare. Pictures are WebP of quality {quality}, at most {max_side} pixels a side."
        content = page(heading, comparisons, files, footer).encode("utf-8")
        if len(content) <= max_bytes:
            break
    else:
        hint = "Allow more with --max-bytes, or show less with --max-side."
        raise OutputError(f"{output} takes {len(content)} bytes even with quality {QUALITIES[-1]}.", hint)
    if quality < QUALITIES[0]:
        console.notify(note(f"{output}: quality {quality}, to take at most {max_bytes} bytes."))
    atomic.write_bytes(output, content)
    count = sum(len(comparison.pictures) for comparison in comparisons)
    record = PageRecord(str(output), len(comparisons), count, quality, len(content))
    console.record(record, f"{output}: {count} pictures, {len(content) / 1e6:.1f} MB")


def _name(path: Path) -> str:
    return path.name or str(path.resolve().name)


def _comparisons(paths: Sequence[Path], labels: Sequence[str], max_side: int, console: Console) -> list[Comparison]:
    """Return the pictures, those of folders paired by name. Raises InputError."""
    from upscale_cli.cli.compare_page import Comparison, Shown, bounded
    from upscale_cli.images.pairs import paired
    from upscale_cli.images.read import read_picture

    rows = [[first] for first, _ in paired(paths[0], paths[1])]
    for other in paths[1:]:
        for row, (_, partner) in zip(rows, paired(paths[0], other), strict=True):
            row.append(partner)
    if len(rows) * len(paths) > MOST_PICTURES:
        raise InputError(f"{len(rows) * len(paths)} pictures are too many for a page.", f"Up to {MOST_PICTURES} fit.")
    names = labels or [_name(each) for each in paths]
    comparisons = []
    for row in console.each(rows, lambda row: row[0].name):
        pictures = [read_picture(file) for file in row]
        _require_one_shape(row, [(picture.height, picture.width) for picture in pictures])
        smaller = [file for file, each in zip(row, pictures, strict=True) if max(each.height, each.width) > max_side]
        for file in smaller:
            console.notify(note(f"{file} is shown with {max_side} pixels on its long side."))
        shown = [Shown(name, bounded(each, max_side)) for name, each in zip(names, pictures, strict=True)]
        comparisons.append(Comparison(row[0].stem, tuple(shown)))
    return comparisons


def _require_one_shape(files: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> None:
    height, width = sizes[0]
    for file, (rows, columns) in zip(files, sizes, strict=True):
        if abs(rows * width / (columns * height) - 1) > PROPORTIONS:
            reason = f"{files[0]} has {width}x{height} pixels and {file} {columns}x{rows}: other proportions."
            raise InputError(reason, "Compare pictures of one scene, uncropped.")

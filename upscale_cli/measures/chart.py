"""Charts of what was measured: one measure over another, and the first of each picture as bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from upscale_cli import atomic
from upscale_cli.measures.table import MEASURES

MOST_BARS = 400  # pictures times methods; more would be a grey block

# Of each method, and in it of each picture, the numbers by measure.
Table = Mapping[str, Mapping[str, Mapping[str, float]]]


def draw(table: Table, path: Path) -> None:
    """Draw ``table`` into the file ``path``. Methods share their pictures, all numbers their measures.

    Numbers that are not finite, as the PSNR of equal pictures, are left out.
    """
    first = next(iter(table.values()))
    measures = [name for name in next(iter(first.values())) if name != "seconds"]
    names = list(first)[: max(1, MOST_BARS // len(table))]
    figure = Figure(figsize=(6 + max(4.0, 0.25 * len(names) * len(table)), 4.5), layout="constrained")
    wide = max(4.0, 0.25 * len(names) * len(table))
    scatter, bars = figure.subplots(1, 2, width_ratios=(5, wide))
    _scatter(scatter, table, measures)
    _bars(bars, table, measures[0], names)
    handles, labels = bars.get_legend_handles_labels()
    if len(table) > 1:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)))
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix[1:].lower())


def _scatter(axes: Axes, table: Table, measures: Sequence[str]) -> None:
    """Draw the second measure over the first, one point for each picture; with one measure its distribution."""
    across, up = measures[0], measures[min(1, len(measures) - 1)]
    for method, pictures in table.items():
        shown = [n for n in pictures.values() if math.isfinite(n[across]) and math.isfinite(n[up])]
        x = [numbers[across] for numbers in shown]
        if up == across:
            axes.hist(x, bins=20, alpha=0.6)
        else:
            axes.scatter(x, [numbers[up] for numbers in shown], s=18, alpha=0.8, label=method)
    axes.set_xlabel(_label(across))
    axes.set_ylabel(_label(up) if up != across else "pictures")
    axes.grid(alpha=0.3)


def _bars(axes: Axes, table: Table, measure: str, names: Sequence[str]) -> None:
    width = 0.8 / len(table)
    for number, (method, pictures) in enumerate(table.items()):
        heights = [value if math.isfinite(value := pictures[name][measure]) else 0 for name in names]
        axes.bar([index + width * number for index in range(len(names))], heights, width, label=method)
    middle = width * (len(table) - 1) / 2
    axes.set_xticks([index + middle for index in range(len(names))], names, rotation=90, fontsize=7)
    values = [pictures[name][measure] for pictures in table.values() for name in names]
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        spread = max(finite) - min(finite)
        axes.set_ylim(max(0.0, min(finite) - 0.2 * spread), max(finite) + 0.1 * spread + 1e-9)
    axes.set_ylabel(_label(measure))


def _label(measure: str) -> str:
    """Return the measure's heading, and which way is better."""
    known = MEASURES[measure]
    return f"{known.heading} ({'more' if known.more_is_better else 'less'} is better)"

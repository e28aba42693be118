"""Options that take more than a number, and the refusal of those that contradict each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from upscale_cli.errors import UsageError

if TYPE_CHECKING:
    from upscale_cli.device import Precision
    from upscale_cli.upscaling.plan import Existing
    from upscale_cli.upscaling.runner import TileChoice


def parse_width_height(text: str) -> tuple[int, int]:
    """(width, height) of ``1920x1080``."""
    match = re.fullmatch(r"(\d+)\s*[xX×]\s*(\d+)", text.strip())
    if not match:
        raise UsageError(f"{text!r} is no size.", "Write it as 1920x1080.")
    return int(match[1]), int(match[2])


def parse_tile(text: str) -> TileChoice:
    """``auto``, or LR pixels; 0 for no tiles."""
    if text == "auto":
        return "auto"
    if not text.isdigit() or 0 < int(text) < 16:
        raise UsageError(f"{text!r} is no tile size.", "Use --tile auto, 0 (no tiles), or 16 and more pixels.")
    return int(text)


def chosen_precision(half: bool, fp32: bool) -> Precision:
    """Of ``--half`` and ``--fp32`` at most one."""
    if half and fp32:
        raise UsageError("--half and --fp32 exclude each other.", "Give one of them, or none.")
    return "half" if half else "fp32" if fp32 else "auto"


def chosen_existing(overwrite: bool, skip_existing: bool) -> Existing:
    """Of ``--overwrite`` and ``--skip-existing`` at most one."""
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other.", "Give one of them, or none.")
    return "overwrite" if overwrite else "skip" if skip_existing else "auto"


class Heading(click.Command):
    """A command whose help lists its options under headings; ``headings`` maps each to the options' names."""

    headings: dict[str, tuple[str, ...]] = {}  # noqa: RUF012  (set once per command, below its options)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            parameter.name: record
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None
        }
        for heading, names in self.headings.items():
            with formatter.section(heading):
                formatter.write_dl([records.pop(name) for name in names])
        with formatter.section("Other"):
            formatter.write_dl(list(records.values()))

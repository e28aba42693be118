"""``upscale models recommend``: three networks for a picture, and why."""

from __future__ import annotations

from pathlib import Path

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import path, style_options
from upscale_cli.cli.records import RecommendationRecord


@click.command("recommend")
@click.argument("picture", type=path())
@style_options(json_help="One JSON object per network.", quiet_help="Only the networks.")
def recommend(picture: Path, style: Style) -> None:
    """Name three networks for a picture.

    Is it line art, animation, a degraded or a clean photograph? docs/models.md states the rules.

    \b
    Example:  upscale models recommend photo.jpg
    """
    from upscale_cli.recommendation import SUGGESTIONS, kind_of, measured

    console = Console(style)
    kind, reason = kind_of(measured(picture))
    console.tell(f"{picture}: {kind} ({reason})", err=True)
    width = max(len(suggestion.model) for suggestion in SUGGESTIONS[kind])
    for suggestion in SUGGESTIONS[kind]:
        if style == "json":
            console.record(RecommendationRecord(str(picture), kind, reason, suggestion.model, suggestion.reason))
        else:
            console.result(f"{suggestion.model:<{width}}  {suggestion.reason}")

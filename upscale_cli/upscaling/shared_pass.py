"""One pass over several pictures of one shape, whose networks may differ."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import DTypeLike

from upscale_cli import pipeline
from upscale_cli.images.picture import Pixels
from upscale_cli.upscaling.runner import NetworkRunner


def run_together(
    pictures: Sequence[Pixels],
    runners: Sequence[NetworkRunner],
    dtype: DTypeLike,
    on_tile: pipeline.OnTile,
    batch: int | None = None,
) -> list[Pixels]:
    """Return ``pictures`` of one shape, each enlarged by its runner; those of one runner go through it together."""
    results, each, before = list(pictures), pictures[0].shape[0] * pictures[0].shape[1], 0
    for runner in dict.fromkeys(runners):
        members = [number for number, other in enumerate(runners) if other is runner]

        def of_members(done: int, total: int, before: int = before, share: int = each * len(members)) -> None:
            on_tile(before + done * share // total, each * len(pictures))

        made = runner.run_together([pictures[number] for number in members], dtype, of_members, batch)
        for number, result in zip(members, made, strict=True):
            results[number] = result
        before += each * len(members)
    return results

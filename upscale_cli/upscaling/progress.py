"""How far a picture is, over all passes of the network and all planes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from upscale_cli.upscaling.work import costs as costs_of

if TYPE_CHECKING:
    from upscale_cli.pipeline import OnTile

# Gets the share of a picture that is done, 0 to 1, and what is being done.
OnShare = Callable[[float, str], None]


def of_passes(height: int, width: int, scale: int, passes: int, planes: int, on_share: OnShare) -> Iterator[OnTile]:
    """Return the callbacks of all passes of all planes in turn; a pass costs as much as its input is large."""
    costs = costs_of(height, width, scale, passes) * planes

    def of_pass(number: int) -> OnTile:
        before, tiles = sum(costs[:number]), 0
        which = f", pass {number + 1}/{len(costs)}" if len(costs) > 1 else ""

        def on_tile(done: int, pixels: int) -> None:
            nonlocal tiles
            tiles += 1
            tile = f"tile {tiles}/{round(tiles * pixels / done)}"  # they are of nearly one size
            on_share((before + costs[number] * done / pixels) / sum(costs), tile + which)

        return on_tile

    return map(of_pass, range(len(costs)))

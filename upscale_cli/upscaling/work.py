"""How much work an enlargement is: passes of the network, and the pixels that go through it."""

from __future__ import annotations

# Up to so much beyond what the passes reach is interpolated: a further pass would cost scale² times the work.
SMALL_EXCESS = 1.2
ORIENTATIONS = 8  # of --tta


def passes(height: int, width: int, target: tuple[int, int], scale: int) -> int:
    """Return how many times a network for ``scale`` enlarges ``height`` x ``width`` to reach ``target``."""
    number, factor = 1, scale * SMALL_EXCESS
    while scale > 1 and (height * factor < target[0] or width * factor < target[1]):
        number, factor = number + 1, factor * scale
    return number


def costs(height: int, width: int, scale: int, passes: int) -> list[int]:
    """Return the pixels that go into each pass."""
    return [height * width * scale ** (2 * number) for number in range(passes)]

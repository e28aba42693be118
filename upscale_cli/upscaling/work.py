"""How much work an enlargement is: passes of the network, and the pixels that go through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upscale_cli.images.picture import Picture

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


def room_for(picture: Picture, target: tuple[int, int], scale: int, passes: int, finishing: int) -> int:
    """Return the bytes of all arrays that are made of ``picture``, and of the result's file, at most.

    ``finishing``: how many arrays of the result's size finishing takes.
    """
    height, width, size, planes = picture.height, picture.width, picture.color.itemsize, picture.color.shape[2]
    pixels = height * width
    source = pixels * size * (planes if picture.alpha is None else 2 * planes + 1)
    planes += picture.alpha is not None
    result = target[0] * target[1] * planes * size
    reached = [pixels * scale ** (2 * number) for number in range(1, passes + 1)]
    exact = (height * scale**passes, width * scale**passes) == target
    between = sum(reached[:-1] if exact else reached) * planes * 2
    return int(source + between + result * (2 + finishing))

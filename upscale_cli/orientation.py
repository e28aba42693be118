"""The eight orientations of a picture: four rotations, of it and of its mirror image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Orientation(NamedTuple):
    """Quarter turns (0 to 3, anticlockwise), of the mirror image where ``mirrored``."""

    turns: int
    mirrored: bool


ORIENTATIONS = tuple(Orientation(turns, mirrored) for mirrored in (False, True) for turns in range(4))


def orient(image: Tensor, orientation: Orientation) -> Tensor:
    """Return ``image`` (..., H, W), mirrored if so and then turned: (..., H, W) or (..., W, H)."""
    image = image.flip(-1) if orientation.mirrored else image
    return torch.rot90(image, orientation.turns, (-2, -1))


def restore(image: Tensor, orientation: Orientation) -> Tensor:
    """Return ``image`` as it was before ``orient``."""
    image = torch.rot90(image, -orientation.turns, (-2, -1))
    return image.flip(-1) if orientation.mirrored else image


def mean_of_orientations(network: Callable[[Tensor], Tensor], planes: Tensor) -> Tensor:
    """Return the mean of what ``network`` makes of ``planes`` (N, C, H, W) in all eight orientations, turned back."""
    turned = (restore(network(orient(planes, orientation)), orientation) for orientation in ORIENTATIONS)
    return sum(turned, torch.zeros(())) / len(ORIENTATIONS)

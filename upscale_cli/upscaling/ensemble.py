"""Geometric self-ensemble: the mean over the eight orientations of a picture (Lim et al. 2017, EDSR, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def _orient(image: Tensor, turns: int, mirrored: bool) -> Tensor:
    image = image.flip(-1) if mirrored else image
    return torch.rot90(image, turns, (-2, -1))


def _restore(image: Tensor, turns: int, mirrored: bool) -> Tensor:
    image = torch.rot90(image, -turns, (-2, -1))
    return image.flip(-1) if mirrored else image


def eightfold(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``function`` on (N, C, H, W), averaged over the four rotations of the input and of its mirror image."""

    def averaged(image: Tensor) -> Tensor:
        total: Tensor | None = None
        for mirrored in (False, True):
            for turns in range(4):
                result = _restore(function(_orient(image, turns, mirrored)), turns, mirrored).float()
                total = result if total is None else total + result
        assert total is not None
        return total / 8

    return averaged

"""Geometric self-ensemble: the mean over the eight orientations of a picture (Lim et al. 2017, EDSR, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from upscale_cli.orientation import ORIENTATIONS, orient, restore


def eightfold(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``function`` on (N, C, H, W), averaged over the four rotations of the input and of its mirror image."""

    def averaged(image: Tensor) -> Tensor:
        total: Tensor | None = None
        for orientation in ORIENTATIONS:
            result = restore(function(orient(image, orientation)), orientation).float()
            total = result if total is None else total + result
        assert total is not None
        return total / len(ORIENTATIONS)

    return averaged

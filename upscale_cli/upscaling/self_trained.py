"""Pictures that are enlarged by networks of their own, trained on nothing but the picture."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from upscale_cli.images.picture import Picture
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.upscaler import OnTile, Upscaler, to_tensor
from upscale_cli.weights.resolve import ResolvedNetwork

Fit = Callable[[Tensor], ResolvedNetwork]


class SelfTrainedUpscaler:
    """Stands where an Upscaler stands in ``batch.run``.

    ``fit`` trains a network for the colours (1, 1 or 3, H, W) of a picture, in [0, 1]; ``make`` gets it ready to run.
    """

    def __init__(self, fit: Fit, make: Callable[[ResolvedNetwork], Upscaler]) -> None:
        self._fit = fit
        self._make = make

    def upscale_picture(self, picture: Picture, size: Size, on_tile: OnTile = lambda done, total: None) -> Picture:
        """As ``Upscaler.upscale_picture``; transparency is enlarged by the network of the colours."""
        size.pixels(picture.height, picture.width)  # an impossible size is refused before the training
        network = self._fit(to_tensor(picture.color))
        return self._make(network).upscale_picture(picture, size, on_tile)

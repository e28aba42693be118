"""Enlarge pictures with neural networks.

    from upscale_cli import Upscaler
    enlarged = Upscaler(model="lite-x4").upscale(array, scale=4)

The public names are loaded when they are first used: importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upscale_cli.api import Upscaler as Upscaler
    from upscale_cli.errors import UpscaleError as UpscaleError
    from upscale_cli.images.picture import Animation as Animation
    from upscale_cli.images.picture import Picture as Picture
    from upscale_cli.images.read import read_image as read_image
    from upscale_cli.images.read import read_picture as read_picture
    from upscale_cli.images.write import write_image as write_image
    from upscale_cli.upscaling.size import Size as Size

__version__ = "0.1.0"

_HOMES = {
    "Animation": "upscale_cli.images.picture",
    "Picture": "upscale_cli.images.picture",
    "Size": "upscale_cli.upscaling.size",
    "UpscaleError": "upscale_cli.errors",
    "Upscaler": "upscale_cli.api",
    "read_image": "upscale_cli.images.read",
    "read_picture": "upscale_cli.images.read",
    "write_image": "upscale_cli.images.write",
}

__all__ = ["Animation", "Picture", "Size", "UpscaleError", "Upscaler", "read_image", "read_picture", "write_image"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

"""Pictures from arrays of the Python API, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import UsageError
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.levels import top


def as_picture(array: NDArray[Any]) -> Picture:
    """Return the picture that ``array`` (H, W) or (H, W, 1 to 4) is. Raises UsageError where it is none."""
    pixels = _as_levels(array)
    colors = pixels.shape[2] - (pixels.shape[2] + 1) % 2
    return Picture(pixels[..., :colors], pixels[..., colors] if colors < pixels.shape[2] else None)


def as_array(picture: Picture, like: NDArray[Any]) -> NDArray[Any]:
    """Return ``picture`` with the kind and channels of ``like``."""
    parts = [picture.color] if picture.alpha is None else [picture.color, picture.alpha[..., None]]
    result: NDArray[Any] = parts[0] if len(parts) == 1 else np.concatenate(parts, 2)
    result = result if like.ndim == 3 else result[..., 0]
    return result.astype(like.dtype) / like.dtype.type(65535) if like.dtype.kind == "f" else result


def _as_levels(array: NDArray[Any]) -> Pixels:
    """Return ``array`` as uint8 or uint16 (H, W, C). Raises UsageError where it is no picture."""
    if not isinstance(array, np.ndarray):
        raise UsageError(f"A {type(array).__name__} is not an array.", "Convert it: numpy.asarray(picture).")
    pixels = array if array.ndim == 3 else array[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise UsageError(f"An array of shape {array.shape} is no picture.", "Give (H, W) or (H, W, 1 to 4).")
    if array.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise UsageError("The array holds values that are not finite.", "Replace them: numpy.nan_to_num(array).")
        levels: Pixels = np.rint(np.clip(pixels, 0, 1) * top(np.uint16)).astype(np.uint16)
        return levels
    if array.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"Pixels of type {array.dtype} are not supported.", "Use uint8, uint16 or floating point.")
    return pixels

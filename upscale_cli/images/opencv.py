"""OpenCV, without its own messages and its own size limit: ours are the ones the user sees."""

from __future__ import annotations

import os

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**40))

import cv2

from upscale_cli.images.picture import Pixels

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = ["cv2", "to_opencv"]

_CODES = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def to_opencv(rows: Pixels) -> Pixels:
    """Return pixels (H, W, 1, 3 or 4) in OpenCV's order: (H, W), BGR or BGRA."""
    return rows[..., 0] if rows.shape[2] == 1 else cv2.cvtColor(rows, _CODES[rows.shape[2]])

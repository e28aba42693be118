"""Pillow, without its own limits, warnings and leniency: ours are the ones the user sees."""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile

from upscale_cli.images.picture import Pixels

# What its decoders raise for damaged files, besides the two errors that it documents.
ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError),
    struct.error,
)

_LOCK = threading.RLock()


@contextmanager
def silenced() -> Iterator[None]:
    """Switch Pillow's limits and warnings off and back, one thread at a time: they hold for the whole process."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def decoded(data: bytes, kind: str) -> Pixels:
    """Return a still picture's pixels as they are: gray (H, W), gray and alpha, RGB or RGBA. Raises ERRORS."""
    with silenced(), Image.open(BytesIO(data), formats=[kind]) as image:
        return np.array(image)

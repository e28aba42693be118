"""Pillow, without its own limits, warnings and leniency: ours are the ones the user sees."""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms, ImageFile

from upscale_cli.images.picture import Pixels

# What its decoders raise for damaged files, besides the two errors that it documents.
ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError),
    struct.error,
)

_LOCK = threading.RLock()
_INTENT, _BLACK = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION


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
    """Return a still picture's pixels: gray (H, W), gray and alpha, RGB or RGBA as they are, others as sRGB.

    Raises ERRORS.
    """
    with silenced(), Image.open(BytesIO(data), formats=[kind]) as image:
        if image.mode in ("CMYK", "LAB"):
            return np.array(_in_srgb(image))
        if image.mode in ("P", "PA"):
            return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))
        return np.array(image.convert("L") if image.mode == "1" else image)


def in_srgb(color: Pixels, profile: bytes) -> Pixels | None:
    """Return 8-bit RGB pixels (H, W, 3), which ``profile`` describes, in sRGB, None where it cannot be used."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        made = ImageCms.profileToProfile(Image.fromarray(color), source, target, _INTENT, "RGB", flags=_BLACK)
    except (ImageCms.PyCMSError, OSError):
        return None
    return None if made is None else np.array(made)


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return a CMYK or LAB picture by its profile, and CMYK without a usable one by what printers had in common."""
    lab, profile = image.mode == "LAB", image.info.get("icc_profile")
    if not lab and not profile:
        return image.convert("RGB")
    try:
        source = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(BytesIO(profile or b""))
        made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), _INTENT, "RGB", flags=_BLACK)
    except (ImageCms.PyCMSError, OSError):
        made = None
    return made or image.convert("RGB")

"""How strongly a JPEG file is compressed, from its quantisation table."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import JpegImagePlugin

from upscale_cli.images.formats import of_content
from upscale_cli.images.pillow import ERRORS, silenced

# The luminance table of quality 50 (ITU-T T.81, table K.1), which encoders scale.
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


def jpeg_quality(data: bytes) -> float | None:
    """Return the quality, 1 to 100 on the scale of the Independent JPEG Group; None for what is no readable JPEG."""
    known = of_content(data)
    if known is None or known.name != "jpeg":
        return None
    try:
        with silenced(), JpegImagePlugin.JpegImageFile(BytesIO(data)) as image:
            table = image.quantization[0]
    except ERRORS:
        return None
    percent = 100 * float(np.mean(np.sort(table) / np.sort(LUMINANCE.ravel())))
    return max(1.0, quality_of(percent))


def quality_of(percent: float) -> float:
    """Return the quality at which libjpeg scales the tables of quality 50 to ``percent``."""
    return 100 - percent / 2 if percent <= 100 else 5000 / percent

"""Large pictures read by libvips, strip by strip, into arrays that may be files. The only place that knows pyvips."""

from __future__ import annotations

import mmap
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_cli.errors import InputError, UsageError
from upscale_cli.images import chunks
from upscale_cli.images.formats import Format
from upscale_cli.images.header import Header
from upscale_cli.images.jpeg_quality import jpeg_quality
from upscale_cli.images.metadata import for_size, orientation
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import opened, require_harmless, require_whole
from upscale_cli.images.storage import Storage

if TYPE_CHECKING:
    from pyvips import Image as Opened

READ = ("tiff", "png", "jpeg")
STRIP = 1 << 22  # pixels that are decoded at a time; tiles of TIFF files are usually lower than such a strip
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16}
DAMAGED = "Copy or download it again."


def require_pyvips() -> None:
    """Raise UsageError where pyvips is not installed."""
    if find_spec("pyvips") is None:
        raise UsageError("Large pictures need an extra.", "Run: pip install 'upscale-cli[large]'")


def read_large(path: Path, max_megapixels: float, storage: Storage) -> Picture:
    """Return the TIFF, PNG or JPEG picture in the file, as ``read_image`` does, its pixels in ``storage``.

    Raises InputError, also for what decoders can only hold as a whole, UsageError without pyvips, and OutputError
    where ``storage`` has no room.
    """
    require_pyvips()
    with opened(path) as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    known, header = require_harmless(path, data, max_megapixels)
    require_whole(path, data, known)
    quality = jpeg_quality(_before_pixels(data)) if known.name == "jpeg" else None
    color, alpha = _decoded(path, known, header, storage)
    metadata = for_size(header.metadata, color.shape[1], color.shape[0])
    return Picture(color, alpha, metadata, quality, storage=storage)


def _before_pixels(jpeg: memoryview) -> bytes:
    """Return the file up to its first scan."""
    scan = next(segment for segment in chunks.jpeg_segments(jpeg) if segment.marker == chunks.START_OF_SCAN)
    return bytes(jpeg[: scan.end])


def _decoded(path: Path, known: Format, header: Header, storage: Storage) -> tuple[Pixels, Pixels | None]:
    """Return upright colours and alpha. Raises InputError."""
    import pyvips

    try:
        loader = getattr(pyvips.Image, f"{known.name}load")
        image: Opened = loader(str(path), access="sequential", fail_on="error")
        dtype = _DTYPES.get(str(image.format))
        if dtype is None or image.bands > 4:
            raise InputError(
                f"{path} has {image.bands} channels of type {image.format}.", "Convert it to 8 or 16 bits per channel."
            )
        turned = orientation(header.metadata.exif)
        size = (image.width, image.height) if turned >= 5 else (image.height, image.width)
        channels = 1 if image.bands <= 2 else 3
        color = storage.step("input", (*size, channels), dtype)
        alpha = storage.step("input-alpha", size, dtype) if image.bands in (2, 4) else None
        if not (color.complete and (alpha is None or alpha.complete)):
            _fill(image, color.pixels, None if alpha is None else alpha.pixels, turned)
            for step in (color, alpha):
                if step is not None:
                    step.end()
    except pyvips.Error as error:
        raise InputError(f"{path} is damaged and cannot be decoded.", DAMAGED) from error
    return color.pixels, None if alpha is None else alpha.pixels


def _fill(image: Any, color: Pixels, alpha: Pixels | None, turned: int) -> None:
    """Write the pixels of ``image`` upright into ``color`` and ``alpha``."""
    import pyvips

    region, height = pyvips.Region.new(image), max(1, STRIP // image.width)
    color, alpha = as_stored(color, turned), None if alpha is None else as_stored(alpha, turned)
    for top in range(0, image.height, height):
        rows = min(height, image.height - top)
        data = region.fetch(0, top, image.width, rows)
        strip = np.frombuffer(data, color.dtype).reshape(rows, image.width, image.bands)
        color[top : top + rows] = strip[..., : color.shape[2]]
        if alpha is not None:
            alpha[top : top + rows] = strip[..., -1]


def as_stored(upright: Pixels, turned: int) -> Pixels:
    """Return a view of ``upright`` pixels as a file of that orientation stores them: the inverse of ``upright``."""
    if turned in (2, 3, 6, 7):
        upright = upright[:, ::-1]
    if turned in (3, 4, 7, 8):
        upright = upright[::-1]
    return upright.swapaxes(0, 1) if turned >= 5 else upright

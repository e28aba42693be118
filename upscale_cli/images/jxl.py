"""JPEG XL in and out, by libjxl (the extra ``jxl``). Sizes are read here, since that decodes whatever it opens.

The bits of a codestream's header are in ISO/IEC 18181-1, annexes A and D; the boxes around it in 18181-2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ImageCms

from upscale_cli.errors import InputError
from upscale_cli.images.convert import NotEncodable, StoredPixels
from upscale_cli.images.extras import library
from upscale_cli.images.header import Header
from upscale_cli.images.picture import Metadata, Picture, Pixels

_RATIOS = ((1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # of width to height
_SIDE_BITS = (9, 13, 18, 30)
_CODESTREAM = b"\xff\x0a"
# libjxl's names of the profiles that it makes for pictures in sRGB.
_SRGB_NAMES = ("sRGB", "RGB_D65_SRG_", "Gra_D65_")
MOST_BOXES = 1000
EFFORT = 4  # of 9: a fifth of the usual 7's time, for files as large, 0.7 dB further from the picture
THINNEST = 2**16  # times as long as wide: the encoder takes minutes for thinner pictures


def header(data: memoryview) -> Header:
    """Return the header, its size that of the upright picture. Raises IndexError or ValueError where it is damaged."""
    found: dict[str, Any] = {"jxlc": None, "Exif": None, "xml ": None}
    compressed, original = False, False
    for kind, content in _boxes(data):
        if kind in ("jxlc", "jxlp") and found["jxlc"] is None:
            found["jxlc"] = bytes(content[4 if kind == "jxlp" else 0 :][:64])
        elif kind == "Exif" and found[kind] is None:
            found[kind] = bytes(content[4:]) or None
        elif kind == "xml ":
            found[kind] = bytes(content)
        compressed = compressed or kind == "brob"
        original = original or kind == "jbrd"
    head = _Head.read(found["jxlc"] or b"")
    unread = ["An animation: only its first frame was read."] if head.animated else []
    if compressed and not original:
        unread.append("EXIF or XMP that are compressed (brob boxes) were not read.")
    if head.depth > 8 and not original:
        unread.append("Colours of JPEG XL were read with 8 bits per channel, gray with 16.")
    metadata = Metadata(exif=found["Exif"], xmp=found["xml "], unread=tuple(unread))
    return Header(head.height, head.width, metadata, dense=False)


def _boxes(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield (kind, content) of the boxes of a container; of a bare codestream one."""
    if data[:2] == _CODESTREAM:
        yield "jxlc", data
        return
    at, count = 0, 0
    while at + 8 <= len(data) and count < MOST_BOXES:
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        end = len(data) if size == 0 else at + size
        if end <= at + 7:
            raise ValueError("a box is too small")
        yield kind.decode("latin-1"), data[begin:end]
        at, count = end, count + 1


class _Bits:
    """Reads numbers from bytes, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        """Return the next ``count`` bits. Raises IndexError beyond the end."""
        if count > self._left:
            raise IndexError("the header is cut off")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return taken

    def side(self, small: bool) -> int:
        """Return a height or width."""
        return (self.take(5) + 1) * 8 if small else self.take(_SIDE_BITS[self.take(2)]) + 1

    def size(self) -> tuple[int, int]:
        """Return a height and width."""
        small = bool(self.take(1))
        height, ratio = self.side(small), self.take(3)
        if ratio:
            across, down = _RATIOS[ratio - 1]
            return height, height * across // down
        return height, self.side(small)


@dataclass(frozen=True)
class _Head:
    height: int
    width: int
    depth: int = 8
    animated: bool = False

    @classmethod
    def read(cls, codestream: bytes) -> _Head:
        """Read what a codestream begins with: its size, orientation, and as far as is easy its depth."""
        if codestream[:2] != _CODESTREAM:
            raise ValueError("no codestream")
        bits = _Bits(codestream[2:])
        height, width = bits.size()
        if bits.take(1):  # all else is the default
            return cls(height, width)
        if bits.take(1):
            if bits.take(3) >= 4:  # orientations from 5 on lie on their side
                height, width = width, height
            if bits.take(1):
                bits.size()  # that is meant for display
            if bits.take(1):  # a preview, whose size has a form of its own
                return cls(height, width)
            if bits.take(1):
                return cls(height, width, animated=True)
        if bits.take(1):
            return cls(height, width, depth=32)
        depth = bits.take(2)
        return cls(height, width, (8, 10, 12)[depth] if depth < 3 else bits.take(6) + 1)


def decoded(path: Path, data: bytes, head: Header) -> Picture | bytes:
    """Return the picture, or the JPEG file that it was made from. Raises RuntimeError where it is damaged."""
    jpeg, info, pixels, icc, *_ = library("jxl").Decoder(num_threads=0)(data)
    if jpeg:
        return bytes(pixels)
    if info.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
        raise InputError(f"{path} has pixels of floating point.", "Convert it to TIFF or EXR in another program.")
    dtype, size = np.dtype(np.uint16 if info.mode == "I;16" else np.uint8), (info.height, info.width)
    levels: Pixels = np.frombuffer(pixels, dtype).reshape(*size, -1)
    colors = levels.shape[2] - (levels.shape[2] + 1) % 2
    alpha = levels[..., -1].copy() if colors < levels.shape[2] else None
    profile = None if not icc or _is_srgb(bytes(icc)) else bytes(icc)
    metadata = Metadata(profile, head.metadata.exif, head.metadata.xmp, unread=head.metadata.unread)
    return Picture(np.ascontiguousarray(levels[..., :colors]), alpha, metadata)


def _is_srgb(icc: bytes) -> bool:
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(icc)))
    except (ImageCms.PyCMSError, OSError):
        return False
    return name.strip().startswith(_SRGB_NAMES) and name.strip().endswith(("sRGB", "SRG"))


def encode(pixels: StoredPixels, metadata: Metadata, file: BinaryIO, quality: int) -> None:
    """Write a file of 8 bits per channel in sRGB. Raises NotEncodable where the encoder refuses the pixels."""
    size = pixels.picture.width, pixels.picture.height
    if max(size) > THINNEST * min(size):
        raise NotEncodable
    rows = pixels.rows(0, pixels.picture.height)
    encoder = library("jxl").Encoder(
        mode={1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.channels],
        quality=quality,
        effort=EFFORT,
        use_container=bool(metadata.exif or metadata.xmp),
    )
    exif = bytes(4) + metadata.exif if metadata.exif else None  # the box begins with where TIFF's structure does
    try:
        written = encoder(
            rows.tobytes(), *size, jpeg_encode=False, exif=exif, xmp=metadata.xmp, jumb=None, compress=False
        )
    except RuntimeError as error:
        raise NotEncodable from error
    file.write(written)

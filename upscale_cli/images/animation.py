"""Animations in and out of GIF, APNG, WebP and AVIF.

Pillow decodes them: OpenCV crashes on damaged APNG, and loses the transparency of WebP, in writing too. GIF is written
by OpenCV, whose dithered pictures come closer to the original than Pillow's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from upscale_cli.images import chunks, deflate, pillow
from upscale_cli.images.convert import NotEncodable, StoredPixels, upright
from upscale_cli.images.encode import GIF_PARAMETERS, encoded, png_metadata
from upscale_cli.images.formats import Format
from upscale_cli.images.header import Header
from upscale_cli.images.metadata import for_size, orientation
from upscale_cli.images.opencv import cv2, to_opencv
from upscale_cli.images.picture import Animation, Metadata, Picture, Pixels

SHORTEST_FRAME_MS = 10
MOST_LOOPS = 2**16 - 1  # that GIF and WebP hold; years
AVIF_SPEED = 8  # of 10: slower ones take a gigabyte for frames of a megapixel


def decode_animation(data: bytes, known: Format, header: Header) -> Picture | Animation:
    """Return all frames of a GIF, PNG, WebP or AVIF file, or the picture where there is but one. Raises pillow.ERRORS.

    Each frame is the whole canvas, upright. The first carries the file's metadata.
    """
    if known.name == "png":
        data = chunks.only(data, chunks.PNG_ANIMATION)
    if known.name == "gif":  # the canvas has room for every frame from the start
        data = data[:6] + struct.pack("<HH", header.width, header.height) + data[10:]
    with pillow.silenced(), Image.open(BytesIO(data), formats=[known.name]) as image:
        canvases, durations = zip(*_frames(image, header.frames or 1), strict=True)
        # Pillow does not tell of AVIF's, which are mostly for ever.
        loop_count = image.info.get("loop", int(known.name != "avif")) + (
            known.name == "gif" and image.info.get("loop", 0) > 0
        )
    if canvases[0].shape[:2] != (header.height, header.width):
        raise ValueError("the header tells another size")
    turned = orientation(header.metadata.exif)
    canvases = tuple(upright(canvas, turned) for canvas in canvases)
    opaque = all((canvas[..., 3] == 255).all() for canvas in canvases)
    frames = [
        Picture(np.ascontiguousarray(canvas[..., :3]), None if opaque else np.ascontiguousarray(canvas[..., 3]))
        for canvas in canvases
    ]
    frames[0] = replace(frames[0], metadata=for_size(header.metadata, frames[0].width, frames[0].height))
    return Animation(tuple(frames), durations, loop_count) if len(frames) > 1 else frames[0]


def _frames(image: Image.Image, count: int) -> Iterator[tuple[Pixels, int]]:
    """Yield RGBA pixels (H, W, 4) and milliseconds of each frame."""
    hidden = int(getattr(image, "default_image", False))  # of APNG, for viewers that know no animations
    for index in range(hidden, hidden + count):
        image.seek(index)
        pixels = np.asarray(image.convert("RGBA"))
        yield pixels, max(SHORTEST_FRAME_MS, round(image.info.get("duration", 0)))


def encode_animation(
    frames: Sequence[StoredPixels], timing: Animation, metadata: Metadata, file: BinaryIO, known: Format, quality: int
) -> None:
    """Write ``frames`` as a file of that format. Raises NotEncodable where it cannot hold them."""
    loop_count = timing.loop_count if known.name == "png" else min(timing.loop_count, MOST_LOOPS)
    rows = [frame.rows(0, frame.picture.height) for frame in frames]
    if known.name == "gif":
        written = cv2.Animation()
        written.frames = [to_opencv(frame) for frame in rows]
        written.durations, written.loop_count = [*timing.durations_ms], loop_count
        file.write(encoded(*cv2.imencodeanimation(".gif", written, GIF_PARAMETERS)))
        return
    own: dict[str, Any] = {"quality": quality, "xmp": metadata.xmp}
    if known.name == "png":
        own = {"pnginfo": PngImagePlugin.PngInfo(), "dpi": metadata.resolution, "compress_level": deflate.LEVEL}
        for kind, content in png_metadata(metadata):
            own["pnginfo"].add(kind, content)
    if known.name == "avif":
        own |= {"subsampling": "4:4:4", "speed": AVIF_SPEED}
    own |= {"exif": metadata.exif, "icc_profile": metadata.icc}
    own |= {"duration": [*timing.durations_ms], "loop": loop_count}
    first, *others = (Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame) for frame in rows)
    given = {name: value for name, value in own.items() if value is not None}
    try:
        with pillow.silenced():
            first.save(file, known.name, save_all=True, append_images=others, **given)
    except (RuntimeError, OverflowError) as error:  # of WebP's encoder, the latter beyond 24 days
        raise NotEncodable from error

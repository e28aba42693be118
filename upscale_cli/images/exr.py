"""OpenEXR pictures in and out (the extra ``exr``): light in floating point, of 16 or 32 bits.

Headers are read here, so that they can be held to bounds before the library opens the file; "OpenEXR File Layout"
describes them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.images.convert import StoredPixels, unmultiplied_light
from upscale_cli.images.extras import library, silenced
from upscale_cli.images.header import Header, per_inch
from upscale_cli.images.light import as_levels
from upscale_cli.images.picture import Metadata, Picture

_SIZES = {0: 4, 1: 2, 2: 4}  # bytes of a channel's numbers: whole ones, and floating point of 16 and 32 bits
_DEEP, _MULTIPART = 0x800, 0x1000
LARGEST_HEADER = 1 << 20
MOST_CHANNELS = 1000
LONGEST_NAME = 256
MOST_LISTED = 8  # names in a message
MOST_OBLONG = 1000  # times as high or wide as the library takes pixels, and more than they are


def header(data: memoryview) -> Header:
    """Return the header. Raises ValueError, KeyError or struct.error where it is damaged."""
    found = _attributes(bytes(data[: LARGEST_HEADER + 1]))
    left, top, right, bottom = struct.unpack("<4i", found["dataWindow"])
    channels = _channels(found["channels"])
    share = sum(channels.values()) / 8  # of four channels of 16 bits
    unread = []
    if found.get("displayWindow", found["dataWindow"]) != found["dataWindow"]:
        unread.append("Of the display window only the data window was read.")
    if struct.unpack_from("<I", data, 4)[0] & _MULTIPART:
        unread.append("Of several parts only the first was read.")
    named = [name for name in channels if name not in _chosen(list(channels))]
    if named:
        unread.append(f"The channels {_listed(named)}{' and others' * (len(named) > MOST_LISTED)} were not read.")
    metadata = _metadata(found, tuple(unread))
    transparent = any(name.rpartition(".")[2] == "A" for name in _chosen(list(channels)))
    size = bottom - top + 1, right - left + 1
    return Header(*size, metadata, dense=False, floating=True, transparent=transparent, weight=2 + round(share))


def _attributes(data: bytes) -> dict[str, bytes]:
    """Return the attributes of the first part by name."""
    found: dict[str, bytes] = {}
    at = 8
    while data[at] != 0:
        if at > LARGEST_HEADER:
            raise ValueError("the header is too long")
        name, kind, *_ = data[at : at + 2 * LONGEST_NAME].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        (size,) = struct.unpack_from("<I", data, at)
        found[name.decode("latin-1")] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _channels(listed: bytes) -> dict[str, int]:
    """Return the bytes that a pixel takes in each channel, by name."""
    found: dict[str, int] = {}
    while listed and listed[0] != 0:
        name, _, rest = listed.partition(b"\0")
        kind, across, down = struct.unpack_from("<i4xii", rest)
        if len(found) > MOST_CHANNELS or min(across, down) < 1:
            raise ValueError("channels that cannot be")
        found[name.decode("latin-1")] = _SIZES[kind]
        listed = rest[16:]
    return found


def _metadata(found: Mapping[str, bytes], unread: tuple[str, ...]) -> Metadata:
    resolution = None
    if len(found.get("xDensity", b"")) == 4:
        (across,) = struct.unpack("<f", found["xDensity"])
        (aspect,) = struct.unpack("<f", found.get("pixelAspectRatio", b"\0\0\x80?"))
        resolution = per_inch(across, across * aspect, 1.0)
    colors = struct.unpack("<8f", found["chromaticities"]) if "chromaticities" in found else None
    comment = found.get("comments") or None
    return Metadata(comment=comment, resolution=resolution, chromaticities=colors, unread=unread)


def _listed(names: Sequence[str]) -> str:
    """Return the first of ``names`` to read, control characters written out."""
    return ", ".join(name if name.isprintable() else ascii(name)[1:-1] for name in names[:MOST_LISTED])


def _chosen(names: Sequence[str]) -> list[str]:
    """Return the channels that make the picture: RGB or Y, and A if there is one, of the first layer that has them."""
    layers = {name.rpartition(".")[0]: None for name in names}
    for layer in sorted(layers, key=lambda layer: (layer != "", not layer.endswith("Combined"))):
        prefix = f"{layer}." if layer else ""
        alpha = [f"{prefix}A"] if f"{prefix}A" in names else []
        colors = [prefix + channel for channel in "RGB"]
        if set(colors) <= set(names):
            return colors + alpha
        if f"{prefix}Y" in names and f"{prefix}RY" not in names:
            return [f"{prefix}Y", *alpha]
    return []


def decoded(path: Path, data: bytes, head: Header) -> Picture:
    """Return the picture, its light in levels. Raises RuntimeError or ValueError where the file is damaged."""
    listed = list(_channels(_attributes(data[: LARGEST_HEADER + 1])["channels"]))
    chosen = _chosen(listed)
    if not chosen or struct.unpack_from("<I", data, 4)[0] & _DEEP:
        what = f"only {_listed(listed)}" if listed else "none"
        reason = f"{path} holds no flat channels R, G and B, or Y, but {what}."
        raise InputError(reason, "Convert it in the program that made it.")
    with silenced():
        found = library("exr").File(BytesIO(data), separate_channels=True, num_threads=0).channels()
        planes = list(_planes(found, chosen, head))
    bits = max(plane.itemsize * 8 for plane in planes)
    has_alpha = chosen[-1].rpartition(".")[2] == "A"
    color = np.stack(planes[: len(planes) - has_alpha], -1).astype(np.float32)
    alpha = None
    if has_alpha:
        opacity = np.nan_to_num(planes[-1].astype(np.float32), nan=0).clip(0, 1)
        color = unmultiplied_light(color, opacity)
        alpha = np.rint(opacity * 65535).astype(np.uint16)
    levels, light, lost = as_levels(color, min(bits, 32))
    metadata = head.metadata
    return Picture(levels, alpha, replace(metadata, unread=(*metadata.unread, *lost)), light=light)


def _planes(found: Mapping[str, Any], chosen: Sequence[str], head: Header) -> Iterator[Any]:
    """Yield the channels (H, W). The library prints what it cannot decode, and goes on without."""
    for name in chosen:
        plane = found[name].pixels
        if plane is None or plane.shape != head.size:
            raise ValueError("a channel of another size, or that was not decoded")
        yield plane


def encode(pixels: StoredPixels, metadata: Metadata, file: BinaryIO) -> None:
    """Write floating point of ``pixels.depth`` bits, compressed without loss, with colours multiplied by alpha."""
    exr = library("exr")
    rows = pixels.rows(0, pixels.picture.height)
    if pixels.channels in (2, 4):
        rows[..., :-1] *= rows[..., -1:]
    names = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[pixels.channels]
    about: dict[str, Any] = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    across, down = metadata.resolution or (0, 0)
    if 0 < across < MOST_OBLONG * down and down < MOST_OBLONG * across:
        about |= {"xDensity": float(across), "pixelAspectRatio": float(down / across)}
    if metadata.chromaticities:
        about["chromaticities"] = tuple(map(float, metadata.chromaticities))
    if metadata.comment:
        about["comments"] = metadata.comment.decode("utf-8", "replace")
    planes = {name: np.ascontiguousarray(rows[..., index]) for index, name in enumerate(names)}
    exr.File(about, planes).write(file)

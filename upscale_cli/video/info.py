"""What is known of a clip, what of it is wanted, and its frames as values."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

from av import VideoFrame
from av.sidedata.sidedata import SideData, Type

from upscale_cli.video.colour import Colour, Pixels


@dataclass(frozen=True)
class Wanted:
    """Which part of a clip is read, and how.

    ``stream``: number among the picture streams. ``start`` and ``duration`` in seconds. ``skip_damaged``: the last
    good frame stands for those that cannot be decoded.
    """

    stream: int = 0
    start: float = 0.0
    duration: float | None = None
    deinterlace: bool = False
    skip_damaged: bool = False


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a picture stream.

    ``version`` tells this file from one that replaced it; ``index`` of the stream, None where frames are files.
    ``exact``: whether reading can begin anywhere, not only at the beginning. ``start``: timestamp of the first frame
    wanted, in ``time_base``; ``shift``: what is taken from all timestamps, in seconds; ``is_part``: whether not all of
    the clip is wanted. ``frames`` and ``seconds`` are what the container says, 0 where it says nothing. ``rotation``:
    FFmpeg's display matrix. ``mastering`` and ``light``: the HDR10 data as x265 takes them.
    """

    path: Path
    version: str
    index: int | None
    exact: bool
    codec: str
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    start: int
    shift: Fraction
    is_part: bool
    frames: int
    seconds: float
    pix_fmt: str
    depth: int
    alpha: bool
    colour: Colour
    sample_aspect: Fraction | None = None
    rotation: tuple[int, ...] | None = None
    mastering: str | None = None
    light: str | None = None


@dataclass(frozen=True)
class Frame:
    """A frame: pixels (H, W, 3), its timestamp and duration in the clip's ``time_base``, and whether it is repeated."""

    pixels: Pixels
    pts: int
    duration: int
    repeated: bool = False


class FrameReader(Protocol):
    """Where frames come from: a clip, or a folder of them."""

    info: ClipInfo

    def frames(self, after: int | None = None) -> Iterator[Frame]:
        """Yield the frames wanted, of those with timestamps greater than ``after``. Raises InputError."""

    def close(self) -> None:
        """Close what is open."""


def side_data(frame: VideoFrame) -> dict[str, Any]:
    """Return the fields of ClipInfo that come from the side data of the first frame."""
    found = {data.type: bytes(data) for data in cast("Iterable[SideData]", frame.side_data)}
    fields: dict[str, Any] = {}
    if matrix := found.get(Type.DISPLAYMATRIX):
        fields["rotation"] = struct.unpack("9i", matrix)
    if data := found.get(Type.MASTERING_DISPLAY_METADATA):
        numbers = struct.unpack("22i", data[:88])
        values = [n / d if d else 0.0 for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
        # FFmpeg's order: red, green, blue, white point, each x and y; darkest and brightest luminance.
        (rx, ry, gx, gy, bx, by, wx, wy), (dark, bright) = [round(v * 50000) for v in values[:8]], values[8:]
        light = f"L({round(bright * 10000)},{round(dark * 10000)})"
        fields["mastering"] = f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy}){light}"
    if data := found.get(Type.CONTENT_LIGHT_LEVEL):
        fields["light"] = "{},{}".format(*struct.unpack("2I", data[:8]))
    return fields

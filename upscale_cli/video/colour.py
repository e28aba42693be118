"""From a clip's YUV to integer RGB pixels and back, by the clip's own matrix, range and place of chroma samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from av import VideoFrame
from av.filter import Graph
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from upscale_cli.errors import InputError

Pixels = NDArray[Any]

# The numbers of ITU-T H.273.
RGB, BT709, UNSPECIFIED, BT601, BT2020 = 0, 1, 2, 6, 9
LIMITED, FULL = 1, 2
# H.273's matrices by the numbers that libswscale has for them.
MATRICES = {RGB: BT709, BT709: 1, 4: 4, 5: 5, BT601: 5, 7: 7, BT2020: 9}
HD_HEIGHT = 720  # clips that name no matrix have BT.709's from this height on
FLAGS = int(
    Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
)
# Where chroma samples lie, in luma samples from the first one (right, down), and FFmpeg's names of it.
PLACES = {(0.0, 0.5): "left", (0.5, 0.5): "center", (0.0, 0.0): "topleft", (0.5, 0.0): "top", (0.0, 1.0): "bottomleft"}


@dataclass(frozen=True)
class Colour:
    """What a clip's numbers mean: ``matrix``, ``primaries`` and ``transfer`` by H.273, ``range`` 1 limited, 2 full.

    ``place`` of the chroma samples is a name of FFmpeg, None where each pixel has its own.
    """

    matrix: int
    range: int
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    place: str | None = None

    def as_yuv(self) -> Colour:
        """Return the colour that RGB has once it is written as YUV."""
        return replace(self, matrix=BT709, range=LIMITED) if self.matrix == RGB else self


def colour_of(frame: VideoFrame, source: str) -> Colour:
    """Return the colour of ``frame``; what it leaves open is filled in as players do. Raises InputError."""
    form = frame.format
    if form.is_rgb:
        return Colour(RGB, FULL, frame.color_primaries, frame.color_trc)
    matrix = frame.colorspace
    if matrix in (UNSPECIFIED, RGB):
        matrix = BT709 if frame.height >= HD_HEIGHT else BT601
    if matrix not in MATRICES:
        raise InputError(f"{source} has a colour matrix that is not supported (H.273 number {matrix}).")
    full = frame.color_range == FULL or form.name.startswith("yuvj") or form.name.startswith("gray")
    place = _place(frame) if form.chroma_width(4) < 4 else None
    return Colour(matrix, FULL if full else LIMITED, frame.color_primaries, frame.color_trc, place)


def _place(frame: VideoFrame) -> str:
    """Return where the chroma samples of ``frame`` lie.

    PyAV does not tell, but libswscale keeps to it: ramps in both planes come out shifted by it.
    """
    side, convert = 64, VideoReformatter()
    ramps = convert.reformat(frame, side, side, "yuv420p", interpolation=FLAGS)
    ramp = np.tile(np.arange(side // 2) * 2 + side, (side // 2, 1))
    for plane, values in zip(ramps.planes, (np.full((side, side), 128), ramp, ramp.T), strict=True):
        filled = np.zeros((plane.height, plane.line_size), np.uint8)
        filled[:, : plane.width] = values
        plane.update(filled.tobytes())
    rgb = convert.reformat(
        ramps, format="rgb24", src_colorspace=BT709, src_color_range=FULL, dst_color_range=FULL, interpolation=FLAGS
    )
    red, _, blue = np.moveaxis(rgb.to_ndarray().astype(float), 2, 0)
    middle = slice(side // 4, -side // 4)
    # Cb runs to the right, Cr downwards, each by one level per luma sample (ITU-R BT.709).
    right = (np.arange(side) + side - 128 - (blue - 128) / 1.8556)[middle, middle].mean()
    down = (np.arange(side)[:, None] + side - 128 - (red - 128) / 1.5748)[middle, middle].mean()
    return min(PLACES.items(), key=lambda item: abs(item[0][0] - right) + abs(item[0][1] - down))[1]


def _in_8_bits(frame: VideoFrame, pix_fmt: str) -> VideoFrame:
    """Return ``frame``, of 12 bits, rounded to 8 bits."""
    rounded = VideoFrame(frame.width, frame.height, pix_fmt)
    for deep, plane in zip(frame.planes, rounded.planes, strict=True):
        levels = np.frombuffer(deep, np.uint16).reshape(deep.height, -1)[:, : deep.width]  # type: ignore[call-overload]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)  # type: ignore[call-overload]
        rows[:, : plane.width] = np.minimum((levels + 8) >> 4, 255)
    return rounded


def from_white(pixels: Pixels) -> Pixels:
    """Return 16-bit ``pixels`` in which white is 65535; to libswscale it is 255 · 256."""
    levels: Pixels = np.minimum((pixels.astype(np.uint32) * 257 + 128) >> 8, 65535).astype(np.uint16)
    return levels


def to_white(pixels: Pixels) -> Pixels:
    """Return 16-bit ``pixels`` in which white is 255 · 256."""
    levels: Pixels = ((pixels.astype(np.uint32) * 255 + 128) >> 8).astype(np.uint16)
    return levels


class ToRgb:
    """Turns frames of one ``colour`` into pixels (H, W, 3): uint8, or uint16 where ``deep``."""

    def __init__(self, colour: Colour, deep: bool) -> None:
        self._colour, self._format = colour, "rgb48le" if deep else "rgb24"
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Pixels:
        """Return the pixels of ``frame``."""
        rgb = self._reformatter.reformat(
            frame,
            format=self._format,
            src_colorspace=MATRICES[self._colour.matrix],
            dst_colorspace=MATRICES[self._colour.matrix],
            src_color_range=self._colour.range,
            dst_color_range=FULL,
            interpolation=FLAGS,
            threads=1,
        )
        pixels = rgb.to_ndarray()
        return from_white(pixels) if pixels.dtype == np.uint16 and not frame.format.is_rgb else pixels


class FromRgb:
    """Turns pixels (H, W, 3), uint8 or uint16, of one size into frames of ``pix_fmt`` and ``colour``."""

    def __init__(self, pix_fmt: str, colour: Colour) -> None:
        self._pix_fmt, self._colour = pix_fmt, colour
        self._reformatter = VideoReformatter()
        self._rgb: VideoFrame | None = None

    def __call__(self, pixels: Pixels) -> VideoFrame:
        """Return the frame of ``pixels``, without timestamp."""
        height, width, channels = pixels.shape
        if self._rgb is None:
            self._rgb = self._placed(VideoFrame(width, height, "rgb24" if pixels.dtype == np.uint8 else "rgb48le"))
        plane = self._rgb.planes[0]
        rows = np.frombuffer(plane, pixels.dtype).reshape(height, -1)  # type: ignore[call-overload]
        rows[:, : width * channels] = (to_white(pixels) if pixels.dtype == np.uint16 else pixels).reshape(height, -1)
        # To 8 bits of full range libswscale rounds chroma down, so that goes by way of 12 bits.
        rounds_down = self._pix_fmt in ("yuv420p", "yuv422p", "yuv444p") and self._colour.range == FULL
        frame = self._reformatter.reformat(
            self._rgb,
            format=f"{self._pix_fmt}12le" if rounds_down else self._pix_fmt,
            src_colorspace=MATRICES[self._colour.matrix],
            dst_colorspace=MATRICES[self._colour.matrix],
            src_color_range=FULL,
            dst_color_range=self._colour.range,
            interpolation=FLAGS,
            threads=1,
        )
        frame = _in_8_bits(frame, self._pix_fmt) if rounds_down else frame
        frame.colorspace, frame.color_range = self._colour.matrix, self._colour.range
        frame.color_primaries, frame.color_trc = self._colour.primaries, self._colour.transfer
        return frame

    def _placed(self, rgb: VideoFrame) -> VideoFrame:
        """Return ``rgb`` with the place that chroma samples made of it shall have, which PyAV has no name for."""
        if self._colour.place is None:
            return rgb
        graph = Graph()
        tick = Fraction(1, 1000)
        source = graph.add_buffer(width=rgb.width, height=rgb.height, format=rgb.format, time_base=tick)
        place = graph.add("setparams", chroma_location=self._colour.place)
        graph.link_nodes(source, place, graph.add("buffersink")).configure()
        rgb.pts, rgb.time_base = 0, tick
        graph.vpush(rgb)
        placed = graph.vpull()
        placed.make_writable()
        return placed

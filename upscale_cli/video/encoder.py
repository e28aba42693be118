"""How frames are encoded: one description, from which the encoder of each segment and the file's header are made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av import CodecContext
from av.codec.context import Flags
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from upscale_cli.errors import OutputError
from upscale_cli.video.codecs import CODECS
from upscale_cli.video.colour import Colour, FromRgb, Pixels

if TYPE_CHECKING:
    from av import VideoFrame
    from av.packet import Packet

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes to the terminal: errors alone


# Of encoders with options of their own: the option of FFmpeg that takes them, and the words for the HDR10 data.
WORDS = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}


@dataclass(frozen=True)
class Encoding:
    """How frames become packets. ``options`` are the encoder's; ``threads`` bounds what it takes from the network."""

    codec: str
    options: tuple[tuple[str, str], ...]
    pix_fmt: str
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    colour: Colour
    sample_aspect: Fraction | None
    threads: int
    mastering: str | None = None
    light: str | None = None

    def configure(self, context: VideoCodecContext) -> None:
        """Set up ``context``, that of an encoder which is not open yet."""
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pix_fmt
        context.time_base, context.framerate = self.time_base, self.rate
        context.flags |= Flags.global_header
        context.thread_count = self.threads
        context.colorspace, context.color_range = self.colour.matrix, self.colour.range
        context.color_primaries, context.color_trc = self.colour.primaries, self.colour.transfer
        if self.sample_aspect:
            context.sample_aspect_ratio = self.sample_aspect
        context.options = dict(self.options) | self._private()

    def _private(self) -> dict[str, str]:
        """Return what each encoder wants to be told in its own words."""
        encoder = CODECS[self.codec].encoder
        options = {"chroma_sample_location": self.colour.place} if self.colour.place else {}
        if encoder not in WORDS:
            return options
        name, mastering, light = WORDS[encoder]
        words = {mastering: self.mastering, light: self.light}
        if encoder == "libx265":
            words |= {"log-level": "none", "pools": str(self.threads), "frame-threads": "1"}
        elif encoder == "libsvtav1":
            words["lp"] = str(self.threads)
        return options | {name: ":".join(f"{word}={value}" for word, value in words.items() if value)}


class Encoder:
    """Encodes frames by ``encoding``. Raises OutputError where the encoder refuses them."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        context = CodecContext.create(CODECS[encoding.codec].encoder, "w")
        assert isinstance(context, VideoCodecContext)
        self._context = context
        encoding.configure(context)
        self._to_frame = FromRgb(encoding.pix_fmt, encoding.colour)
        try:
            context.open()
        except FFmpegError as error:
            raise OutputError(
                f"The encoder of {encoding.codec} does not open: {error.strerror}.", "Choose another --codec."
            ) from error

    def encode(self, pixels: Pixels, pts: int) -> list[Packet[Any]]:
        """Return the packets that are ready once the frame of ``pixels`` at ``pts`` is encoded."""
        frame = self._to_frame(pixels)
        frame.pts, frame.time_base = pts, self._encoding.time_base
        return self._encoded(frame)

    def flush(self) -> list[Packet[Any]]:
        """Return the packets of all frames that are still held."""
        return self._encoded(None)

    def _encoded(self, frame: VideoFrame | None) -> list[Packet[Any]]:
        try:
            packets: list[Packet[Any]] = self._context.encode(frame)
        except FFmpegError as error:
            message = f"The encoder of {self._encoding.codec} failed: {error.strerror}."
            raise OutputError(message, "Choose another --codec.") from error
        return packets

"""One segment of a clip: its frames enlarged and encoded, whoever makes it and whatever was made before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from upscale_cli.images.picture import Pixels
from upscale_cli.upscaling.clip_frames import Coming, FrameMaker, Pending, padded
from upscale_cli.video import codecs
from upscale_cli.video.encoder import Encoder, Encoding
from upscale_cli.video.info import Frame
from upscale_cli.video.segments import Segment, SegmentWriter


def levels(encoding: Encoding) -> DTypeLike:
    """Return the type of integers that hold the results' values before they are encoded."""
    return np.uint16 if codecs.depth_of(encoding.pix_fmt) > 8 else np.uint8


class SegmentMaker:
    """Encodes segment ``number`` of ``folder``, whose ``settings`` see ``SegmentWriter``, by ``encoding``.

    Its frames are those that are ``coming`` before timestamp ``end``.
    """

    def __init__(self, folder: Path, settings: bytes, number: int, end: int, encoding: Encoding) -> None:
        self._number, self._end, self._encoding = number, end, encoding
        self._encoder = Encoder(encoding)
        self._file = SegmentWriter(folder, number, settings)
        self._times: list[tuple[int, int]] = []  # timestamp and duration of each frame
        self._repeated = self._reused = 0
        self._following: int | None = None

    def make(self, coming: Coming, maker: FrameMaker, encoder: Pending) -> None:
        """Enlarge the frames by ``maker`` and give them to ``encoder``; on any error nothing is left of them."""
        before = maker.counts[0]
        try:
            for frame, result in maker.results(coming, self._end):
                encoder.submit(self._add, frame, result)
            self._following, self._reused = coming.following(), maker.counts[0] - before
            encoder.wait()
        except BaseException:
            encoder.cancel()
            self._file.abandon()
            raise

    def _add(self, frame: Frame, result: Pixels) -> None:
        fitted = padded(result, self._encoding.height, self._encoding.width)
        self._file.write(self._encoder.encode(fitted, frame.pts))
        self._times.append((frame.pts, frame.duration))
        self._repeated += frame.repeated

    def finish(self) -> Segment:
        """Write what the encoder still holds, and make the segment count. Raises OutputError."""
        times = self._times or [(self._end, 0)]
        counts = self._repeated, self._reused
        segment = Segment(self._number, len(self._times), times[0][0], *times[-1], self._following, *counts)
        try:
            self._file.write(self._encoder.flush() if self._times else [])
            self._file.finish(segment)
        except BaseException:
            self._file.abandon()
            raise
        return segment

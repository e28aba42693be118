"""A segment of a clip as a job of its own, which any process can do that sees the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from upscale_cli.upscaling.job import Job, Outcome

if TYPE_CHECKING:  # so that this can be imported without PyAV
    from upscale_cli.upscaling.clip_options import ClipOptions
    from upscale_cli.video.encoder import Encoding
    from upscale_cli.video.segments import Segment


@dataclass(frozen=True, kw_only=True)
class Part(Job):
    """Segment ``number`` of the clip ``source``: the frames with timestamps from ``first`` on, before ``end``.

    It is written to the folder of segments of ``target``, which is for ``settings`` (see ``SegmentWriter``).
    ``size``: (height, width) of the result; ``version`` tells the clip from another file of that name.
    """

    number: int
    first: int
    end: int
    size: tuple[int, int]
    clip: ClipOptions
    encoding: Encoding
    version: str
    settings: bytes


@dataclass(frozen=True, kw_only=True)
class PartOutcome(Outcome):
    """A part that is done, and what became of it."""

    segment: Segment

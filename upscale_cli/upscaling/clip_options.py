"""What can be asked of a clip beyond what is asked of pictures."""

from __future__ import annotations

from dataclasses import dataclass

from upscale_cli.errors import UsageError


@dataclass(frozen=True)
class ClipOptions:
    """Which part of a clip is enlarged, and how it is written.

    ``stream``: number among the picture streams, from 0. ``start`` and ``duration`` in seconds. ``deinterlace``: by
    bwdif; ``skip_damaged``: the last good frame stands for those that cannot be decoded. ``codec``, ``preset`` and
    ``pix_fmt``: None for the default. ``reuse``: tiles that have not changed are taken over. ``fps``:
    a folder of numbered pictures is a clip of so many frames per second.

    Raises UsageError where a value is out of bounds.
    """

    stream: int = 0
    start: float = 0.0
    duration: float | None = None
    deinterlace: bool = False
    skip_damaged: bool = False
    codec: str | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    reuse: bool = True
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.stream < 0:
            raise UsageError(f"There is no stream {self.stream}.", "They are counted from 0.")
        if self.start < 0 or (self.duration is not None and self.duration <= 0):
            raise UsageError("A part of a clip begins at 0 or later, and lasts longer than 0.")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise UsageError(f"{self.fps:g} frames per second are out of range.", "Use more than 0, up to 1000.")

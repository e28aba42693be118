"""Clips for the tests, made by PyAV: a moving pattern, a tone, subtitles, chapters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from upscale_cli.video.colour import Colour, FromRgb

TICK = Fraction(1, 12800)
BARS = np.array(
    [[235, 235, 235], [235, 235, 16], [16, 235, 235], [16, 235, 16], [235, 16, 235], [235, 16, 16], [16, 16, 235]],
    np.uint8,
)


def bars(height: int = 48, width: int = 112) -> NDArray[np.uint8]:
    """Return seven vertical colour bars."""
    return np.broadcast_to(BARS.repeat(width // 7, 0), (height, width, 3)).copy()


def moving(number: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Return frame ``number`` of a smooth pattern that moves."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x * (c + 1) + y + 6 * number) / 9 + c) for c in range(3)]
    return (np.stack(waves, 2) * 90 + 128).astype(np.uint8)


@dataclass
class Recipe:
    """How a clip is made; ``times`` are in units of 1/12800 s, evenly 25 per second by default."""

    frames: Sequence[NDArray[Any]] = ()
    count: int = 10
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    times: Sequence[int] | None = None
    matrix: int = 1
    range: int = 1
    primaries: int = 1
    transfer: int = 1
    options: dict[str, str] = field(default_factory=lambda: {"crf": "1", "bf": "2", "g": "12"})
    sample_aspect: Fraction | None = None
    rotation: int = 0
    tone: bool = False
    subtitles: bool = False
    chapters: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


def make(path: Path, recipe: Recipe | None = None, **changes: Any) -> Path:
    """Write the clip of ``recipe`` and return its path."""
    recipe = Recipe(**changes) if recipe is None else recipe
    frames = list(recipe.frames) or [moving(number) for number in range(recipe.count)]
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(recipe.codec, rate=Fraction(25), time_base=TICK, options=dict(recipe.options))
        stream.width, stream.height, stream.pix_fmt = width, height, recipe.pix_fmt
        context = stream.codec_context
        context.time_base, context.thread_count = TICK, 1
        context.colorspace, context.color_range = recipe.matrix, recipe.range
        context.color_primaries, context.color_trc = recipe.primaries, recipe.transfer
        if recipe.sample_aspect:
            context.sample_aspect_ratio = recipe.sample_aspect
        if recipe.rotation:
            stream.set_display_rotation(recipe.rotation)
        tone: Any = out.add_stream("aac", rate=48000) if recipe.tone else None
        words: Any = None
        if recipe.subtitles:
            words = out.add_mux_stream("mov_text" if path.suffix == ".mp4" else "subrip", time_base=Fraction(1, 1000))
            words.metadata["language"] = "fin"
        out.metadata.update(recipe.metadata)
        if recipe.chapters:
            out.set_chapters(
                [{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "A"}}]
            )
        times = recipe.times or [number * 512 for number in range(len(frames))]
        for pixels, pts in zip(frames, times, strict=True):
            out.mux(stream.encode(encoded(pixels, recipe, pts)))
        out.mux(stream.encode(None))
        if words is not None:
            out.mux(subtitle(words, path.suffix == ".mp4"))
        if tone is not None:
            out.mux([packet for frame in tones(times[-1] / 12800) for packet in tone.encode(frame)])
            out.mux(tone.encode(None))
    return path


def encoded(pixels: NDArray[Any], recipe: Recipe, pts: int) -> av.VideoFrame:
    """Return ``pixels`` as a frame of the recipe's format and matrix."""
    made = FromRgb(recipe.pix_fmt, Colour(recipe.matrix, recipe.range, recipe.primaries, recipe.transfer))(pixels)
    made.pts, made.time_base = pts, TICK
    return made


def subtitle(stream: Any, is_mp4: bool) -> Any:
    """Return the packet of one subtitle, from 0.1 to 0.3 s."""
    packet: Any = av.Packet((b"\0\5" if is_mp4 else b"") + b"Hello")
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = 100
    packet.duration = 200
    return packet


def tones(seconds: float) -> Iterable[av.AudioFrame]:
    """Yield a tone of so many seconds."""
    for first in range(0, int(seconds * 48000), 1024):
        wave = np.sin((np.arange(1024) + first) / 20).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
        frame.pts, frame.sample_rate, frame.time_base = first, 48000, Fraction(1, 48000)
        yield frame


def decoded(path: Path) -> list[Any]:
    """Return all frames of the first picture stream."""
    with av.open(str(path)) as clip:
        return list(clip.decode(video=0))


def seconds(path: Path) -> list[Fraction]:
    """Return when each frame is shown."""
    return [frame.pts * frame.time_base for frame in decoded(path)]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Return the time and bytes of each packet of the first stream of ``kind``."""
    with av.open(str(path)) as clip:
        stream = next(stream for stream in clip.streams if stream.type == kind)
        read: list[Any] = list(clip.demux(stream))
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in read if packet.size]

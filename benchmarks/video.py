"""How much of a clip's time is the network's, and what reuse saves, on clips made for it.

    python benchmarks/video.py [--clips moving screen animation] [--size 640x360] [--frames 30] [--qp 0]

Three clips: one that moves everywhere, a screen recording (text is typed, a pointer moves) and animation (a figure
moves in every third frame over a still background). Each is encoded with x264: losslessly with ``--qp 0``, or as files
for distribution are with ``--qp 20``, where what is still on screen is not quite equal from frame to frame. Seconds are
those of the processor's work, of all threads, so that other programs hardly disturb them; "elapsed" compares the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from upscale_cli import Upscaler
from upscale_cli.notices import ignore
from upscale_cli.upscaling.clip import ClipRun, reader_of
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.reuse import FrameMemory

Pixels = NDArray[np.uint8]
RATE = 30


class Silent:
    """A listener that reports nothing."""

    def started(self, job: Job) -> None:
        """Nothing."""

    def progress(self, progress: Any) -> None:
        """Nothing."""


def texture(height: int, width: int, seed: int) -> Pixels:
    """Return smooth noise, as photographs have."""
    noise = np.random.default_rng(seed).normal(size=(height // 4 + 2, width // 4 + 2, 3))
    rough = noise.repeat(4, 0).repeat(4, 1)[:height, :width]
    smooth: Any = sum(np.roll(rough, shift, axis) for shift in range(-2, 3) for axis in (0, 1)) / 10
    levels: Pixels = np.clip(128 + 90 * smooth, 0, 255).astype(np.uint8)
    return levels


def moving(number: int, height: int, width: int) -> Pixels:
    return np.roll(texture(height, width, 0), (2 * number, 3 * number), (0, 1))


def screen(number: int, height: int, width: int) -> Pixels:
    frame = np.full((height, width, 3), 250, np.uint8)
    frame[: height // 12] = (60, 70, 90)
    letters = np.random.default_rng(1).integers(0, 2, (height // 12, width // 6, 5, 3)).astype(bool)
    typed = number // 3 + letters.shape[0] * letters.shape[1] * 2 // 3
    for index in range(letters.shape[1], typed):
        row, column = divmod(index, letters.shape[1])
        if row < letters.shape[0] and (index * 7) % 5:
            cell = frame[row * 12 + 3 : row * 12 + 8, column * 6 + 1 : column * 6 + 4]
            cell[letters[row, column][: cell.shape[0], : cell.shape[1]]] = 30
    top, left = height // 4 + number // 4 * 2, width // 4 + number // 4 * 3
    frame[top : top + 12, left : left + 8] = (200, 30, 30)
    return frame


def animation(number: int, height: int, width: int) -> Pixels:
    frame = texture(height, width, 2) // 8 * 8
    pose = number // 3
    y, x = np.mgrid[:height, :width]
    middle = height * 0.6 + 10 * np.sin(pose / 2), width * 0.3 + 4 * pose
    distance = np.hypot(y - middle[0], x - middle[1])
    frame[distance < height / 5] = (20, 20, 30)
    frame[distance < height / 5 - 4] = (240, 200, 60)
    return frame


def make(path: Path, draw: Callable[[int, int, int], Pixels], count: int, height: int, width: int, qp: str) -> None:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=Fraction(RATE), options={"qp": qp})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(draw(number, height, width), "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def measured(function: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return seconds of the processor's work, elapsed seconds, and what ``function`` returns."""
    work, clock = time.process_time(), time.perf_counter()
    result = function()
    return time.process_time() - work, time.perf_counter() - clock, result


def enlarge(source: Path, target: Path, upscaler: Upscaler, options: UpscaleOptions, clip: ClipOptions) -> Any:
    target.unlink(missing_ok=True)
    with closing(reader_of(source, clip)) as reader:
        run = ClipRun(Job(source, target), reader, options, clip, ignore)
        return run.run(lambda picture, on_share: upscaler, Silent())


def network_alone(source: Path, upscaler: Upscaler, scale: int) -> Callable[[], None]:
    with closing(reader_of(source, ClipOptions())) as reader:
        frames = [frame.pixels for frame in reader.frames()]

    def run() -> None:
        for pixels in frames:
            target = pixels.shape[0] * scale, pixels.shape[1] * scale
            upscaler.upscale_frames([pixels], target, np.uint8, FrameMemory(False))

    return run


def same_frames(one: Path, other: Path) -> bool:
    with av.open(str(one)) as first, av.open(str(other)) as second:
        pairs = zip(first.decode(video=0), second.decode(video=0), strict=True)
        return all(np.array_equal(a.to_ndarray(), b.to_ndarray()) for a, b in pairs)


HEADINGS = ("clip", "network", "no reuse", "over network", "elapsed", "reuse", "reused", "times faster", "equal")


def row(draw: Callable[[int, int, int], Pixels], asked: argparse.Namespace, upscaler: Upscaler, folder: Path) -> str:
    """Return the measurements of one clip."""
    width, height = map(int, asked.size.split("x"))
    scale = upscaler.spec.scale
    options = UpscaleOptions(asked.model, scale=float(scale))
    source, plain, reused = (folder / f"{draw.__name__}{suffix}.mp4" for suffix in ("", "_plain", "_reused"))
    make(source, draw, asked.frames, height, width, asked.qp)
    work, clock, _ = measured(network_alone(source, upscaler, scale))
    whole = measured(lambda: enlarge(source, plain, upscaler, options, ClipOptions(reuse=False)))
    saved = measured(lambda: enlarge(source, reused, upscaler, options, ClipOptions()))
    cells = [draw.__name__, f"{work:.1f} s", f"{whole[0]:.1f} s", f"{whole[0] / work:.2f}", f"{whole[1] / clock:.2f}"]
    cells += [f"{saved[0]:.1f} s", f"{saved[2].reused:.0%}", f"{whole[0] / saved[0]:.1f}"]
    return f"| {' | '.join(cells)} | {same_frames(plain, reused)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = {draw.__name__: draw for draw in (moving, screen, animation)}
    parser.add_argument("--clips", nargs="+", choices=list(known), default=list(known))
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--qp", default="0")
    parser.add_argument("-m", "--model", default="lite-x2")
    asked = parser.parse_args()
    upscaler = Upscaler(asked.model)
    upscaler.upscale(np.zeros((64, 64, 3), np.uint8))  # the first run prepares the network
    print(f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.clips:
            print(row(known[name], asked, upscaler, Path(folder)), flush=True)


if __name__ == "__main__":
    main()

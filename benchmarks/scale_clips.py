"""What several workers gain on one clip: the figures on clips of docs/scale.md.

    python benchmarks/scale_clips.py --seconds 40    # one worker and two, of one core each

The clip is noise over moving waves, of 160x120 pixels, enlarged twice by lite-x2; the start of the cluster is not
counted. Frames per second mean something on a machine that does nothing else; processor time per frame, that of the
workers without what decodes beside them, does on any. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from scale import ROOM, Quiet, bound, worker_seconds

from upscale_cli.notices import ignore
from upscale_cli.upscaling.clip import ClipOutcome, ClipRun, reader_of
from upscale_cli.upscaling.clip_cluster import enlarge
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.engines.ray import RayEngine
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.ray_options import RayOptions

RATE, HEIGHT, WIDTH = 25, 120, 160


def save(path: Path, count: int) -> None:
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:HEIGHT, :WIDTH]
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(count):
            waves = [np.sin((x * (c + 1) + y + 3 * number) / (9 + c) + c) * 80 + 128 for c in range(3)]
            noisy = np.stack(waves, 2) + rng.normal(0, 6, (HEIGHT, WIDTH, 3))
            frame = av.VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


class Measured(RayEngine):
    """Knows what its workers took in all."""

    used = 0.0

    def run(self, *given: Any) -> Any:
        """Do all jobs; what workers took is read before they end."""
        with closing(super().run(*given)) as outcomes:
            for outcome in outcomes:
                self.used = worker_seconds()
                yield outcome


def rate(source: Path, target: Path, workers: int) -> tuple[float, float]:
    """Return frames per second, and processor seconds of all workers per frame."""
    options, clip = UpscaleOptions("lite-x2", scale=2, threads=1), ClipOptions()
    with closing(reader_of(source, clip)) as reader:
        run = ClipRun(Job(source, target), reader, options, clip, ignore)
    engine = Measured(ignore, RayOptions("local", workers, cpus=1), clips=True)
    making = partial(bound, target.with_suffix(".cores"))
    ((_, outcome),) = enlarge(iter([run]), engine, options, making, Quiet())
    assert isinstance(outcome, ClipOutcome), outcome
    return outcome.frames / outcome.seconds, engine.used / outcome.frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=40)
    asked = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=ROOM, prefix="upscale-scale-"))
    try:
        save(place / "clip.mp4", asked.seconds * RATE)
        print("| workers | frames per second | workers' processor seconds per frame |\n| --- | --- | --- |")
        for workers in (1, 2):
            speed, each = rate(place / "clip.mp4", place / f"out{workers}.mp4", workers)
            print(f"| {workers} | {speed:.2f} | {each:.4f} |", flush=True)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()

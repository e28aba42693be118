"""Runs clips in this process, with networks whose results tests know."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks import NetworkSpec
from upscale_cli.notices import Notice
from upscale_cli.upscaling.clip import ClipOutcome, ClipRun, reader_of
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.engines.engine import Progress
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.resolve import ResolvedNetwork


class Repeat(nn.Module):
    """Repeats each pixel ``scale`` times; counts the pixels that it sees."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.scale, self.pixels = scale, 0

    def forward(self, lr: Tensor) -> Tensor:
        self.pixels += lr.shape[0] * lr.shape[2] * lr.shape[3]
        return F.interpolate(lr, scale_factor=float(self.scale), mode="nearest") * self.weight


class Log:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.progresses: list[Progress] = []
        self.notices: list[Notice] = []

    def started(self, job: Job) -> None:
        """Nothing to keep."""

    def progress(self, progress: Progress) -> None:
        self.progresses.append(progress)


class Doubling:
    """An upscaler that repeats pixels, without PyTorch."""

    name = "doubling"

    def frames_at_once(self, height: int, width: int) -> int:
        return 1

    def upscale_frames(self, frames: Any, target: tuple[int, int], dtype: Any, memory: Any) -> Any:
        return [pixels.repeat(2, 0).repeat(2, 1).astype(dtype) for pixels in frames]


def network(scale: int = 1, radius: int = 0) -> Upscaler:
    """Return an upscaler that repeats pixels; tiles get a halo of ``radius``."""
    module = Repeat(scale)
    spec = NetworkSpec("repeat", scale=scale, in_channels=3, out_channels=3, receptive_radius=radius)
    return Upscaler(network=ResolvedNetwork("repeat", spec, module, {}), device="cpu", tile=16)


def run(
    source: Path,
    target: Path,
    scale: int = 1,
    log: Log | None = None,
    upscaler: Any = None,
    options: UpscaleOptions | None = None,
    **clip: Any,
) -> ClipOutcome:
    """Enlarge ``source`` to ``target`` by repeating pixels."""
    log, upscaler = log or Log(), upscaler or network(scale)
    options = options or UpscaleOptions(scale=scale, quality=100)
    asked = ClipOptions(**clip)
    with closing(reader_of(source, asked, isolated=False)) as reader:
        clip_run = ClipRun(Job(source, target), reader, options, asked, log.notices.append)
        return clip_run.run(lambda picture, on_share: upscaler, log)

"""Faults of a cluster: what a lost worker or node had is done elsewhere, and what ends workers is named."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import Notify, ignore
from upscale_cli.upscaling.engines.engine import Engine
from upscale_cli.upscaling.engines.local import LocalEngine
from upscale_cli.upscaling.engines.ray import RayEngine
from upscale_cli.upscaling.engines.ray_worker import AT_ONCE
from upscale_cli.upscaling.job import Job, UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.ray_options import RayOptions

PICTURES, WORKERS = 60, 2
TWICE = UpscaleOptions(scale=2)
DEADLY = 13  # pixels wide
PATIENCE = 120  # seconds for workers to start on a busy machine


class Nobody:
    """Takes no notice of a run."""

    def started(self, job: Job) -> None: ...

    def progress(self, progress: object) -> None: ...


@pytest.fixture(autouse=True)
def _pickled(cluster: Any) -> None:
    import_module("ray.cloudpickle").register_pickle_by_value(sys.modules[__name__])  # which workers cannot import


def painted(folder: Path, widths: range) -> list[Path]:
    rng = np.random.default_rng(0)
    sources = [folder / f"{width:02}.png" for width in widths]
    for width, source in zip(widths, sources, strict=True):
        picture = Picture(rng.integers(0, 256, (20, width, 3), np.uint8))
        write_image(picture, source, WriteOptions(by_name("png")))
    return sources


class Deadly:
    """Repeats pixels, and ends its process for pictures of one width where it is ``deadly``."""

    name, kernel = "deadly", None

    def __init__(self, deadly: bool = True) -> None:
        self.deadly = deadly

    def upscale_picture(self, picture: Picture, size: object, on_share: OnShare) -> Picture:
        if self.deadly and picture.width == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        return Picture(picture.color.repeat(2, 0).repeat(2, 1))

    def megapixels(self, picture: Picture, size: object) -> float:
        return 0.0


def run(engine: Engine, jobs: list[Job], making: Any, half_way: Callable[[], None]) -> None:
    """Do all ``jobs``, none of which fails, and call ``half_way`` between; few are taken ahead."""
    taken = 0

    def counted() -> Iterator[Job]:
        nonlocal taken
        for job in jobs:
            taken += 1
            yield job

    for done, outcome in enumerate(engine.run(counted(), TWICE, making, Nobody()), 1):
        assert outcome.error is None
        assert taken <= done + WORKERS * AT_ONCE
        if done == len(jobs) // 2:
            half_way()


def test_a_node_that_is_killed_half_way_changes_no_byte(cluster: Any, tmp_path: Path) -> None:
    sources = painted(tmp_path, range(10, 10 + PICTURES))
    jobs = {name: [Job(source, tmp_path / name / source.name) for source in sources] for name in ("local", "ray")}
    node = cluster.add_node(num_cpus=1)
    latest = time.monotonic() + PATIENCE

    def once_all_are_there(asked: UpscaleOptions, notify: Notify) -> UpscalerFor:
        (tmp_path / f"{os.getpid()}.worker").touch()

        def upscaler_for(picture: Picture, on_share: OnShare) -> Any:
            while len(list(tmp_path.glob("*.worker"))) < WORKERS and time.monotonic() < latest:
                time.sleep(0.01)
            return Deadly(False)

        return upscaler_for

    def harmless(asked: UpscaleOptions, notify: Notify) -> UpscalerFor:
        made: Any = Deadly(False)
        return lambda picture, on_share: made

    run(LocalEngine(ignore), jobs["local"], harmless, lambda: None)
    removed = partial(cluster.remove_node, node, allow_graceful=False)
    run(RayEngine(ignore, RayOptions(cpus=1)), jobs["ray"], once_all_are_there, removed)
    assert len(list(tmp_path.glob("*.worker"))) >= WORKERS
    expected = {path.name: path.read_bytes() for path in (tmp_path / "local").iterdir()}
    assert len(expected) == PICTURES
    made = {path.name: path.read_bytes() for path in (tmp_path / "ray").iterdir() if path.suffixes[:1] != [".tmp"]}
    assert made == expected  # a temporary file of the killed node may be there, until the next run


def test_a_picture_that_kills_its_worker_twice_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    jobs = [Job(source, tmp_path / "out" / source.name) for source in painted(tmp_path, range(11, 17))]
    engine = RayEngine(ignore, RayOptions(actors=1, cpus=1))
    making: Any = lambda asked, notify: lambda picture, on_share: Deadly()  # noqa: E731
    outcomes = {outcome.job: outcome.error for outcome in engine.run(jobs, TWICE, making, Nobody())}
    assert set(outcomes) == set(jobs)
    assert [job for job, error in outcomes.items() if error] == [jobs[2]]
    # A busy machine may tell of a lost connection before it tells of the worker's end.
    assert re.search(r"(has ended its worker|was lost with its node) [2-5] times", str(outcomes[jobs[2]]))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {job.target.name for job in jobs if job != jobs[2]}

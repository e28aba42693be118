"""Clips on a Ray cluster of two nodes: the file and the report of one machine, whatever ends workers."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make, moving
from terminal import Terminal
from test_resume import short  # noqa: F401  (a fixture)

from upscale_cli.notices import Notify
from upscale_cli.upscaling.job import UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions


@pytest.fixture
def two_nodes(cluster: Any) -> Iterator[None]:
    import_module("ray.cloudpickle").register_pickle_by_value(sys.modules[__name__])  # which workers cannot import
    node = cluster.add_node(num_cpus=1)
    yield
    cluster.remove_node(node)


class Deadly:
    """Repeats pixels; a black frame ends its process where the file ``once`` is not there, which it makes."""

    name = "deadly"

    def __init__(self, once: Path) -> None:
        self.once = once

    def frames_at_once(self, height: int, width: int) -> int:
        return 1

    def upscale_frames(self, frames: Any, target: tuple[int, int], dtype: Any, memory: Any) -> Any:
        if not frames[0].any() and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [pixels.repeat(2, 0).repeat(2, 1).astype(dtype) for pixels in frames]


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
@pytest.mark.usefixtures("short", "two_nodes")
def test_a_clip_one_of_whose_workers_is_killed_is_done_and_told_as_on_this_machine(
    terminal: Terminal, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [np.zeros_like(moving(0)) if number == 12 else moving(number) for number in range(23)]
    make(Path("clip.mkv"), frames=frames, codec="ffv1", options={}, tone=True)
    once = tmp_path / "once"

    def making(asked: UpscaleOptions, notify: Notify, on_download: object = None) -> UpscalerFor:
        upscaler: Any = Deadly(once)
        return lambda picture, on_share: upscaler

    def run(name: str, *more: str) -> dict[str, Any]:
        said = terminal("clip.mkv", "-o", name, "-m", network, "-s", "2", "--json", *more)
        assert said.code == 0, said.err
        (record,) = [line for line in said.out.splitlines() if line.startswith("{")]  # Ray tells of the killed worker
        return {**json.loads(record), "seconds": 0, "target": 0}

    monkeypatch.setattr("upscale_cli.cli.clips.upscalers", making)
    record = run("ray.mp4", "--ray", "--ray-cpus", "1")
    assert once.exists()
    assert run("local.mp4") == record
    assert Path("ray.mp4").read_bytes() == Path("local.mp4").read_bytes()
    assert sorted(path.name for path in Path().glob("*.*")) == ["clip.mkv", "local.mp4", "ray.mp4"]

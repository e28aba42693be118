"""``upscale --ray``: what is typed, what is refused, and a run that says what one on this machine says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal

from upscale_cli.cli.ray_options import FOUND, with_address
from upscale_cli.errors import UsageError
from upscale_cli.upscaling.engines import ray_cluster
from upscale_cli.upscaling.ray_options import RayOptions


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["dir", "--ray"], ["dir", f"--ray={FOUND}"]),
        (["--ray", "dir"], [f"--ray={FOUND}", "dir"]),
        (["--ray", "-s", "2", "a"], [f"--ray={FOUND}", "-s", "2", "a"]),
        (["--ray", "auto", "dir"], ["--ray", "auto", "dir"]),
        (["--ray", "ray://head-1.net:10001", "dir"], ["--ray", "ray://head-1.net:10001", "dir"]),
        (["--ray=10.0.0.1:6379", "dir"], ["--ray=10.0.0.1:6379", "dir"]),
    ],
)
def test_an_address_is_taken_only_where_there_is_one(typed: list[str], meant: list[str]) -> None:
    assert list(with_address(typed)) == meant


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ray=nowhere"], "'nowhere' is no address of a Ray cluster. Use auto, host:6379 or ray://host:10001."),
        (["--ray-actors", "2"], "--ray-actors is for runs on a cluster. Add --ray."),
        (["--ray", "--ray-actors", "0"], "--ray-actors 0 is too little for a worker."),
        (["--ray", "--ray-gpus", "1.5"], "Ray gives no 1.5 GPUs to a worker."),
        (["--ray", "-o", "-"], "--ray takes files that every node sees, and - is none."),
        (["--ray", "--device", "cuda:1"], "--device cuda:1 is of one machine, and --ray shares out those of all."),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    arguments: list[str], words: str, terminal: Terminal, photos: Path
) -> None:
    said = terminal(str(photos / "0.png"), *arguments)
    assert said.code == 2
    assert words in said.err
    assert said.err.count("\n") == 1


def test_clips_are_done_without_a_cluster(terminal: Terminal) -> None:
    said = terminal("clip.mp4", "--ray")
    assert said.code == 2
    assert "--ray is for pictures" in said.err


def test_the_missing_extra_is_named(terminal: Terminal, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "upscale_cli.upscaling.ray_options.find_spec", lambda name: None if name == "ray" else found(name)
    )
    said = terminal(str(photos / "0.png"), "--ray")
    assert said.code == 2
    assert said.err == "Error: --ray needs an extra. Run: pip install 'upscale-cli[ray]'\n"


def test_rays_client_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.upscaling.ray_options.find_spec", lambda name: sys if name == "ray" else None)
    with pytest.raises(UsageError, match=r"pip install 'ray\[client\]'"):
        RayOptions("ray://host:10001")


def test_a_folder_is_done_and_told_as_on_this_machine(
    cluster: Any, terminal: Terminal, photos: Path, network: str, tmp_path: Path
) -> None:
    def run(name: str | Path, *more: str) -> tuple[list[dict[str, Any]], str]:
        said = terminal(str(photos), "-o", str(name), "-m", network, "--json", *more)
        assert said.code == 0
        records = [json.loads(line) for line in said.out.splitlines()]
        return sorted(({**r, "seconds": 0, "target": 0} for r in records), key=lambda r: r["source"]), said.err

    assert run(f"file://{tmp_path}/ray", "--ray", "--ray-cpus", "1") == run(tmp_path / "local")
    for made in (tmp_path / "local").glob("*.png"):
        assert (tmp_path / "ray" / made.name).read_bytes() == made.read_bytes()
    assert {record["status"] for record in run(tmp_path / "ray", "--ray")[0]} == {"skipped"}


NODES = [
    {"Alive": True, "Resources": {"CPU": 10.0}},
    {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


@pytest.mark.parametrize(
    ("nodes", "asked", "needs", "room"),
    [
        (NODES, RayOptions(), (1, 1), 2),
        (NODES, RayOptions(gpus=0), (4, 0), 4),
        (NODES, RayOptions(gpus=0.5), (1, 0.5), 4),
        (NODES, RayOptions(gpus=0.5, cpus=3), (3, 0.5), 2),
        (NODES[:1], RayOptions(), (4, 0), 2),
        ([{"Alive": True, "Resources": {"CPU": 2.0}}], RayOptions(), (2, 0), 1),
        ([], RayOptions(), (4, 0), 1),
    ],
)
def test_there_is_a_worker_for_each_gpu_or_each_four_cores(
    nodes: list[dict[str, Any]], asked: RayOptions, needs: tuple[float, float], room: int
) -> None:
    assert ray_cluster.needs(nodes, asked) == needs
    assert ray_cluster.room(nodes, *needs) == room

"""``upscale --ray``: what is typed, what is refused, and a run that says what one on this machine says."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from terminal import Terminal

from upscale_cli.cli.ray_options import FOUND, with_address
from upscale_cli.errors import UsageError
from upscale_cli.notices import ignore
from upscale_cli.upscalers import upscalers
from upscale_cli.upscaling.engines import ray, ray_cluster
from upscale_cli.upscaling.engines.ray_worker import Assignment, laid_out
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.ray_options import RayOptions
from upscale_cli.weights import transport
from upscale_cli.weights.manifest import WeightsRecord
from upscale_cli.weights.progress import silent


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
    with pytest.raises(UsageError, match=r"pip install 'upscale-cli\[ray\]'"):
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


def test_a_cluster_that_does_not_answer_is_named_at_once(
    terminal: Terminal, photos: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unanswered:
        unanswered.bind(("127.0.0.1", 0))  # and nobody listens there
        address = f"127.0.0.1:{unanswered.getsockname()[1]}"
        monkeypatch.setattr("ray.is_initialized", lambda: False)
        monkeypatch.setattr("ray.shutdown", lambda: None)
        said = terminal(str(photos), "-o", "out", "-m", network, f"--ray={address}")
    assert said.code == 7
    assert said.err == f"Error: There is no Ray cluster at {address}: Connection refused. Check the address.\n"


def test_a_run_that_is_ended_while_ray_starts_says_so(
    terminal: Terminal, photos: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> None:
        sys.exit(signal.SIGTERM)  # as Ray's handler does

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("ray.init", ended)
    said = terminal(str(photos), "-o", "out", "-m", network, "--ray")
    assert said.code == 130
    assert said.err.endswith("Interrupted: no file was left half written.\n")


def test_weights_and_kernels_travel_by_content(
    tmp_path: Path, network: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def located(record: WeightsRecord, *_: object) -> Path:
        path = tmp_path / record.file
        path.write_bytes(record.name.encode())
        return path

    monkeypatch.setattr(transport, "locate", located)
    kernel = tmp_path / "k.npy"
    kernel.write_bytes(b"kernel")

    def files(options: UpscaleOptions, gpu: bool = True) -> set[bytes]:
        return set(ray.gathered(options, gpu, silent, ignore).values())

    both = {b"realesrgan-x4plus", b"realesrgan-x2plus"}
    assert files(UpscaleOptions(width=9)) == both
    assert files(UpscaleOptions(scale=2)) == {b"realesrgan-x2plus"}
    assert (
        files(UpscaleOptions(scale=4), gpu=False) == files(UpscaleOptions(device="cpu")) == set()
    )  # the package has it
    assert files(UpscaleOptions(alpha=0.5)) == {b"esrgan-x4", b"esrgan-psnr-x4"}
    assert files(UpscaleOptions(scale=2, kernel=kernel)) == {b"kernel"}
    assert files(UpscaleOptions(network)) == {Path(network).read_bytes()}


def test_what_travelled_is_laid_out_where_no_network_is_needed(
    tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UPSCALE_CACHE", "UPSCALE_OFFLINE"):
        monkeypatch.setenv(name, "set by the test")  # and taken back after it
    files = ray.gathered(UpscaleOptions(network), False, silent, ignore)
    away = UpscaleOptions(f"/not/on/this/node/{Path(network).name}", kernel=Path("/neither/k.npy"))
    assignment = Assignment(away, upscalers, Path("/not/here"), {**files, "k.npy": b"kernel"})
    options = laid_out(assignment, tmp_path)
    assert Path(str(options.model)).read_bytes() == Path(network).read_bytes()
    assert isinstance(options.kernel, Path)
    assert options.kernel.read_bytes() == b"kernel"
    assert (os.environ["UPSCALE_CACHE"], os.environ["UPSCALE_OFFLINE"]) == (str(tmp_path), "1")


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


def test_workers_are_called_as_rays_client_can_which_knows_no_groups_of_calls() -> None:
    called: list[str] = []

    class Call:
        def __init__(self, name: str) -> None:
            self._name = name

        def remote(self, *given: object) -> object:
            called.append(self._name)
            return object()

    class Remote:
        def __getattr__(self, name: str) -> Call:
            return Call(name)

    double = mock.Mock(nodes=lambda: NODES[:1], get=lambda ready: None)
    double.remote = lambda max_restarts, max_concurrency: (
        lambda kind: mock.Mock(options=lambda **needs: mock.Mock(remote=Remote))
    )
    fleet = ray_cluster.Fleet(double, RayOptions(actors=1), mock.Mock(), ignore)
    fleet.keep_up()
    (ready,) = fleet.waiting
    fleet.take(ready)
    fleet.give(next(iter(fleet.loads)), Job(Path("a.png"), Path("b.png")), 1)
    fleet.how_far()
    fleet.disband([])
    assert called == ["prepare", "do", "reached", "stop", "close"]

"""Clips on a cluster, without one: parts are done in this process, in another order, and joined to the same clip."""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from clips import decoded, make, moving, packets, seconds
from filelock import FileLock
from running import Log, network, run
from terminal import Terminal
from test_errors import damaged
from test_resume import Stopping, pixels, short  # noqa: F401  (a fixture)
from test_segments import interlaced

from upscale_cli.errors import DeviceError, UpscaleError
from upscale_cli.notices import ignore
from upscale_cli.upscaling import clip_part, frame_folder
from upscale_cli.upscaling.clip import ClipOutcome, ClipRun, reader_of
from upscale_cli.upscaling.clip_cluster import Ended, enlarge
from upscale_cli.upscaling.clip_job import Part
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.engines import ray_worker
from upscale_cli.upscaling.engines.engine import Listener
from upscale_cli.upscaling.engines.ray_worker import Assignment, Fault, Worker
from upscale_cli.upscaling.job import Job, Outcome, Upscalers
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video.info import FrameReader
from upscale_cli.video.segments import folder_of

TWICE = UpscaleOptions(scale=2)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_folder, "reader_of", partial(reader_of, isolated=False))


class Shuffling:
    """An engine that takes some parts at a time and does the last of them first, from its pickle."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.done: list[Part] = []
        self._streams = clip_part.Streams()

    def run(
        self, jobs: Iterable[Job], options: UpscaleOptions, upscalers: Upscalers, listener: Listener
    ) -> Generator[Outcome, None, None]:
        coming = iter(jobs)
        upscaler_for = upscalers(options, ignore)
        with closing(self._streams), ThreadPoolExecutor(1) as computer:
            while some := list(islice(coming, self.at_once)):
                for part in some:
                    listener.started(part)
                for part in reversed(some):
                    assert isinstance(part, Part)
                    self.done.append(part)
                    sent = pickle.loads(pickle.dumps(part))
                    yield clip_part.do(sent, options, upscaler_for, computer, listener, self._streams)


def on_cluster(
    *jobs: Job, log: Log | None = None, upscaler: Any = None, blind: bool = False, at_once: int = 3, **clip: Any
) -> tuple[list[Ended], Shuffling]:
    """Make the clips of ``jobs``; ``blind``: their containers do not tell how long they are."""
    asked, log, engine = ClipOptions(**clip), log or Log(), Shuffling(at_once)
    upscaler = upscaler or Stopping(-1)

    def runs() -> Iterator[ClipRun]:
        for job in jobs:
            with closing(reader_of(job.source, asked, isolated=False)) as reader:
                if blind:
                    reader.info = replace(reader.info, frames=0, seconds=0.0)
                yield ClipRun(job, reader, TWICE, asked, log.notices.append)

    making: Any = lambda options, notify: lambda picture, on_share: upscaler  # noqa: E731
    return list(enlarge(runs(), engine, TWICE, making, log)), engine


def equal(made: Path, expected: Path) -> bool:
    return pixels(made) == pixels(expected) and seconds(made) == seconds(expected)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", ["plain", "unknown length", "fields", "damage", "gaps", "part", "transport stream"])
def test_parts_in_any_order_become_the_clip_of_one_machine(tmp_path: Path, kind: str) -> None:
    source, options = tmp_path / "clip.mkv", dict[str, Any]()
    if kind == "fields":
        interlaced(source, 24)
        options = {"deinterlace": True}
    elif kind == "damage":
        damaged(make(source, count=24, options={"crf": "1", "bf": "0", "g": "6"}))
        options = {"skip_damaged": True}
    elif kind == "gaps":
        make(source, frames=[moving(n) for n in range(6)], times=[0, 512, 20000, 20512, 21024, 80000])
    else:
        source = make(source.with_suffix(".ts" if kind == "transport stream" else ".mkv"), count=28, tone=True)
        options = {"start": 0.3, "duration": 0.5} if kind == "part" else {}
    local = run(source, tmp_path / "local.mkv", 2, upscaler=Stopping(-1), options=TWICE, **options)
    job = Job(source, tmp_path / "cluster.mkv")
    log = Log()
    ((_, outcome),), engine = on_cluster(job, log=log, blind=kind == "unknown length", **options)
    assert isinstance(outcome, ClipOutcome)
    assert replace(outcome, job=local.job, seconds=local.seconds) == local
    assert equal(job.target, tmp_path / "local.mkv")
    if kind == "plain":
        assert packets(job.target, "audio") == packets(tmp_path / "local.mkv", "audio")
        assert len(engine.done) == 6
    assert not folder_of(job.target).exists()
    shares = [progress.share for progress in log.progresses]
    assert shares == sorted(shares)
    assert {progress.job for progress in log.progresses} == {job}


@pytest.mark.usefixtures("short")
def test_a_run_goes_on_on_a_cluster_and_back_on_one_machine(tmp_path: Path) -> None:
    source, target = make(tmp_path / "clip.mp4", count=60), tmp_path / "out.mp4"
    run(source, tmp_path / "undisturbed.mp4", 2, upscaler=Stopping(-1), options=TWICE)
    with pytest.raises(UpscaleError, match="Stopped"):
        run(source, target, 2, upscaler=Stopping(13), options=TWICE)
    ((_, error),), engine = on_cluster(Job(source, target), upscaler=Stopping(13))
    assert "Stopped" in str(error)
    assert [part.number for part in engine.done[:3]] == [4, 3, 2]
    assert run(source, target, 2, upscaler=Stopping(-1), options=TWICE).computed == 60 - 20
    assert equal(target, tmp_path / "undisturbed.mp4")


@pytest.mark.usefixtures("short")
def test_a_clip_that_fails_or_is_whole_already_does_not_stop_the_others(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"{name}.mp4", tmp_path / "out" / f"{name}.mp4") for name in "abcd"]
    for job in jobs:
        make(job.source, count=20)
    damaged(jobs[0].source)
    folder_of(jobs[1].target).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:  # all segments of c are there, they are not joined
        patch.setattr("upscale_cli.upscaling.clip.join", lambda *_: (_ for _ in ()).throw(UpscaleError("Full.")))
        on_cluster(jobs[2])
    with FileLock(folder_of(jobs[1].target) / "lock"):
        ended, engine = on_cluster(*jobs)
    outcomes = {run.job: outcome for run, outcome in ended}
    assert len(ended) == 4
    assert "a.mp4 is damaged" in str(outcomes[jobs[0]])
    assert "Another run is writing" in str(outcomes[jobs[1]])
    assert [getattr(outcomes[job], "computed", None) for job in jobs[2:]] == [0, 20]
    assert {part.source for part in engine.done} == {jobs[0].source, jobs[3].source}
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mp4")) == ["c.mp4", "d.mp4"]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("suffix", "times"), [(".ts", 1), (".mkv", 6)])
def test_a_clip_that_can_only_be_read_from_its_beginning_is_read_once(
    tmp_path: Path, suffix: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def counting(source: Path, asked: ClipOptions) -> FrameReader:
        opened.append(source)
        return reader_of(source, asked, isolated=False)

    monkeypatch.setattr(frame_folder, "reader_of", counting)
    job = Job(make(tmp_path / f"clip{suffix}", count=28), tmp_path / "out.mkv")
    _, engine = on_cluster(job, at_once=1)
    assert (len(engine.done), len(opened)) == (6, times)
    assert len(decoded(job.target)) == 28


def test_another_file_on_a_node_is_named(tmp_path: Path) -> None:
    job = Job(make(tmp_path / "clip.mp4", count=5), tmp_path / "out.mp4")
    with closing(reader_of(job.source, ClipOptions(), isolated=False)) as reader:
        clip_run = ClipRun(job, reader, TWICE, ClipOptions(), ignore)
    with clip_run.begun() as folder:
        part = replace(clip_run.part(0, folder), version="another")
        with ThreadPoolExecutor(1) as computer:
            making: Any = lambda picture, on_share: network(2)  # noqa: E731
            outcome = clip_part.do(part, TWICE, making, computer, Log(), clip_part.Streams())
    assert "clip.mp4 is another file on a node. Every node has to see the same files." in str(outcome.error)
    assert len(decoded(job.source)) == 5


def test_a_node_without_pyav_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_worker, "find_spec", lambda name: None)
    fault = Worker().prepare(Assignment(TWICE, lambda options, notify: None, Path(), {}, clips=True))  # type: ignore[arg-type, return-value]
    assert isinstance(fault, Fault)
    assert isinstance(fault.error, DeviceError)
    assert "has no PyAV, which clips need. Run there: pip install 'upscale-cli[video]'" in str(fault.error)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "frames/%06d.png"], "--ray writes clips, and frames/%06d.png are pictures."),
        (["--device", "cuda:1"], "--device cuda:1 is of one machine"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused_in_a_sentence(
    terminal: Terminal, arguments: list[str], words: str
) -> None:
    make(Path("clip.mp4"), count=2)
    said = terminal("clip.mp4", "--ray", *arguments)
    assert said.code == 2
    assert words in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["clip.mp4"]

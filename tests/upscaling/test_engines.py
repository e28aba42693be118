"""The engine contract, for every engine: each job once, failures stay one picture's own, nothing torn."""

from __future__ import annotations

import errno
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
import pytest

from upscale_cli.errors import DeviceError, UsageError
from upscale_cli.images.convert import StoredPixels
from upscale_cli.images.encode import encode
from upscale_cli.images.formats import Format, by_name
from upscale_cli.images.picture import Animation, Image, Metadata, Picture
from upscale_cli.images.read import read_image, read_picture
from upscale_cli.images.sheet import TEXT_HEIGHT
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import Notice, Notify, ignore, note
from upscale_cli.upscaling import job as jobs_room
from upscale_cli.upscaling.engines.engine import Engine, Progress
from upscale_cli.upscaling.engines.local import WAITING_WRITES, WRITERS, LocalEngine
from upscale_cli.upscaling.engines.ray import RayEngine
from upscale_cli.upscaling.job import Job, Outcome, UpscalerFor, do
from upscale_cli.upscaling.naming import Naming
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.plan import plan
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.ray_options import RayOptions
from upscale_cli.upscaling.size import Size

TWICE = UpscaleOptions(scale=2)
ENGINES: dict[str, tuple[Callable[[], Engine], UpscaleOptions]] = {
    "local": (lambda: LocalEngine(ignore), TWICE),
    "local, three together": (lambda: LocalEngine(ignore, together=3), TWICE),
    "local on two devices": (lambda: LocalEngine(ignore), UpscaleOptions(scale=2, device="cpu,cpu")),
    "ray": (lambda: RayEngine(ignore, RayOptions(actors=1, cpus=1)), TWICE),
}
LOCAL = [name for name in ENGINES if name != "ray"]
each_engine = pytest.mark.parametrize("name", ENGINES)
each_local_engine = pytest.mark.parametrize("name", LOCAL)


@pytest.fixture(autouse=True)
def _cluster(request: pytest.FixtureRequest) -> None:
    if "ray" in request.node.name:
        request.getfixturevalue("cluster")
        cloudpickle = import_module("ray.cloudpickle")
        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # which workers cannot import


class Doubling:
    """Repeats every pixel; ``fault`` is raised for pictures five pixels wide."""

    name = "doubling"
    kernel: tuple[float, float] | None = None

    def __init__(self, fault: BaseException | None = None, before: Callable[[], None] = lambda: None) -> None:
        self.fault, self.before = fault, before

    def upscale_picture(self, picture: Picture, size: Size, on_share: OnShare = lambda share, detail: None) -> Picture:
        self.before()
        if self.fault and picture.width == 5:
            raise self.fault
        on_share(0.5, "half")
        on_share(1.0, "all")
        return Picture(picture.color.repeat(2, 0).repeat(2, 1), None, picture.metadata)

    def upscale_pictures(
        self, pictures: Sequence[Picture], size: Size, on_share: OnShare, batch: int | None
    ) -> list[Picture]:
        return [self.upscale_picture(picture, size, on_share) for picture in pictures]

    def pictures_at_once(self, height: int, width: int) -> int:
        return 1

    def megapixels(self, picture: Picture, size: Size) -> float:
        return picture.width / 1e6


class Listening:
    """Keeps what a run reports."""

    def __init__(self) -> None:
        self.begun: list[Job] = []
        self.steps: list[Progress] = []

    def started(self, job: Job) -> None:
        self.begun.append(job)

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)


def picture(width: int = 4) -> Picture:
    return Picture(np.full((3, width, 3), 7, np.uint8))


def jobs(folder: Path, *widths: int, compare: bool = False) -> list[Job]:
    made = []
    for index, width in enumerate(widths):
        source, target = folder / f"{index}.png", folder / "deep" / "out" / f"{index}.png"
        write_image(picture(width), source, WriteOptions(by_name("png")))
        made.append(Job(source, target, target.with_stem(f"{index}_compare") if compare else None))
    return made


def run(name: str, work: list[Job], upscaler: Doubling, listener: Listening | None = None) -> list[Outcome]:
    make, options = ENGINES[name]
    outcomes = make().run(
        iter(work), options, lambda asked, notify: lambda first, on_share: upscaler, listener or Listening()
    )
    return sorted(outcomes, key=lambda outcome: outcome.job.source)


def workers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("read", "compute", "write"))]


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".tmp" in path.name]


@each_engine
def test_every_job_is_done_once_and_its_sizes_told(name: str, tmp_path: Path) -> None:
    work, listener = jobs(tmp_path, 4, 5, 6, 7), Listening()
    outcomes = run(name, work, Doubling(), listener)
    assert [outcome.job for outcome in outcomes] == work
    assert [(outcome.before, outcome.after) for outcome in outcomes][1] == ((5, 3), (10, 6))
    assert all(read_picture(job.target).height == 6 for job in work)
    assert sorted(listener.begun, key=str) == sorted(work, key=str)
    steps = {(job, share) for job in work for share in (0.5, 1)}
    reported = {(step.job, step.share) for step in listener.steps}
    assert reported <= steps
    assert reported == steps or name not in LOCAL  # of a cluster's pictures only those that take long report
    assert not workers()


FAULTS = (
    DeviceError("It is too large.", "Shrink it."),
    MemoryError(),
    RuntimeError("strange"),
    ValueError("odd"),
    OSError(),
)


@pytest.mark.parametrize(
    ("name", "fault"),
    [*((name, fault) for name in LOCAL for fault in FAULTS), ("ray", FAULTS[2])],
)
def test_a_picture_that_fails_does_not_stop_the_others(name: str, tmp_path: Path, fault: Exception) -> None:
    work = jobs(tmp_path, 4, 5, 6)
    work[2].source.write_bytes(b"no picture")
    first, second, third = run(name, work, Doubling(fault))
    assert first.error is None
    assert second.error is not None
    assert str(fault) in str(second.error)
    assert second.error is fault or second.error.__cause__ is fault or name not in LOCAL
    assert "no picture of a known format" in str(third.error)
    assert [job.target.exists() for job in work] == [True, False, False]


@each_local_engine
def test_a_mistake_of_ours_is_not_mistaken_for_a_bad_picture(name: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        run(name, jobs(tmp_path, 5), Doubling(TypeError("ours")))
    assert not workers()


@each_local_engine
def test_a_full_disk_is_that_pictures_failure(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(
        pixels: StoredPixels, metadata: Metadata, file: BinaryIO, known: Format, quality: int, threads: int | None
    ) -> None:
        if pixels.picture.width == 8:
            file.write(b"the first bytes")
            raise OSError(errno.ENOSPC, "No space left on device")
        encode(pixels, metadata, file, known, quality)

    work = jobs(tmp_path, 4, 6)
    monkeypatch.setattr("upscale_cli.images.write.encode", full)
    first, second = run(name, work, Doubling())
    assert "No space left on device" in str(first.error)
    assert first.error is not None
    assert first.error.exit_code == 4
    assert second.error is None
    assert not work[0].target.exists()
    assert not leftovers(tmp_path)


@each_engine
def test_an_interruption_leaves_no_partial_file_and_no_thread(name: str, tmp_path: Path) -> None:
    work = jobs(tmp_path, 4, 5, *[6] * 20)
    with pytest.raises(KeyboardInterrupt):
        run(name, work, Doubling(KeyboardInterrupt()))
    assert not leftovers(tmp_path)
    assert not work[-1].target.exists()
    assert not workers()


@each_local_engine
def test_closing_ends_the_run_within_the_picture(name: str, tmp_path: Path) -> None:
    make, options = ENGINES[name]
    work = jobs(tmp_path, *[4] * 9)
    upscaler = Doubling(before=lambda: time.sleep(0.01))
    outcomes = make().run(work, options, lambda asked, notify: lambda first, on_share: upscaler, Listening())
    assert isinstance(outcomes, Iterator)
    next(outcomes)
    outcomes.close()
    assert not leftovers(tmp_path)
    assert not workers()
    assert not work[-1].target.exists()


@each_engine
def test_a_run_that_was_closed_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    make, options = ENGINES[name]
    for index in range(8):
        (tmp_path / "in").mkdir(exist_ok=True)
        write_image(picture(4 + index), tmp_path / "in" / f"{index}.png", WriteOptions(by_name("png")))
    naming = Naming(label="x2", output=str(tmp_path / "out"))
    enlarged: list[int] = []

    class Recording(Doubling):
        def upscale_picture(
            self, picture: Picture, size: Size, on_share: OnShare = lambda share, detail: None
        ) -> Picture:
            enlarged.append(picture.width)
            return super().upscale_picture(picture, size, on_share)

    making = lambda asked, notify: lambda first, on_share: Recording()  # noqa: E731
    outcomes = make().run(plan([str(tmp_path / "in")], naming).jobs, options, making, Listening())
    done = [next(outcomes).job for _ in range(3)]
    outcomes.close()
    assert not leftovers(tmp_path)
    again = plan([str(tmp_path / "in")], naming)
    assert set(done) <= set(again.skipped)
    enlarged.clear()
    assert [o.error for o in make().run(again.jobs, options, making, Listening())] == [None] * len(again.jobs)
    assert len(enlarged) == len(again.jobs) or name not in LOCAL
    assert len(again.jobs) == 8 - len(again.skipped)
    assert [read_picture(tmp_path / "out" / f"{index}.png").width for index in range(8)] == list(range(8, 24, 2))


@each_local_engine
def test_jobs_are_taken_only_a_few_ahead(name: str, tmp_path: Path) -> None:
    make, options = ENGINES[name]
    work = jobs(tmp_path, *[4] * 20)
    taken = 0

    def counted() -> Iterator[Job]:
        nonlocal taken
        for job in work:
            taken += 1
            yield job

    outcomes = make().run(counted(), options, lambda asked, notify: lambda first, on_share: Doubling(), Listening())
    for done, _ in enumerate(outcomes, 1):
        assert taken <= done + 2 * (2 + WRITERS) + (3 if "together" in name else 0)


@pytest.mark.parametrize(("side", "at_once"), [(4, WRITERS), (1200, WAITING_WRITES + 1)])
def test_small_pictures_are_written_several_at_once(
    side: int, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, most, changed = 0, 0, threading.Condition()

    def slow(*arguments: object) -> list[str]:
        nonlocal writing, most
        with changed:
            writing += 1
            most = max(most, writing)
            changed.notify_all()
            changed.wait_for(lambda: most >= at_once, timeout=60)
        time.sleep(0.05)  # in which no more must begin
        with changed:
            writing -= 1
        return []

    work = jobs(tmp_path, *[4] * 8)
    pixels = np.zeros((side, 2 * side, 3), np.uint8)
    monkeypatch.setattr(jobs_room, "write_image", slow)
    monkeypatch.setattr(jobs_room, "read_image", lambda path, most: Picture(pixels))
    run("local", work, Doubling())
    assert most == at_once


@each_local_engine
def test_few_pictures_wait_in_memory_however_slow_the_disk(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, enlarged, most = 0, 0, 0

    def slow(*arguments: object) -> list[str]:
        nonlocal written
        time.sleep(0.02)
        written += 1
        return []

    def count() -> None:
        nonlocal enlarged, most
        enlarged += 1
        most = max(most, enlarged - written)

    monkeypatch.setattr(jobs_room, "write_image", slow)
    run(name, jobs(tmp_path, *[4] * 8), Doubling(before=count))
    assert 2 <= most <= WRITERS + (6 if "together" in name else 3)


def test_the_next_picture_is_read_while_the_network_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = jobs(tmp_path, 4, 6)
    second_read = threading.Event()

    def reading(path: Path, max_megapixels: float) -> Image:
        if path == work[1].source:
            second_read.set()
        return read_image(path, max_megapixels)

    def wait() -> None:
        assert second_read.wait(5)

    monkeypatch.setattr(jobs_room, "read_image", reading)
    assert all(outcome.error is None for outcome in run("local", work, Doubling(before=wait)))


def test_two_devices_work_on_two_pictures_at_once(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def wait() -> None:
        both.wait(5)

    outcomes = run("local on two devices", jobs(tmp_path, 4, 6), Doubling(before=wait))
    assert [outcome.error for outcome in outcomes] == [None, None]


def test_a_comparison_shows_both_at_the_same_height_and_is_labelled(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, 4, compare=True)
    run("local", [job], Doubling())
    assert job.comparison is not None
    both = read_picture(job.comparison)
    assert both.height == 6 + TEXT_HEIGHT
    assert both.width > 2 * 8
    assert (both.color[:6, :8] == 7).all()
    assert (both.color[:6, -8:] == 7).all()
    assert (both.color[6:] < 128).any()  # the labels


def test_progress_over_training_and_an_animation_goes_from_start_to_end_once(tmp_path: Path) -> None:
    source, target = tmp_path / "a.gif", tmp_path / "a_x2.gif"
    frames = tuple(Picture(np.full((8, 8, 3), level, np.uint8)) for level in (0, 120, 255))
    write_image(Animation(frames, (50, 60, 70), 0), source, WriteOptions(by_name("gif")))
    listener = Listening()

    def trained(asked: UpscaleOptions, notify: Notify) -> UpscalerFor:
        def upscaler_for(first: Picture, on_share: OnShare) -> Doubling:
            on_share(0.25, "iteration 1")
            on_share(0.5, "iteration 2")
            return Doubling()

        return upscaler_for

    list(LocalEngine(ignore).run([Job(source, target)], TWICE, trained, listener))
    shares = [step.share for step in listener.steps]
    assert shares == sorted(shares)
    assert shares[:2] == [0.25, 0.5]
    assert shares[2] == pytest.approx(0.5 + 0.5 / 6)
    assert shares.count(1.0) == 1
    assert listener.steps[-1].megapixels == 3 * 64 / 1e6
    assert listener.steps[-1].detail == "frame 3/3, all"


def in_another_process(asked: UpscaleOptions, notify: Notify) -> UpscalerFor:
    """Found by name in a process that has nothing but pickles; it fails for pictures five pixels wide."""
    notify(note(f"made for {asked.scale:g}"))
    return lambda first, on_share: Doubling(DeviceError("It is too large.", "Shrink it."))


def test_a_job_is_done_in_another_process_from_its_pickles(tmp_path: Path) -> None:
    work = jobs(tmp_path, 4, 5, 6)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        first, second, third = pool.map(do, work, [TWICE] * 3, [in_another_process] * 3)
    assert [first.job, second.job, third.job] == work
    assert [first.after, third.after] == [(8, 6), (12, 6)]
    assert first.notices == (Notice("made for 2"),)
    assert third.notices == ()  # networks are made once for each process
    assert isinstance(second.error, DeviceError)
    assert str(second.error) == f"{work[1].source}: It is too large. Shrink it."
    assert [job.target.exists() for job in work] == [True, False, True]


def test_a_quality_is_for_the_lossy_ones_and_refused_where_there_are_none() -> None:
    png, jpeg = Job(Path("a.png"), Path("b.png")), Job(Path("a.jpg"), Path("b.jpg"))
    options = UpscaleOptions(quality=80)
    jobs_room.require_writable_formats([png, jpeg], options)
    assert jobs_room.write_options(jpeg.target, options).quality == 80
    assert jobs_room.write_options(png.target, options).quality is None
    with pytest.raises(UsageError, match="takes no --quality"):
        jobs_room.require_writable_formats([png], options)
    with pytest.raises(UsageError, match="16 bits"):
        jobs_room.require_writable_formats([png, jpeg], UpscaleOptions(depth=16))


def never(*arguments: object) -> NoReturn:
    raise AssertionError


def test_a_run_without_jobs_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_room, "read_image", never)
    assert run("local", [], Doubling()) == []

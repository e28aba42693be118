"""Many pictures in a row: overlap, failures that stay one picture's own, and nothing half-written."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from upscale_cli import atomic
from upscale_cli.errors import DeviceError, UsageError
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Animation, Picture
from upscale_cli.images.read import read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.upscaling import batch
from upscale_cli.upscaling.batch import Outcome, Settings
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.targets import Job

TWICE = Settings(Size(scale=2))


class Doubling:
    """Repeats every pixel; ``fault`` is raised for pictures five pixels wide."""

    name = "doubling"

    def __init__(self, fault: BaseException | None = None) -> None:
        self.fault = fault

    def upscale_picture(
        self, picture: Picture, size: Size, on_tile: Callable[[int, int], None] = lambda done, total: None
    ) -> Picture:
        if self.fault and picture.width == 5:
            raise self.fault
        on_tile(1, 2)
        on_tile(2, 2)
        return Picture(picture.color.repeat(2, 0).repeat(2, 1), None, picture.metadata)


def picture(width: int = 4) -> Picture:
    return Picture(np.full((3, width, 3), 7, np.uint8))


def jobs(folder: Path, *widths: int, compare: bool = False) -> list[Job]:
    made = []
    for index, width in enumerate(widths):
        source, target = folder / f"{index}.png", folder / "deep" / "out" / f"{index}.png"
        write_image(picture(width), source, WriteOptions(by_name("png")))
        made.append(Job(source, target, target.with_stem(f"{index}_compare") if compare else None))
    return made


def run(work: list[Job], upscaler: Doubling, settings: Settings = TWICE) -> list[Outcome]:
    outcomes = list(batch.run(work, lambda picture: upscaler, settings))
    return sorted(outcomes, key=lambda outcome: outcome.job.source)


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("read", "write"))]


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".tmp" in path.name]


def test_every_picture_is_done_once_and_its_sizes_told(tmp_path: Path) -> None:
    work = jobs(tmp_path, 4, 5, 6, 7)
    outcomes = run(work, Doubling())
    assert [outcome.job for outcome in outcomes] == work
    assert [(outcome.before, outcome.after) for outcome in outcomes][1] == ((5, 3), (10, 6))
    assert all(read_picture(job.target).height == 6 for job in work)
    assert not workers()


@pytest.mark.parametrize(
    "fault",
    [
        DeviceError("It is too large.", "Shrink it."),
        MemoryError(),
        RuntimeError("strange"),
        ValueError("odd"),
        OSError(),
    ],
)
def test_a_picture_that_fails_does_not_stop_the_others(tmp_path: Path, fault: Exception) -> None:
    work = jobs(tmp_path, 4, 5, 6)
    work[2].source.write_bytes(b"no picture")
    first, second, third = run(work, Doubling(fault))
    assert first.error is None
    assert second.error is fault or (second.error and second.error.__cause__ is fault)
    assert "no picture of a known format" in str(third.error)
    assert [job.target.exists() for job in work] == [True, False, False]


def test_a_mistake_of_ours_is_not_mistaken_for_a_bad_picture(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        run(jobs(tmp_path, 5), Doubling(TypeError("ours")))
    assert not workers()


def test_a_full_disk_is_that_pictures_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes = atomic.write_bytes

    def full(target: Path, data: bytes) -> None:
        if target.name == "0.png":
            with atomic.replacing(target) as temporary:
                temporary.write_bytes(data[:5])
                raise OSError(errno.ENOSPC, "No space left on device")
        write_bytes(target, data)

    work = jobs(tmp_path, 4, 6)
    monkeypatch.setattr(atomic, "write_bytes", full)
    first, second = run(work, Doubling())
    assert "No space left on device" in str(first.error)
    assert first.error is not None
    assert first.error.exit_code == 4
    assert second.error is None
    assert not work[0].target.exists()
    assert not leftovers(tmp_path)


def test_an_interruption_leaves_no_partial_file_and_no_thread(tmp_path: Path) -> None:
    work = jobs(tmp_path, 4, 5, 6)
    with pytest.raises(KeyboardInterrupt):
        run(work, Doubling(KeyboardInterrupt()))
    assert not leftovers(tmp_path)
    assert not work[2].target.exists()
    assert not workers()


def test_the_next_picture_is_read_while_the_network_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = jobs(tmp_path, 4, 6)
    second_read = threading.Event()

    def reading(path: Path, max_megapixels: float) -> Picture | Animation:
        if path == work[1].source:
            second_read.set()
        return read_image(path, max_megapixels)

    class Waiting(Doubling):
        def upscale_picture(
            self, picture: Picture, size: Size, on_tile: Callable[[int, int], None] = lambda done, total: None
        ) -> Picture:
            assert second_read.wait(5)
            return super().upscale_picture(picture, size, on_tile)

    monkeypatch.setattr(batch, "read_image", reading)
    assert all(outcome.error is None for outcome in run(work, Waiting()))


def test_few_pictures_wait_in_memory_however_slow_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, enlarged, most = 0, 0, 0

    def slow(*arguments: object) -> list[str]:
        nonlocal written
        threading.Event().wait(0.02)
        written += 1
        return []

    class Counting(Doubling):
        def upscale_picture(
            self, picture: Picture, size: Size, on_tile: Callable[[int, int], None] = lambda done, total: None
        ) -> Picture:
            nonlocal enlarged, most
            enlarged += 1
            most = max(most, enlarged - written)
            return super().upscale_picture(picture, size, on_tile)

    monkeypatch.setattr(batch, "write_image", slow)
    run(jobs(tmp_path, *[4] * 8), Counting())
    assert 2 <= most <= batch.WAITING_WRITES + 1


def test_a_comparison_shows_both_at_the_same_height(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, 4, compare=True)
    run([job], Doubling())
    assert job.comparison is not None
    both = read_picture(job.comparison)
    assert both.height == 6
    assert both.width > 2 * 8
    assert (both.color[:, :8] == 7).all()
    assert (both.color[:, -8:] == 7).all()


def test_progress_over_an_animation_goes_from_start_to_end_once(tmp_path: Path) -> None:
    source, target = tmp_path / "a.gif", tmp_path / "a_x2.gif"
    frames = tuple(Picture(np.full((8, 8, 3), level, np.uint8)) for level in (0, 120, 255))
    write_image(Animation(frames, (50, 60, 70), 0), source, WriteOptions(by_name("gif")))
    shares: list[float] = []
    upscaler = Doubling()
    work = [Job(source, target)]
    list(batch.run(work, lambda picture: upscaler, TWICE, on_tile=lambda done, total: shares.append(done / total)))
    assert shares == sorted(shares)
    assert shares[0] < 1 / 3
    assert shares.count(1.0) == 1


def test_a_quality_is_for_the_lossy_ones_and_refused_where_there_are_none() -> None:
    png, jpeg = Job(Path("a.png"), Path("b.png")), Job(Path("a.jpg"), Path("b.jpg"))
    settings = Settings(Size(scale=2), quality=80)
    settings.require_possible([png, jpeg])
    assert settings.writing(jpeg.target).quality == 80
    assert settings.writing(png.target).quality is None
    with pytest.raises(UsageError, match="takes no --quality"):
        settings.require_possible([png])
    with pytest.raises(UsageError, match="16 bits"):
        Settings(Size(scale=2), depth=16).require_possible([png, jpeg])

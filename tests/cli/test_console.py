"""The console: what is shown of jobs, notices and downloads, in every style and on terminals of every width."""

from __future__ import annotations

import itertools
import random
import re
from functools import partial
from pathlib import Path
from threading import Thread

import click
import pytest
from terminal import Screen
from tqdm import tqdm
from tqdm.utils import disp_len

from upscale_cli.cli import bar as bars
from upscale_cli.cli import console as consoles
from upscale_cli.cli.bar import FEWEST_COLUMNS, Bar, close_all, listed, shortened
from upscale_cli.cli.console import Console, duration, places, printable
from upscale_cli.errors import InputError
from upscale_cli.notices import note, warning
from upscale_cli.upscaling.engines.engine import Progress
from upscale_cli.upscaling.job import Job, Outcome
from upscale_cli.upscaling.plan import Plan

LONG = "IMG_20240817_154233_panorama_edited_final_version.jpeg"
Captured = pytest.CaptureFixture[str]


def jobs(count: int, name: str = "a.png") -> list[Job]:
    return [Job(Path(f"d/{number}_{name}"), Path(f"d_x4/{number}_{name}")) for number in range(count)]


def done(job: Job) -> Outcome:
    return Outcome(job, "lite-x4", 0.5, (100, 50), (400, 200))


def failed(job: Job) -> Outcome:
    return Outcome(job, error=InputError(f"{job.source} is no picture.", "Check it."))


def plan(console_jobs: list[Job], skipped: int = 0, ignored: int = 0) -> Plan:
    return Plan(tuple(console_jobs), tuple(jobs(skipped, "there.png")), ignored)


def columns_of_bar(frame: str) -> int:
    shown = re.search(r"%\|(.*?)\|", frame)
    assert shown is not None
    return disp_len(shown[1])


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", ["a.png", LONG, "猫の写真" * 8 + ".png", "{braces}{0}.png"])
@pytest.mark.parametrize(("count", "at_once"), [(1, 1), (2000, 1), (2000, 2), (2000, 8)])
def test_the_bar_is_usable_and_the_line_fits_on_every_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int, name: str, count: int, at_once: int
) -> None:
    screen = Screen(monkeypatch, columns)
    console, work = Console("bar", count), jobs(at_once, name)
    for job in work:
        console.started(job)
    console.progress(Progress(work[0], 0.4, "iteration 1200/3000, loss 0.0123, learning rate 1e-03", 0.3))
    console.ended(work[-1], 0.5)
    console.close()
    shown = screen.frames()
    assert len(shown) >= at_once + 1
    assert all(columns_of_bar(frame) >= FEWEST_COLUMNS for frame in shown), shown
    assert all(disp_len(frame) <= columns for frame in shown)
    assert shown[0].startswith("0_a.png" if name == "a.png" else f"0_{name[:2]}")


def test_a_wide_terminal_shows_details_and_a_narrow_one_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for columns in (60, 120):
        screen = Screen(monkeypatch, columns)
        with Bar(10) as bar:
            bar.show(5, "3/9", [LONG], ["tile 12/20", "0.12 MP/s"], now=True)
        shown[columns] = screen.frames()[-1]
    assert "tile 12/20, 0.12 MP/s" in shown[120]
    assert "tile" not in shown[60]
    assert all(" 50%|" in frame and "| 3/9 [" in frame for frame in shown.values())


@pytest.mark.parametrize("count", [1, 3, 7, 10, 30])
def test_shares_never_exceed_the_whole(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Where the sum of fractions does, tqdm warns; warnings are errors here."""
    screen = Screen(monkeypatch, 80)
    console, draws = Console("bar", count), random.Random(count)
    for job in jobs(count):
        console.started(job)
        for share in sorted(draws.random() for _ in range(9)):
            console.progress(Progress(job, share, "", 0.1))
        console.progress(Progress(job, 1.0, "", 0.1))
        console.finished(done(job))
    console.close()
    percentages = [int(found) for frame in screen.frames() for found in re.findall(r"(\d+)%\|", frame)]
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100


def test_the_share_of_a_job_counts_as_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "tqdm", partial(tqdm, mininterval=0))
    screen, console = Screen(monkeypatch, 80), Console("bar", 2)
    for job, share in zip(jobs(2), (0.5, 0.7), strict=True):
        console.progress(Progress(job, share, "", 0.0))
    console.close()
    assert [re.findall(r"(\d+)%", frame) for frame in screen.frames()][-1] == ["60"]


def test_several_jobs_at_once_are_named_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, 120)
    console, (first, second, third) = Console("bar", 3), jobs(3)
    console.started(first)
    console.started(second)
    console.finished(done(first))
    console.started(third)
    console.close()
    shown = screen.frames()
    assert [frame.split("  ")[0].split(" 0%")[0].split(" 33%")[0].strip() for frame in shown] == [
        "0_a.png",
        "0_a.png, 1_a.png",
        "1_a.png",
        "1_a.png, 2_a.png",
    ]
    assert [re.findall(r"\| (\d/3) ", frame) for frame in shown] == [["0/3"], ["0/3"], ["1/3"], ["1/3"]]


def test_lines_above_a_bar_take_its_place(capfd: Captured) -> None:
    console, (job,) = Console("bar"), jobs(1)
    console.started(job)
    console.notify(note("something to know"))
    console.close()
    said = capfd.readouterr().err
    assert re.search(r"\r +\rNote: something to know\n", said)


def test_an_error_is_not_printed_behind_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, console = Screen(monkeypatch, 80), Console("bar", 2)
    console.started(*jobs(1))
    console.download("x.pth", 1, 10)
    close_all()
    before, after = screen.close().rsplit("]", 1)
    assert "x.pth" in before
    assert re.fullmatch(r"(\s|\x1b\[A)*", after)
    assert after.endswith("\r")


def test_a_notice_is_told_once_and_counted_at_the_end(capfd: Captured) -> None:
    console, work = Console("lines", 3), jobs(3)
    for job in work:
        console.notify(warning("this may matter"))
        console.finished(done(job))
    console.conclude(plan(work))
    assert capfd.readouterr().err == "Warning: this may matter\nWarning: 3 times: this may matter\n"


def test_threads_tell_a_notice_once_and_finish_every_job(capfd: Captured) -> None:
    console, work = Console("lines", 200), jobs(200)

    def report(part: list[Job]) -> None:
        for job in part:
            console.started(job)
            console.notify(note("once"))
            console.progress(Progress(job, 0.5, "half", 0.1))
            console.finished(done(job))

    threads = [Thread(target=report, args=(work[first::8],)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    console.conclude(plan(work))
    said = capfd.readouterr()
    assert said.err == "Note: once\nNote: 200 times: once\n"
    lines = said.out.splitlines()
    assert len(lines) == 201
    assert lines[-1].startswith("200 done in ")


def test_a_folder_ends_with_counts_duration_and_place(capfd: Captured) -> None:
    console, work = Console("lines", 3), jobs(3)
    console.finished(done(work[0]))
    console.finished(failed(work[1]))
    console.finished(done(work[2]))
    with pytest.raises(click.exceptions.Exit) as end:
        console.conclude(plan(work, skipped=2, ignored=1))
    assert end.value.exit_code == 1
    said = capfd.readouterr()
    assert re.fullmatch(
        r"2 done in \d+\.\d s at \S+ MP/s, results in d_x4; 2 already there \(--overwrite does them again\); "
        r"1 failed; 1 file skipped: not a picture\.",
        said.out.splitlines()[-1],
    )
    assert said.err == "Failed: d/1_a.png is no picture. Check it.\n"


def test_the_only_job_fails_with_its_own_error_and_a_last_one_with_that_of_a_folder(capfd: Captured) -> None:
    (job,) = jobs(1)
    for skipped, expected in ((0, InputError), (2, click.exceptions.Exit)):
        console = Console("lines")
        console.finished(failed(job))
        with pytest.raises(expected):
            console.conclude(plan([job], skipped))


@pytest.mark.parametrize(("style", "lines"), [("lines", 2), ("bar", 0), ("json", 2), ("quiet", 0)])
def test_results_of_many_are_listed_only_where_no_bar_shows_them(
    capfd: Captured, style: consoles.Style, lines: int
) -> None:
    console = Console(style, 2)
    for job in jobs(2):
        console.finished(done(job))
    assert len(capfd.readouterr().out.splitlines()) == lines


def test_long_work_is_reported_in_a_log_now_and_then(capfd: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    console, (job,) = Console("lines"), jobs(1)
    console.progress(Progress(job, 0.3, "tile 3/10", 0.1))
    monkeypatch.setattr(consoles, "LINE_EVERY", 0.0)
    console.progress(Progress(job, 0.4, "tile 4/10", 0.1))
    assert capfd.readouterr().err == "d/0_a.png: 40%, tile 4/10\n"


def test_an_interrupted_folder_says_how_far_it_came(capfd: Captured) -> None:
    console, work = Console("bar", 3), jobs(3)
    console.finished(done(work[0]))
    console.finished(failed(work[1]))
    console.ended_early(replaces=False)
    said = capfd.readouterr().err.split("\r")[-1]
    assert "Failed: d/1_a.png is no picture." in said
    assert "1 of 3 pictures are done. The same command goes on from there." in said
    console.all_listed = False
    console.ended_early(replaces=False)
    assert "1 of the 3 pictures listed so far are done." in capfd.readouterr().err


@pytest.mark.parametrize(
    ("style", "said"),
    [("lines", "Downloading x.pth (67 MB)\nDownloading y.pth\n"), ("quiet", "")],
)
def test_a_download_is_one_line_in_a_log(capfd: Captured, style: consoles.Style, said: str) -> None:
    console = Console(style)
    for size in (1_000_000, 30_000_000, 20_000_000, 67_000_000):  # it may begin anew
        console.download("x.pth", size, 67_000_000)
    console.download("y.pth", 5, None)
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("columns", [60, 80])
def test_a_download_has_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    screen = Screen(monkeypatch, columns)
    monkeypatch.setattr(bars, "tqdm", partial(tqdm, mininterval=0))
    console = Console("bar")
    for total, step in itertools.product((67_000_000, None), range(3)):
        console.download("RealESRGAN_x4plus.pth", step * 30_000_000, total)
    console.close()
    shown = screen.frames()
    assert [name for name in ("| 60/67 MB [", "| 60 MB [") if any(name in frame for frame in shown)] == [
        "| 60/67 MB [",
        "| 60 MB [",
    ]
    assert all(columns_of_bar(frame) >= FEWEST_COLUMNS and disp_len(frame.rstrip()) <= columns for frame in shown)


def test_control_characters_never_reach_the_terminal_as_they_are(capfd: Captured) -> None:
    job = Job(Path("d/a\x1b]0;owned\x07\n.png"), Path("d_x4/a\x1b[2J.png"))
    console = Console("bar", 2)
    console.started(job)
    console.tell(str(job.target))
    console.notify(note(str(job.source)))
    console.finished(failed(job))
    console.ended_early(replaces=False)
    said = capfd.readouterr()
    assert set(re.findall(r"[\x00-\x1f]", said.out + said.err.replace("\x1b[A", ""))) <= {"\n", "\r"}
    assert said.out == "d_x4/a\\x1b[2J.png\n"
    assert said.err.count(r"a\x1b]0;owned\x07\n.png") >= 3


@pytest.mark.parametrize("text", ["plain", "naïve – 猫 👩‍👩‍👧", "C:\\folder\\a.png", "two  spaces"])
def test_text_without_control_characters_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("targets", "place"),
    [
        (["a.png", "b.png"], "."),
        (["d_x4/a.png", "d_x4/sub/b.png", "d_x4/sub/deep/b.png"], "d_x4"),
        (["d_x4/a.png", "e_x4/b.png"], "d_x4 and e_x4"),
        (["out/a/1.png", "out/b/1.png", "out/c/1.png"], "out"),
        (["/x/a.png", "/y/b.png", "z/c.png"], "/x and /y and z"),
    ],
)
def test_the_place_of_results_is_the_folder_that_holds_them(targets: list[str], place: str) -> None:
    assert places({Path(target).parent for target in targets}) == place


def test_names_are_shortened_in_the_middle_and_counted_where_many() -> None:
    assert shortened("IMG_0001.jpg", 12) == "IMG_0001.jpg"
    assert shortened(LONG, 12) == "IMG_20….jpeg"
    assert disp_len(shortened("猫" * 30, 12)) <= 12
    assert listed(["a.png", "b.png", "c.png", "d.png"], 50) == "a.png, b.png +2"
    assert listed([LONG, "b.png"], 24) == "IMG_202408…rsion.jpeg +1"
    assert [duration(seconds) for seconds in (0.04, 59.94, 125, 3725)] == ["0.0 s", "59.9 s", "02:05", "1:02:05"]

"""Checkpoints: the one before is kept, what cannot be used is refused with the way out, a full disk costs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_training import Record, prepared, tiny_recipe, trained

from upscale_cli.errors import InputError, OutputError, WeightsError
from upscale_cli.notices import Notice
from upscale_cli.training import loop
from upscale_cli.training.log import RunLog
from upscale_cli.training.state import open_checkpoint


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Path:
    """The folder of a run with the checkpoints of iterations 2 and 4, of 6."""
    for end in (2, 4):
        trained(tiny_recipe("compact", photos, 6), tmp_path / "run", Record(stop_after=end))
    return tmp_path / "run"


def test_the_checkpoint_before_the_last_is_kept(run: Path) -> None:
    steps = [open_checkpoint(run / name).content["step"] for name in ("previous.pt", "last.pt")]
    assert steps == [2, 4]


def foreign(path: Path) -> None:
    torch.save({"params": {"conv.weight": torch.zeros(1, 1, 3, 3)}}, path)


def without_recipe(path: Path) -> None:
    torch.save(dict(open_checkpoint(path).content) | {"recipe": {"name": "mine"}}, path)


def without_optimizer(path: Path) -> None:
    torch.save({key: value for key, value in open_checkpoint(path).content.items() if key != "optimizer"}, path)


def with_a_step_of_text(path: Path) -> None:
    torch.save(dict(open_checkpoint(path).content) | {"step": "many"}, path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b""),
        foreign,
        without_recipe,
        without_optimizer,
        with_a_step_of_text,
    ],
)
def test_an_unusable_checkpoint_is_refused_with_the_one_before_it_as_the_way_out(
    spoil: Callable[[Path], object], run: Path, photos: Path
) -> None:
    spoil(run / "last.pt")
    recipe = tiny_recipe("compact", photos, 6)
    before = contents(run)
    with pytest.raises(WeightsError, match=r"last\.pt.*Rename previous\.pt.* to last\.pt and resume"):
        prepared(recipe, run)
    assert contents(run) == before
    (run / "previous.pt").replace(run / "last.pt")
    assert prepared(recipe, run).state.step == 2


def test_without_a_checkpoint_before_it_the_way_out_is_a_new_start(run: Path, photos: Path) -> None:
    (run / "previous.pt").unlink()
    foreign(run / "last.pt")
    with pytest.raises(WeightsError, match=r"no checkpoint of `upscale train`.*start anew with --overwrite"):
        prepared(tiny_recipe("compact", photos, 6), run)


def test_a_run_killed_between_two_renamings_resumes_from_the_previous_checkpoint(run: Path, photos: Path) -> None:
    (run / "last.pt").unlink()
    notices: list[Notice] = []
    assert prepared(tiny_recipe("compact", photos, 6), run, notices).state.step == 2
    assert any("iteration 2 of" in notice.text and "previous.pt" in notice.text for notice in notices)


@pytest.mark.skipif(os.name == "nt", reason="a limit on the size of files stands for a full disk")
@pytest.mark.parametrize("room", [0, 3000])
def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(room: int, run: Path, photos: Path) -> None:
    import resource

    training = prepared(tiny_recipe("compact", photos, 6), run)
    log = loop._started_log(training)
    before = contents(run)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        with pytest.raises(
            OutputError, match=r"Cannot write .*(log\.csv|last\.pt): File too large.*checkpoint is kept: make room"
        ):
            loop.save(training, log)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(run) == before
    assert trained(tiny_recipe("compact", photos, 6), run).losses


def test_a_run_that_is_killed_while_it_saves_has_every_row_when_resumed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe("compact", photos, 4, "run.log_every=1", "run.checkpoint_minutes=1e-9")
    write = RunLog.write

    def killed_before(log: RunLog) -> None:
        if 2 in log._rows:
            raise KeyboardInterrupt
        write(log)

    with monkeypatch.context() as killing:
        killing.setattr(RunLog, "write", killed_before)
        with pytest.raises(KeyboardInterrupt):
            trained(recipe, tmp_path)
    trained(recipe, tmp_path)
    rows = (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3", "4"]


def test_a_table_that_cannot_be_read_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step\n" + "1" * 200_000, encoding="utf-8")
    with pytest.raises(InputError, match=r"log\.csv cannot be read: field larger than field limit .* Move it away"):
        RunLog(tmp_path, ["pixel"], first_step=1, tensorboard=False)


def test_a_damaged_table_does_not_keep_a_run_from_going_on(run: Path, photos: Path) -> None:
    header = (run / "log.csv").read_bytes().splitlines()[0]
    (run / "log.csv").write_bytes(header + b"\n2,x,\xff,nan,1\nthree\n,,,\n9999,1,1,1\n\x00")
    trained(tiny_recipe("compact", photos, 6), run)
    rows = (run / "log.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "6"]

"""Scripts under benchmarks/ that no other test runs."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from upscale_cli.api import Upscaler
from upscale_cli.evaluation import read_rgb8
from upscale_cli.weights.resolve import resolve

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SAMPLE = BENCHMARKS.parent / "docs" / "pictures" / "sample.png"


def test_the_gpu_page_has_a_row_for_every_network_and_way() -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--quick", "--device", "cpu"]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    ways = ["plain loop", "--tile auto", "--tile 400", "3 pictures of 32x32", "3, 4 at once", "one of 96x64"]
    assert [(row[0], row[1]) for row in rows[2:]] == [
        (name, way) for name in ("lite-x4", "compact 64/32") for way in ways
    ]
    moved = {(row[0], row[1]): float(row[3]) for row in rows[2:]}
    assert moved["lite-x4", "--tile auto"] < moved["lite-x4", "plain loop"] / 3.9  # bytes instead of fp32
    assert all(float(row[2]) > 0 for row in rows[2:])
    assert all(float(row[7].removesuffix(" dB")) > 40 for row in rows[2:] if row[7] and row[1] != "plain loop")


def test_the_figures_on_degraded_inputs_have_a_row_for_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(BENCHMARKS / "degraded_inputs.py"))
    script["main"](["unused", "jpeg", "noise", "clean", "orientations", "--quick"])
    tables = [part.split("\n\n")[:2] for part in capsys.readouterr().out.split("## ")[1:]]
    rows = {name: [line.strip("| ").split(" | ") for line in table.strip().splitlines()] for name, table in tables}
    assert {name: len(table) - 2 for name, table in rows.items()} == {
        "jpeg": 8,
        "noise": 2,
        "clean": 6,
        "orientations": 1,
    }
    assert [row[:3] for row in rows["jpeg"][2:4]] == [["Set14", "x4", "75"], ["Set14", "x4", "92"]]
    plain, conditioned = rows["jpeg"][2][4:]
    assert plain != conditioned
    assert all(float(cell) > 20 for table in (rows["jpeg"], rows["noise"]) for row in table[2:] for cell in row[3:])


def test_drawn_pictures_follow_from_their_seed_and_number() -> None:
    drawn = runpy.run_path(str(BENCHMARKS / "drawn_pictures.py"))["drawn"]
    first, second, other_seed = (np.asarray(drawn(*which, [])) for which in ((0, 0), (0, 1), (1, 0)))
    assert first.shape == (480, 640, 3)
    assert (first == np.asarray(drawn(0, 0, []))).all()
    assert (first != second).any()
    assert (first != other_seed).any()
    assert all(len(np.unique(picture.reshape(-1, 3), axis=0)) > 10 for picture in (first, second, other_seed))


def test_the_figures_on_writing_have_a_row_for_every_format_that_is_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = runpy.run_path(str(BENCHMARKS / "writing.py"))
    script["main"](["--size", "96x64", "--threads", "2", "--repeat", "1"])
    table = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert {row[0] for row in table[2:]} >= {"jpeg", "png", "webp", "tiff", "avif", "bmp", "ppm", "gif"}
    assert next(row for row in table if row[0] == "bmp")[4:] == ["0.0", "100%"]


def test_targets_are_the_stated_share_of_what_the_teacher_makes(tmp_path: Path) -> None:
    script = runpy.run_path(str(BENCHMARKS / "taught_targets.py"))
    (tmp_path / "hr").mkdir()
    shutil.copy(SAMPLE, tmp_path / "hr" / "a.png")
    made = {}
    for share in ("0", "0.5", "1"):
        folders = [str(tmp_path / "hr"), str(tmp_path / share)]
        script["main"]([*folders, "-m", "lite-x2", "--share", share, "--crop", "33x30"])
        made[share] = read_rgb8(tmp_path / share / "HR" / "a.png").astype(int)
    lr, hr = read_rgb8(tmp_path / "0" / "LR" / "a.png"), read_rgb8(SAMPLE)
    top, left = (hr.shape[0] - 30) // 2, (hr.shape[1] - 32) // 2
    assert (made["0"] == hr[top : top + 30, left : left + 32]).all()
    taught = Upscaler(network=resolve("lite-x2"), scale=2, tta=True, precision="fp32").upscale(lr)
    assert abs(made["1"] - taught).max() <= 1
    assert abs(made["0.5"] - (made["0"] + made["1"]) / 2).max() <= 1

"""``upscale train``: what it says, refuses, writes and goes on with."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from pathlib import Path

import cv2
import pytest
from terminal import Said, Terminal
from tiny_training import tiny

from upscale_cli.training.recipe_file import names

COMMON = ("--device", "cpu", "--threads", "1")


def run(terminal: Terminal, photos: Path, *arguments: str, name: str = "compact", iterations: int = 4) -> Said:
    settings = [f"--set={setting}" for setting in (*tiny(name), "run.log_every=2", "start=scratch")]
    return terminal("train", name, "--hr", str(photos), f"--iterations={iterations}", *settings, *COMMON, *arguments)


def test_the_list_names_every_recipe_with_its_paper(terminal: Terminal) -> None:
    said = terminal("train", "--list")
    assert said.code == 0
    for name in names():
        assert any(line.startswith(f"{name} ") for line in said.out.splitlines())
    assert said.out.count("arXiv:") >= len(names())


@pytest.mark.parametrize("name", names())
def test_what_show_prints_is_a_recipe_again(terminal: Terminal, name: str) -> None:
    said = terminal("train", name, "--set", "optimizer.rate=3e-5", "--iterations", "77", "--show")
    shown = tomllib.loads(said.out)
    assert (shown["optimizer"]["rate"], shown["schedule"]["iterations"]) == (3e-5, 77)
    Path("mine.toml").write_text(said.out, encoding="utf-8")
    again = tomllib.loads(terminal("train", "mine.toml", "--show").out)
    assert {**again, "name": shown.get("name")} == shown


def test_a_run_leaves_weights_table_curve_and_recipe(terminal: Terminal, photos: Path) -> None:
    said = run(terminal, photos, "-o", "run", "--validate", str(photos))
    assert said.code == 0, said.err
    assert "4/4: pixel" in said.out
    assert "4: PSNR" in said.out
    assert re.fullmatch(r"Trained in [\d.]+ s: upscale PICTURE -m run/best\.safetensors", said.out.splitlines()[-1])
    names_of_files = {path.name for path in Path("run").iterdir()}
    assert names_of_files == {
        "best.safetensors",
        "curve.png",
        "last.pt",
        "last.safetensors",
        "log.csv",
        "recipe.toml",
        "samples",
    }
    with Path("run/log.csv").open(encoding="utf-8") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]
    assert all(cv2.imread(str(path)) is not None for path in [Path("run/curve.png"), *Path("run/samples").iterdir()])
    picture = str(next(photos.glob("*.png")))
    assert terminal(picture, "-m", "run/last.safetensors", "-o", "sr.png", "--device", "cpu").code == 0


def test_the_closing_line_names_the_last_network_where_none_was_measured(terminal: Terminal, photos: Path) -> None:
    said = run(terminal, photos, "-o", "run")
    assert said.out.splitlines()[-1].endswith(" s: upscale PICTURE -m run/last.safetensors")


def test_the_same_command_goes_on_and_a_finished_run_says_so(terminal: Terminal, photos: Path) -> None:
    assert run(terminal, photos, "-o", "run").code == 0
    said = run(terminal, photos, "-o", "run")
    assert (said.code, "trained to its 4 iterations already" in said.err) == (0, True)
    longer = terminal("train", "--resume", "run", "--iterations", "6", *COMMON)
    assert (longer.code, "6/6: pixel" in longer.out) == (0, True), longer.err
    with Path("run/log.csv").open(encoding="utf-8") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4", "6"]


def test_another_recipe_does_not_go_on_with_a_run_unless_it_may_replace_it(terminal: Terminal, photos: Path) -> None:
    assert run(terminal, photos, "-o", "run").code == 0
    refused = run(terminal, photos, "-o", "run", name="msrresnet")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "Error: run holds a run with name = compact, and now it is msrresnet. "
        "Choose another -o, go on with the old recipe (--resume), or start anew with --overwrite.\n"
    )
    assert run(terminal, photos, "-o", "run", "--overwrite", name="msrresnet").code == 0


def test_json_is_an_object_per_note_and_validation(terminal: Terminal, photos: Path) -> None:
    said = run(terminal, photos, "-o", "run", "--json", "--validate", str(photos))
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 4]
    assert rows[0]["losses"]["pixel"] > 0
    assert rows[2]["psnr_y"] > 0


def test_quiet_says_nothing(terminal: Terminal, photos: Path) -> None:
    said = run(terminal, photos, "-o", "run", "--quiet", "--validate", str(photos))
    assert (said.code, said.out, said.err) == (0, "", "")


def test_check_looks_at_everything_and_writes_nothing(terminal: Terminal, photos: Path) -> None:
    said = run(terminal, photos, "-o", "run", "--check")
    assert (said.code, said.out) == (0, "compact can run: its settings, folders and memory are in order.\n")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "nothing"),
        ([], "--list"),
        (["compact"], "--hr"),
        (["compact", "--hr", "missing"], "missing"),
        (["compact", "--hr", "PHOTOS", "--set", "data.batch=0"], "data.batch"),
        (["compact", "--hr", "PHOTOS", "--set", "data.bach=4"], "Did you mean `batch`?"),
        (["compact", "--hr", "PHOTOS", "--set", "rubbish"], "rubbish"),
        (["compact", "--hr", "PHOTOS", "--set", "data.hr_patch=127"], "127"),
        (["compact", "--hr", "PHOTOS", "--kernel", "missing.mat"], "missing.mat"),
        (["compact", "--hr", "PHOTOS", "--lr", "missing"], "missing"),
        (["compact", "--hr", "PHOTOS", "--from", "missing.pth"], "missing.pth"),
        (["compact", "--hr", "PHOTOS", "--validate", "missing"], "There is no "),
        (["esrgan", "--hr", "PHOTOS"], "--from"),
        (["--resume", "missing"], "missing"),
        (["--resume", "missing", "-o", "other"], "Leave out -o"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence_and_nothing_is_written(
    terminal: Terminal, photos: Path, arguments: list[str], sentence: str
) -> None:
    given = [str(photos) if argument == "PHOTOS" else argument for argument in arguments]
    said = terminal("train", *given, *COMMON)
    assert said.code not in (0, 4), said.err
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert not list(Path().glob("run*/*"))


def test_a_corrupt_picture_is_named_and_left_out(terminal: Terminal, photos: Path) -> None:
    for path in photos.glob("*.png"):
        Path("mine").mkdir(exist_ok=True)
        (Path("mine") / path.name).write_bytes(path.read_bytes())
    Path("mine/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    said = run(terminal, Path("mine"), "-o", "run", iterations=12)
    assert said.code == 0, said.err
    assert "broken.png" in said.err


def test_the_kernels_of_a_folder_feed_training(terminal: Terminal, photos: Path) -> None:
    import numpy as np

    from upscale_cli.kernels.blur_kernel import bicubic
    from upscale_cli.kernels.files import write_kernel

    Path("kernels").mkdir()
    write_kernel(Path("kernels/one.npy"), bicubic(2))
    assert np.load("kernels/one.npy").sum() == pytest.approx(1)
    said = run(terminal, photos, "-o", "run", "--kernel", "kernels", "--set", "network.scale=2")
    assert said.code == 0, said.err
    assert 'kind = "kernels"' in Path("run/recipe.toml").read_text(encoding="utf-8")

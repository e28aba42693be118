"""Defaults of the user's own, and completion in shells."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which

import pytest
from click.shell_completion import ShellComplete
from terminal import Terminal
from tiny_training import painted, save

from upscale_cli.cli import commands


@pytest.fixture
def config(terminal: Terminal, network: str) -> Path:
    save(painted(0, 8, 6), Path("a.png"))
    path = Path("upscale.toml")
    path.write_text(f'model = "{network}"\nscale = 3\nmax-megapixels = 7.5\nhalf = false\n')
    return path


def test_defaults_come_from_the_file_and_what_is_typed_goes_before_them(config: Path, terminal: Terminal) -> None:
    assert "a_x3_tiny-x2.png, 6x8 to 18x24" in terminal("a.png", "--dry-run").out
    assert "a_x2_tiny-x2.png" in terminal("a.png", "--dry-run", "-s", "2").out
    assert "a_w9_tiny-x2.png" in terminal("a.png", "--dry-run", "--width", "9").out  # of the sizes only one is meant
    assert "a_x3_lite-x4-restore.png" in terminal("a.png", "--dry-run", "--restore").out


def test_defaults_for_clips_leave_pictures_alone_and_the_other_way_round(config: Path, terminal: Terminal) -> None:
    config.write_text(config.read_text() + 'codec = "hevc"\nstrength = 0.5\n')
    assert terminal("a.png", "--dry-run").code == 0
    said = terminal("none.mp4", "--dry-run")
    assert "--strength" not in said.err
    assert terminal("a.png", "--dry-run", "--codec", "hevc").code == 2


def test_every_option_has_its_long_name_in_the_file(config: Path, terminal: Terminal) -> None:
    config.write_text('format = "webp"\nprint = "0.5x0.5cm"\nkeep-colors = true\n')
    assert "a_59x59.webp" in terminal("a.png", "--dry-run").out
    assert "a_x2.webp" in terminal("a.png", "--dry-run", "-s", "2").out
    assert "print = 0.5x0.5cm" in terminal("config").out


def test_the_variable_goes_before_the_file(config: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_MODEL", "lite-x2")
    assert "a_x3_lite-x2.png" in terminal("a.png", "--dry-run").out
    assert "a_x3_lite-x4.png" in terminal("a.png", "--dry-run", "-m", "lite-x4").out
    assert "model = lite-x2 ($UPSCALE_MODEL)" in terminal("config").out


def test_the_defaults_are_shown_with_their_source(config: Path, terminal: Terminal, tmp_path: Path) -> None:
    said = terminal("config")
    assert said.code == 0
    assert said.out.splitlines()[0] == str(tmp_path / "upscale.toml")
    assert f"scale = 3 ({tmp_path / 'upscale.toml'})" in said.out
    records = [json.loads(line) for line in terminal("config", "--json").out.splitlines()]
    assert {record["option"]: record["value"] for record in records}["max-megapixels"] == "7.5"
    config.unlink()
    assert terminal("config").out == f"{tmp_path / 'upscale.toml'} (not there)\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sclae = 2", "there is no option sclae"),
        ("scale = [2]", "scale is no single value"),
        ("scale", "is no TOML file"),
        ("scale = 99", "The scale 99 is out of range"),
        ('tile = "x"', "'x' is no tile size"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(text: str, words: str, config: Path, terminal: Terminal) -> None:
    config.write_text(text)
    said = terminal("a.png", "--dry-run")
    assert said.code == 2
    assert words in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_for_shells_are_printed_and_valid(shell: str, terminal: Terminal) -> None:
    script = terminal("completion", shell).out
    assert "_UPSCALE_COMPLETE" in script
    if which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("typed", "incomplete", "offered"),
    [
        ([], "mod", ["models", "mod"]),  # and files, whose names begin so
        ([], "--til", ["--tileable", "--tile", "--tile-pad"]),
        (["a.png"], "--keep", ["--keep-colors"]),
        (["a.png", "--tileable"], "", ["x", "y", "both"]),
        (["models"], "verif", ["verify"]),
    ],
)
def test_commands_options_and_values_are_completed(typed: list[str], incomplete: str, offered: list[str]) -> None:
    found = ShellComplete(commands, {}, "upscale", "_UPSCALE_COMPLETE").get_completions(typed, incomplete)
    assert [item.value for item in found][: len(offered)] == offered

"""docs/recipes.md: every command on it works on its input, as far as a dry run can tell, and has its picture."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image
from terminal import Terminal

from upscale_cli.cli import commands

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "recipes.md"
TEXT = PAGE.read_text(encoding="utf-8")
RECIPES = re.findall(r"^    (upscale .*)$", TEXT, re.MULTILINE)
MENTIONED = re.findall(r"`(upscale [^`]*)`", TEXT)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "recipe_pictures.py"))
    folder = tmp_path_factory.mktemp("recipes")
    script["make"](folder)
    return folder


def test_there_are_twelve_and_each_has_a_small_picture() -> None:
    pictures = re.findall(r"!\[[^]]+\]\((pictures/recipes/[^)]+)\)", TEXT)
    assert len(RECIPES) == len(pictures) == len(set(pictures)) == 12
    for name in pictures:
        path = PAGE.parent / name
        assert path.stat().st_size < 40_000
        with Image.open(path) as image:
            assert image.size == (604, 200)


@pytest.mark.parametrize("command", RECIPES)
def test_every_recipe_plans_its_input(
    command: str, inputs: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inputs)
    name, *arguments = shlex.split(command)
    said = terminal(*arguments, "--dry-run", "--device", "cpu")
    assert (name, said.code) == ("upscale", 0), said.err
    assert said.out.startswith(f"{arguments[0]} -> ")


@pytest.mark.parametrize("command", MENTIONED)
def test_every_other_command_has_options_that_exist(command: str) -> None:
    _, *arguments = shlex.split(command.partition("|")[0])
    name, context = arguments[0], click.Context(commands)
    found = commands.get_command(context, name) if name in commands.list_commands(context) else None
    chosen, rest = (found, arguments[1:]) if found else (commands.get_command(context, "run"), arguments)
    assert chosen is not None
    chosen.make_context(name, rest)


def test_options_in_the_text_exist() -> None:
    run = commands.get_command(click.Context(commands), "run")
    assert run is not None
    known = {option for parameter in run.params for option in parameter.opts}
    named = {words.split()[0] for words in re.findall(r"`(-{1,2}[a-z][^`]*)`", TEXT)}
    assert named <= known

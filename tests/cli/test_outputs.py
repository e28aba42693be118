"""May this file be written? The same answer from every command, before anything is downloaded or computed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from terminal import Terminal

from upscale_cli.images.formats import NAMES
from upscale_cli.kernels.blur_kernel import bicubic
from upscale_cli.kernels.files import write_kernel

# Each command, up to the file that it is to write. None of the networks, and no kernel or picture to enlarge, is there.
PICTURES = {
    "interp --sweep": ["interp", "a.pth", "b.pth", "--sweep", "0,1", "--image", "missing.png", "-o"],
    "degrade": ["degrade", "missing.png", "-o"],
    "kernel show": ["kernel", "show", "k.json", "-o"],
    "kernel apply": ["kernel", "apply", "k.json", "missing.png", "-o"],
}
WEIGHTS = {
    "interp": ["interp", "a.pth", "b.pth", "--alpha", "0.5", "-o"],
    "interp by default": ["interp", "--alpha", "0.5", "-o"],
    "models convert": ["models", "convert", "realesrgan-x4plus", "-o"],
}
BOTH = [(command, ".png") for command in PICTURES] + [(command, ".pth") for command in WEIGHTS]


def arguments(command: str) -> list[str]:
    return (PICTURES | WEIGHTS)[command]


@pytest.fixture(autouse=True)
def _files(terminal: Terminal) -> None:
    """What a command may look at before it asks."""
    write_kernel(Path("k.json"), bicubic(2))


@pytest.mark.parametrize(("command", "suffix"), BOTH)
def test_an_existing_file_is_kept(terminal: Terminal, command: str, suffix: str) -> None:
    Path(f"there{suffix}").write_bytes(b"mine")
    said = terminal(*arguments(command), f"there{suffix}")
    assert (said.code, said.err) == (
        4,
        f"Error: there{suffix} exists already. Add --overwrite, or choose another name with -o.\n",
    )
    assert Path(f"there{suffix}").read_bytes() == b"mine"


@pytest.mark.parametrize(("command", "suffix"), BOTH)
def test_a_folder_is_no_file(terminal: Terminal, command: str, suffix: str) -> None:
    Path(f"there{suffix}").mkdir()
    said = terminal(*arguments(command), f"there{suffix}")
    assert (said.code, said.err) == (4, f"Error: there{suffix} is a folder. Choose another name with -o.\n")


@pytest.mark.parametrize(("command", "suffix"), BOTH)
def test_the_folder_of_a_file_must_be_there(terminal: Terminal, command: str, suffix: str) -> None:
    said = terminal(*arguments(command), f"missing/new{suffix}")
    assert (said.code, said.err) == (
        4,
        "Error: There is no folder missing. Create it, or choose another place with -o.\n",
    )
    Path("file").touch()
    said = terminal(*arguments(command), f"file/new{suffix}")
    assert (said.code, "file is a file, not a folder" in said.err) == (4, True)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write everywhere")
@pytest.mark.parametrize(("command", "suffix"), BOTH)
def test_a_folder_that_cannot_be_written_is_named(terminal: Terminal, command: str, suffix: str) -> None:
    Path("locked").mkdir(mode=0o500)
    said = terminal(*arguments(command), f"locked/new{suffix}")
    assert (said.code, "The folder locked cannot be written." in said.err) == (4, True)


@pytest.mark.parametrize("command", PICTURES)
def test_a_picture_needs_the_extension_of_one(terminal: Terminal, command: str) -> None:
    said = terminal(*arguments(command), "new.pth")
    assert (said.code, said.err) == (
        2,
        f"Error: new.pth has no extension of a picture format. Known formats: {NAMES}.\n",
    )


@pytest.mark.parametrize("command", WEIGHTS)
def test_a_network_needs_the_extension_of_one(terminal: Terminal, command: str) -> None:
    said = terminal(*arguments(command), "new.png")
    names = ".safetensors, .pth or .onnx" if command == "models convert" else ".safetensors or .pth"
    assert (said.code, said.err) == (2, f"Error: new.png has no extension of a weights file. Name it {names}.\n")


def test_a_sweep_keeps_its_plot_too(terminal: Terminal) -> None:
    Path("new_plot.png").touch()
    said = terminal(*PICTURES["interp --sweep"], "new.png", "--hr", "missing.png")
    assert (said.code, "new_plot.png exists already" in said.err) == (4, True)


def test_a_run_is_not_trained_into_a_file(terminal: Terminal, photos: Path) -> None:
    Path("file").touch()
    said = terminal("train", "compact", "--hr", str(photos), "-o", "file/run", "--device", "cpu")
    assert (said.code, said.err) == (
        4,
        f"Error: {Path('file').absolute()} is a file, not a folder for results. Choose another place with -o.\n",
    )

"""``upscale models`` where files are damaged, gone, or of another program."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from terminal import Terminal

from upscale_cli.weights import load
from upscale_cli.weights.cache import cached_path, remember
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.state_dict import save_state


def test_a_damaged_embedded_network_is_found(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(load.EMBEDDED_FOLDER, tmp_path / "embedded")
    monkeypatch.setattr(load, "EMBEDDED_FOLDER", folder)
    assert terminal("models", "verify", "lite-x4").code == 0
    with (folder / "lite-x4.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    said = terminal("models", "verify", "lite-x4")
    assert (said.code, said.out) == (1, "")
    assert "Install upscale again" in said.err


def test_a_pin_is_forgotten_even_where_its_file_is_gone(terminal: Terminal) -> None:
    record = load_manifest().find("msrgan-x4-kair")
    path = cached_path(record, Path(os.environ["UPSCALE_CACHE"]))
    path.parent.mkdir(parents=True)
    path.touch()
    remember(record, path, "0" * 64)
    path.unlink()
    assert terminal("models", "remove", record.name).code == 0
    assert terminal("models", "remove", record.name).code == 5
    assert record.name not in (path.parent / "verified.json").read_text(encoding="utf-8")


def test_info_on_a_file_of_another_kind_names_the_file(terminal: Terminal, tmp_path: Path) -> None:
    save_state(tmp_path / "odd.pth", {"strange": torch.ones(1)}, {})
    said = terminal("models", "info", "odd.pth")
    assert said.code == 5
    assert "odd.pth" in said.err


def test_info_on_a_pth_shows_where_it_came_from(terminal: Terminal, network: str, tmp_path: Path) -> None:
    save_state(tmp_path / "mixed.pth", load.load(network).tensors, {"alpha": "0.8"})
    assert "alpha              0.8" in terminal("models", "info", "mixed.pth").out

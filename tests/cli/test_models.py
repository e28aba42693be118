"""``upscale models``: what is told of networks, and what is done to the cache."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from terminal import Terminal

from upscale_cli.networks import build, named
from upscale_cli.weights.cache import cached_path
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.state_dict import open_state, save_state


def cache() -> Path:
    return Path(os.environ["UPSCALE_CACHE"])


def put(name: str, content: bytes) -> Path:
    path = cached_path(load_manifest().find(name), cache())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_list_shows_what_is_here_and_restrictive_licences(terminal: Terminal) -> None:
    short = terminal("models", "list").out
    assert "* lite-x4" in short
    assert "  realesrgan-x4plus" in short
    assert "1x-Anti-Aliasing" not in short
    full = terminal("models", "list", "--all").out
    assert next(line for line in full.splitlines() if "1x-Anti-Aliasing" in line).count("(non-commercial)") == 1
    assert len(full.splitlines()) == 1 + len(load_manifest().records())


def test_the_list_has_a_heading_and_names_only_what_enlarges(terminal: Terminal) -> None:
    heading, *rows = terminal("models", "list").out.splitlines()
    assert heading.split() == ["name", "scale", "size", "licence", "purpose"]
    names = [row[2:].split()[0] for row in rows]
    others = [record.name for record in load_manifest().records() if record.kind != "generator"]
    assert others
    assert not set(names) & set(others)
    assert set(others) <= {line[2:].split()[0] for line in terminal("models", "list", "--all").out.splitlines()}


@pytest.mark.parametrize("arguments", [(), ("--all",)])
def test_the_list_fits_a_terminal_of_80_columns(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    whole = terminal("models", "list", *arguments).out.splitlines()
    assert max(map(len, whole)) > 80
    monkeypatch.setattr("upscale_cli.cli.models.has_columns", lambda: True)
    cut = terminal("models", "list", *arguments).out.splitlines()
    assert max(map(len, cut)) == 80
    assert [
        line.removesuffix("…") == full[: len(line.removesuffix("…"))] for line, full in zip(cut, whole, strict=True)
    ]
    assert arguments or cut[0].endswith("purpose")


def test_a_search_looks_at_all_and_json_is_for_programs(terminal: Terminal) -> None:
    rows = [json.loads(line) for line in terminal("models", "list", "--search", "ANIME", "--json").out.splitlines()]
    assert {"realesr-animevideov3", "1x-AnimeUndeint-Compact"} <= {row["name"] for row in rows}
    assert len(rows) < 150


def test_info_tells_the_record_and_what_the_file_says_itself(terminal: Terminal, network: str) -> None:
    said = terminal("models", "info", "lite-x4").out
    assert "licence            MIT" in said
    assert "features 64, convolutions 8" in said
    said = terminal("models", "info", network).out
    assert "compact, x2, 3 to 3 channels" in said
    assert "receptive radius   3 input pixels" in said


def test_info_shows_a_long_recipe_on_demand(terminal: Terminal) -> None:
    short, full = terminal("models", "info", "lite-x4").out, terminal("models", "info", "lite-x4", "--full").out
    assert "lines, shown with --full" in short
    assert "[optimizer]" not in short
    assert "[optimizer]" in full


def test_an_unknown_name_is_answered_with_the_nearest(terminal: Terminal) -> None:
    said = terminal("models", "info", "realesrgan-x4plsu")
    assert (said.code, said.out) == (5, "")
    assert "Did you mean" in said.err
    assert "realesrgan-x4plus" in said.err


def test_a_download_that_is_forbidden_says_so_and_the_licence_before(terminal: Terminal) -> None:
    said = terminal("models", "download", "1x-Anti-Aliasing")
    assert said.code == 6
    assert said.err.index("not for commercial use") < said.err.index("UPSCALE_OFFLINE")


def test_verifying_finds_what_is_not_right(terminal: Terminal) -> None:
    put("realesr-animevideov3", b"something else")
    said = terminal("models", "verify")
    assert said.code == 1
    assert "damaged or was changed" in said.err
    assert terminal("models", "verify", "lite-x4").out == "lite-x4: verified\n"


@pytest.mark.shared
def test_a_file_put_into_the_cache_by_hand_works_by_name(terminal: Terminal, shared: Path) -> None:
    path = put("realesr-animevideov3", (shared / "weights" / "realesr-animevideov3.pth").read_bytes())
    assert terminal("models", "verify").out == "realesr-animevideov3: verified\n"
    assert terminal("models", "path", "realesr-animevideov3").out.strip() == str(path)
    picture = str(shared / "golden" / "small.png")
    assert terminal(picture, "-m", "realesr-animevideov3", "-o", "a.png").code == 0
    assert terminal("models", "remove", "realesr-animevideov3").code == 0
    assert not path.exists()
    assert terminal(picture, "-m", "realesr-animevideov3", "-o", "b.png").code == 6


def test_only_the_cache_is_removed_from(terminal: Terminal) -> None:
    assert "part of the program" in terminal("models", "remove", "lite-x4").err
    assert "not on this disk" in terminal("models", "remove", "srgan-x4").err
    assert terminal("models", "path").out.strip() == str(cache())


def test_a_run_tells_the_licence_before_it_downloads(terminal: Terminal) -> None:
    Path("a.png").write_bytes((Path(__file__).parents[2] / "docs" / "pictures" / "sample.png").read_bytes())
    said = terminal("a.png", "-m", "1x-Anti-Aliasing", "-s", "1")
    assert said.code == 6
    assert said.err.index("not for commercial use") < said.err.index("UPSCALE_OFFLINE")


def test_a_name_too_long_for_a_file_is_an_unknown_model(terminal: Terminal) -> None:
    assert "There is no model" in terminal("models", "info", "x" * 300).err


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_a_converted_network_is_the_same_in_another_file(terminal: Terminal, network: str, name: str) -> None:
    said = terminal("models", "convert", network, "-o", name)
    assert said.code == 0, said.err
    before, after = open_state(Path(network)).tensors, open_state(Path(name)).tensors
    assert all(torch.equal(after[key], before[key]) for key in before | after)
    assert terminal("models", "info", name).code == 0


def test_half_halves_the_file_and_rounds_the_values(terminal: Terminal, network: str) -> None:
    assert terminal("models", "convert", network, "--half", "-o", "a.safetensors").code == 0
    before, after = open_state(Path(network)).tensors, open_state(Path("a.safetensors")).tensors
    assert all(torch.equal(after[key], before[key].half()) for key in before | after)


def test_what_fp16_cannot_hold_is_not_converted(terminal: Terminal, network: str) -> None:
    tensors = dict(open_state(Path(network)).tensors)
    tensors["body.0.weight"] = tensors["body.0.weight"] + 1e6
    save_state(Path("large.pth"), tensors, {})
    said = terminal("models", "convert", "large.pth", "--half", "-o", "a.pth")
    assert (said.code, "large has values in body.0.weight that fp16 cannot hold" in said.err) == (5, True)
    assert not Path("a.pth").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("a.txt", "a.txt has no extension of a weights file"), ("there.pth", "there.pth exists already")],
)
def test_where_nothing_can_be_written_nothing_is_converted(
    terminal: Terminal, network: str, name: str, sentence: str
) -> None:
    Path("there.pth").write_bytes(b"mine")
    said = terminal("models", "convert", network, "-o", name)
    assert (said.code != 0, sentence in said.err) == (True, True)
    assert Path("there.pth").read_bytes() == b"mine"


def test_an_onnx_file_is_written_without_noise_and_its_multiples_are_told(terminal: Terminal) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    torch.manual_seed(0)
    save_state(Path("windows.pth"), build(named("swinir").examples[1]).state_dict(), {})
    said = terminal("models", "convert", "windows.pth", "-o", "a.onnx")
    assert (said.code, said.err) == (0, "")
    least = "It takes pictures whose height and width are multiples of 4, and at least 8."
    assert said.out.splitlines() == ["windows -> a.onnx", least]


def test_a_benchmark_names_the_licence_before_it_downloads(terminal: Terminal) -> None:
    said = terminal("benchmark", "-m", "1x-Anti-Aliasing")
    assert said.code == 6
    assert said.err.index("not for commercial use") < said.err.index("UPSCALE_OFFLINE")

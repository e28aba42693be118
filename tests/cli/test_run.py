"""The command line as a user meets it: what is written, what is said where, and the exit code."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from terminal import Said, Terminal
from tiny_training import painted

from upscale_cli import atomic, cli
from upscale_cli.cli import options
from upscale_cli.cli.pictures import nothing_collected
from upscale_cli.errors import UpscaleError, UsageError
from upscale_cli.images import isolated
from upscale_cli.images.formats import READABLE, by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.sheet import TEXT_HEIGHT
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.upscaling import forecast, speeds
from upscale_cli.upscaling.settings import FILE

COMMAND = (sys.executable, "-m", "upscale_cli")


def draw(*names: str, width: int = 6, height: int = 4) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = by_name(path.suffix)
        write_image(Picture(pixels), path, WriteOptions(kind))


def size_of(name: str) -> tuple[int, int]:
    picture = read_picture(Path(name))
    return picture.width, picture.height


@pytest.mark.parametrize(
    ("arguments", "target", "size"),
    [
        (("-s", "2"), "a_x2_tiny-x2.png", (12, 8)),
        (("-s2.5",), "a_x2.5_tiny-x2.png", (15, 10)),
        ((), "a_x2_tiny-x2.png", (12, 8)),  # a network's own scale
        (("-s", "4"), "a_x4_tiny-x2.png", (24, 16)),
        (("--width", "9"), "a_w9_tiny-x2.png", (9, 6)),
        (("--height", "12"), "a_h12_tiny-x2.png", (18, 12)),
        (("--fit", "20x8"), "a_20x8_tiny-x2.png", (12, 8)),
        (("-s", "2", "-o", "deep/b.webp"), "deep/b.webp", (12, 8)),
        (
            ("-s", "2", "--tta", "--tile", "16", "--tile-pad", "2", "--fp32", "--device", "cpu"),
            "a_x2_tiny-x2.png",
            (12, 8),
        ),
        (("-s", "2", "--half", "--format", "tiff", "--depth", "16"), "a_x2_tiny-x2.tif", (12, 8)),
    ],
)
def test_a_picture_is_enlarged(
    terminal: Terminal, network: str, arguments: tuple[str, ...], target: str, size: tuple[int, int]
) -> None:
    draw("a.png")
    said = terminal("a.png", "-m", network, *arguments)
    assert (said.code, size_of(target)) == (0, size), said
    assert target in said.out


def test_a_picture_named_like_a_command_is_reached(terminal: Terminal, network: str) -> None:
    draw("a.png")
    Path("a.png").rename("eval")
    assert terminal("run", "eval", "-m", network, "-s", "2").code == 0
    assert terminal("--", "eval", "-m", network).code != 0  # after -- all are files
    assert size_of("eval_x2_tiny-x2.png") == (12, 8)


def test_a_folder_is_mirrored_and_a_repeated_run_continues(terminal: Terminal, network: str) -> None:
    draw("d/a.png", "d/sub/a.png", "d/sub/b.jpg")
    Path("d/readme.txt").touch()
    said = terminal("d", "-r", "-m", network, "-s", "2")
    assert said.code == 0
    assert "3 done" in said.out
    assert "1 file skipped: not a picture" in said.out
    Path("d_x2_tiny-x2/sub/a.png").unlink()
    kept = Path("d_x2_tiny-x2/a.png").stat().st_mtime_ns
    said = terminal("d", "-r", "-m", network, "-s", "2")
    assert "1 done" in said.out
    assert "2 already there" in said.out
    assert size_of("d_x2_tiny-x2/sub/a.png") == (12, 8)
    assert Path("d_x2_tiny-x2/a.png").stat().st_mtime_ns == kept


def test_a_folder_continued_with_other_settings_says_so(terminal: Terminal, network: str) -> None:
    draw("d/a.png")
    arguments = ("d", "-o", "out/", "-s", "2", "-m", network)
    assert terminal(*arguments).code == 0
    draw("d/b.png")
    assert "other settings" not in terminal(*arguments, "--dry-run").err
    said = terminal(*arguments, "--tta")
    assert "Warning: out holds results of other settings (--tta was the default, is True)" in said.err
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "b.png", ".upscale.json"}
    assert "other settings" not in terminal(*arguments, "--tta", "--overwrite").err
    assert "other settings" in terminal(*arguments).err


def test_a_run_with_nothing_to_do_loads_no_network(terminal: Terminal) -> None:
    draw("d/a.png", "d_x4_lost/a.png")
    said = terminal("d", "-s", "4", "-m", "elsewhere/lost")
    assert said.code == 0
    assert "1 already there" in said.out


def test_some_bad_pictures_are_listed_at_the_end_and_the_others_done(terminal: Terminal, network: str) -> None:
    draw("d/a.png", "d/c.png")
    Path("d/b.png").write_bytes(b"nothing of the kind")
    said = terminal("d", "-m", network, "-s", "2")
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith("Failed: d/b.png is no picture")
    assert sorted(path.name for path in Path("d_x2_tiny-x2").glob("*.png")) == ["a.png", "c.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["gone.png"], 3, "There is no file or folder gone.png."),
        (["bad.png"], 3, "bad.png is no picture of a known format."),
        (["empty.png"], 3, "empty.png is empty."),
        (["folder.png"], 3, "There are no pictures in folder.png. Add -r to look into subfolders."),
        (["clips"], 3, "There are no pictures in clips. Clips are enlarged where they are named: upscale clips"),
        (["a.png", "-o", "a.png"], 2, "would replace the input"),
        (["a.png", "-s", "3", "-o", "there.png"], 4, "there.png exists already."),
        (["a.png", "-o", "bad.png/x.png"], 4, "is a file, not a folder"),
        (["a.png", "-s", "64"], 2, "out of range"),
        (["a.png", "-s", "nan"], 2, "out of range"),
        (["a.png", "-s", "2", "--width", "9"], 2, "Use one of -s, --width, --height, --fit, --print."),
        (["a.png", "--fit", "9"], 2, "'9' is no size."),
        (["a.png", "--width", "6000"], 2, "is a factor of 1e+03"),
        (["a.png", "--tile", "3"], 2, "'3' is no tile size."),
        (["a.png", "--half", "--fp32"], 2, "exclude each other"),
        (["a.png", "--overwrite", "--skip-existing"], 2, "exclude each other"),
        (["a.png", "--format", "doc"], 2, "There is no picture format 'doc'."),
        (["a.png", "--quality", "80"], 2, "takes no --quality"),
        (["a.png", "--format", "jpeg", "--quality", "101"], 2, "out of range"),
        (["a.png", "--format", "jpeg", "--depth", "16"], 2, "does not hold 16 bits"),
        (["a.png", "-dn", "2"], 2, "--denoise"),
        (["a.png", "-dn", "0.5"], 2, "--denoise works with"),
        (["a.png", "--colour"], 2, "No such option"),
        (["a.png", "--device", "toaster"], 7, "There is no device 'toaster'."),
        (["a.png", "--max-megapixels", "0.00001"], 3, "more than 1e-05 megapixels"),
        (["a.png", "-m", "bad.png"], 5, "bad.png"),
        (["a.png", "-m", "no-such-model"], 5, "no-such-model"),
    ],
)
def test_bad_input_is_one_sentence_and_a_code_and_writes_nothing(
    terminal: Terminal, network: str, arguments: list[str], code: int, words: str
) -> None:
    draw("a.png", "there.png")
    Path("bad.png").write_bytes(b"nothing of the kind")
    Path("empty.png").touch()
    Path("folder.png").mkdir()
    Path("clips").mkdir()
    Path("clips/a.mp4").touch()
    before = sorted(Path().rglob("*"))
    said = terminal(*(arguments if "-m" in arguments else [*arguments, "-m", network]), "-q")
    assert said.code == code, said
    assert said.err.count("\n") == 1
    assert said.err.startswith("Error: ")
    assert words in said.err
    assert said.out == ""
    assert sorted(Path().rglob("*")) == before


def test_existing_results_are_replaced_only_on_request(terminal: Terminal, network: str) -> None:
    draw("a.png")
    Path("a_x2_tiny-x2.png").write_bytes(b"mine")
    arguments = ("a.png", "-s", "2", "-m", network)
    assert terminal(*arguments).code == 4
    assert terminal(*arguments, "--skip-existing").code == 0
    assert Path("a_x2_tiny-x2.png").read_bytes() == b"mine"
    assert terminal(*arguments, "--overwrite").code == 0
    assert size_of("a_x2_tiny-x2.png") == (12, 8)


def test_a_decoder_that_crashes_costs_its_picture_alone(
    terminal: Terminal, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw("d/a.png", "d/b.png", "d/crash.png", "d/z.png")
    worker = "import os; from upscale_cli.images import isolated; whole = isolated.read_image\n"
    worker += (
        "isolated.read_image = lambda path, *more: os.abort() if path.name == 'crash.png' else whole(path, *more)\n"
    )
    worker += "isolated.main()"
    monkeypatch.setattr(isolated.Decoders.__init__, "__defaults__", (1, (sys.executable, "-c", worker)))
    said = terminal("d", "-s", "2", "-m", network)
    assert said.code == 1
    assert "Failed: d/crash.png crashes its decoder." in said.err
    assert {path.name for path in Path("d_x2_tiny-x2").glob("*.png")} == {"a.png", "b.png", "z.png"}


def test_json_is_one_object_per_picture_and_alone_on_stdout(terminal: Terminal, network: str) -> None:
    draw("d/a.png", "d/b.png", "d_x2_tiny-x2/b.png")
    Path("d/c.png").write_bytes(b"nothing of the kind")
    said = terminal("d", "-m", network, "-s", "2", "--json")
    rows = {row["source"]: row for row in map(json.loads, said.out.splitlines())}
    assert said.code == 1
    assert [rows[f"d/{name}.png"]["status"] for name in "abc"] == ["done", "skipped", "failed"]
    assert rows["d/a.png"]["input_size"] == [6, 4]
    assert rows["d/a.png"]["output_size"] == [12, 8]
    assert rows["d/a.png"]["model"] == "tiny-x2"
    assert "no picture" in rows["d/c.png"]["error"]


def test_quiet_says_nothing_of_what_went_well(terminal: Terminal, network: str) -> None:
    draw("a.png", "b.png")
    assert terminal("a.png", "b.png", "-q", "-s", "2", "-m", network) == Said(0, "", "")


def test_a_notice_is_told_once_and_counted(terminal: Terminal, network: str) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    for name in ("a.png", "b.png"):
        write_image(Picture(pixels, pixels[..., 0]), Path(name), WriteOptions(by_name("png")))
    said = terminal("a.png", "b.png", "-s", "2", "-m", network, "--format", "jpeg")
    lines = [line for line in said.err.splitlines() if "holds no transparency" in line]
    assert len(lines) == 2
    assert lines[1].startswith("Note: 2 times: jpeg holds no transparency")


def test_a_dry_run_tells_names_and_sizes_and_writes_nothing(terminal: Terminal) -> None:
    draw("d/a.png", "d/b.png", "d_x2_lost/b.png")
    Path("d/c.png").write_bytes(b"nothing of the kind")
    before = sorted(Path().rglob("*"))
    said = terminal("d", "-s", "2", "--dry-run", "-m", "elsewhere/lost")
    assert said.code == 0
    assert "d/a.png -> d_x2_lost/a.png, 6x4 to 12x8" in said.out
    assert "d/b.png: d_x2_lost/b.png is already there" in said.out
    assert "d/c.png -> d_x2_lost/c.png, which would fail: d/c.png is no picture" in said.out
    assert sorted(Path().rglob("*")) == before


def test_a_dry_run_names_the_network_once_where_it_is_the_same_for_all(terminal: Terminal, network: str) -> None:
    draw("a.png", "b.png")
    said = terminal("a.png", "b.png", "--dry-run", "--device", "cpu")
    assert said.out == "a.png -> a_x4.png, 6x4 to 24x16\nb.png -> b_x4.png, 6x4 to 24x16\n"
    assert "Network: lite-x4, 1 pass.\nHow long it takes is known after a first run" in said.err
    assert f"Network: {network}, 2 passes." in terminal("a.png", "-s", "4", "-m", network, "--dry-run").err


def test_a_dry_run_names_networks_and_passes_of_each_picture_where_they_differ(terminal: Terminal) -> None:
    draw("a.png")
    draw("b.png", width=12, height=8)
    draw("c.png", width=2, height=2)
    speeds.keep({speeds.key("lite-x2", "auto", "cpu", None): 1e6})
    said = terminal("a.png", "b.png", "c.png", "--width", "24", "--dry-run", "--device", "cpu")
    assert said.out.splitlines() == [
        "a.png -> a_w24.png, 6x4 to 24x16, lite-x4, 1 pass",
        "b.png -> b_w24.png, 12x8 to 24x16, lite-x2, 1 pass, about 01:36",
        "c.png -> c_w24.png, 2x2 to 24x24, lite-x4, 2 passes",
    ]
    assert "Network:" not in said.err
    assert "`upscale benchmark -m lite-x4`" in said.err


def test_a_dry_run_estimates_from_the_last_run_and_counts_passes_alpha_and_orientations(
    terminal: Terminal, network: str
) -> None:
    draw("a.png", width=400, height=300)
    draw("b.png", width=30, height=20)
    rgba = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    write_image(Picture(rgba[..., :3], rgba[..., 3]), Path("c.png"), WriteOptions(by_name("png")))
    ran = json.loads(terminal("a.png", "-m", network, "-s", "2", "--json").out)

    def estimated(name: str, *arguments: str) -> float:
        row = json.loads(terminal(name, "-m", network, "--dry-run", "--json", *arguments).out)
        assert (row["status"], row["model"]) == ("planned", network)
        return float(row["estimated_seconds"])

    assert estimated("a.png", "-s", "2", "--overwrite") == pytest.approx(ran["seconds"], abs=2e-3)
    speeds.keep({speeds.key(network, "auto", forecast.device_type("auto"), None): 1000.0})
    once = estimated("b.png", "-s", "2")
    assert once == pytest.approx(0.6)
    assert estimated("b.png", "-s", "4") == pytest.approx(5 * once)
    assert estimated("c.png", "-s", "2") == pytest.approx(2 * once)
    assert estimated("c.png", "-s", "2", "--alpha-upsampler", "bicubic") == pytest.approx(once)
    assert estimated("b.png", "-s", "2", "--tta") == pytest.approx(8 * once)


def test_the_speed_is_kept_of_the_network_that_auto_chose(terminal: Terminal) -> None:
    draw("a.png", width=400, height=300)
    assert terminal("a.png", "--auto", "-s", "2", "--device", "cpu").code == 0
    assert [name.split(",")[0] for name in speeds.known()] == ["lite-x2"]
    said = terminal("a.png", "--auto", "-s", "2", "--device", "cpu", "--dry-run", "--overwrite")
    assert re.search("--auto may take lite-x4-restore.*\nNetwork: lite-x2, 1 pass.\nAbout", said.err), said.err


def test_a_benchmark_leaves_the_speed_for_dry_runs(
    terminal: Terminal, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from upscale_cli import benchmarking

    rates = dict.fromkeys((torch.float32, torch.bfloat16), 1e9)
    machine = benchmarking.Machine(torch.device("cpu"), rates)
    monkeypatch.setattr(benchmarking, "measure_machine", lambda device, threads: machine)
    draw("a.png")
    said = terminal("benchmark", "-m", network, "--size", "40x30", "--repeat", "1", "--skip-plain", "--json")
    assert said.code == 0, said
    assert len(speeds.known()) == 2  # in full and in half precision
    for precision in ("--fp32", "--half"):
        row = json.loads(terminal("a.png", "-m", network, precision, "--dry-run", "--json").out)
        assert row["estimated_seconds"] >= 0


def test_a_picture_too_small_to_tell_leaves_no_speed(terminal: Terminal, network: str) -> None:
    draw("a.png")
    assert terminal("a.png", "-m", network, "-s", "2").code == 0
    assert speeds.known() == {}


def test_a_dry_run_with_the_embedded_network_does_without_pytorch() -> None:
    code = "import sys; from upscale_cli import cli; sys.argv = ['upscale', *sys.argv[1:]]\n"
    code += "try: cli.main()\nfinally: assert 'torch' not in sys.modules"
    sample = Path(__file__).parents[2] / "docs" / "pictures" / "sample.png"
    command = [sys.executable, "-c", code, str(sample), "--dry-run", "--device", "cpu"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, "Network: lite-x4" in ended.stderr) == (0, True), ended.stderr


def test_pytorch_is_asked_for_a_gpu_only_where_there_may_be_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("upscale_cli.device.select", lambda name: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(sys, "platform", "linux")
    driver = tmp_path / "driver"
    assert forecast.device_type("auto", [str(driver)]) == "cpu"
    driver.touch()
    assert forecast.device_type("auto", [str(driver)]) == "cuda"
    assert forecast.device_type("cuda:1", [str(driver)]) == "cuda:1"


def test_a_damaged_list_of_speeds_is_as_none(terminal: Terminal) -> None:
    speeds.keep({"a": 1.0})
    next(Path(os.environ["UPSCALE_CACHE"]).iterdir()).write_text("{")
    assert speeds.known() == {}


def test_a_dry_run_as_json_is_json_alone(terminal: Terminal) -> None:
    draw("d/a.png", "d/b.png", "d_x4/b.png")
    Path("d/c.png").write_bytes(b"nothing of the kind")
    rows = [json.loads(line) for line in terminal("d", "--dry-run", "--json", "--device", "cpu").out.splitlines()]
    assert [row["status"] for row in rows] == ["planned", "failed", "skipped"]
    assert (rows[0]["model"], rows[0]["passes"], rows[1]["code"]) == ("lite-x4", 1, 3)


def test_a_dry_run_decodes_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    draw("d/a.png", "d/b.jpg", "d/c.webp", "d/e.tif")
    monkeypatch.setattr("upscale_cli.images.read._decode", None)
    said = terminal("d", "--dry-run")
    assert said.code == 0
    assert said.out.count("6x4 to 24x16") == 4


@pytest.mark.parametrize(("quality", "advised"), [(30, True), (75, False)])
def test_restoring_is_recommended_for_strongly_compressed_pictures_alone(
    terminal: Terminal, network: str, quality: int, advised: bool
) -> None:
    write_image(painted(1, 24, 30), Path("a.jpg"), WriteOptions(by_name("jpeg"), quality))
    assert ("--restore may look cleaner" in terminal("a.jpg", "--device", "cpu", "-s", "2").err) == advised
    assert "--restore" not in terminal("a.jpg", "-m", network, "-s", "2").err


def test_a_comparison_is_written_beside_the_result(terminal: Terminal, network: str) -> None:
    draw("a.jpg")
    assert terminal("a.jpg", "-s", "2", "--compare", "-m", network).code == 0
    assert size_of("a_x2_tiny-x2_compare.jpg")[1] == size_of("a_x2_tiny-x2.jpg")[1] + TEXT_HEIGHT
    assert size_of("a_x2_tiny-x2_compare.jpg")[0] > 2 * size_of("a_x2_tiny-x2.jpg")[0]


def test_a_comparison_alone_reuses_the_result(terminal: Terminal, network: str) -> None:
    draw("a.jpg")
    assert terminal("a.jpg", "-s", "2", "-m", network).code == 0
    kept = Path("a_x2_tiny-x2.jpg").read_bytes()
    Path(network).rename(network + ".away")
    try:
        said = terminal("a.jpg", "-s", "2", "-m", network, "--compare", "--device", "cpu")
    finally:
        Path(network + ".away").rename(network)
    assert said.code == 0, said
    assert size_of("a_x2_tiny-x2_compare.jpg")[1] == 8 + TEXT_HEIGHT
    assert Path("a_x2_tiny-x2.jpg").read_bytes() == kept
    assert terminal("a.jpg", "-s", "2", "-m", network, "--compare").code == 4


def test_a_second_network_writes_beside_the_result_of_the_first(terminal: Terminal, network: str) -> None:
    draw("a.png")
    assert terminal("a.png", "-s", "2", "-m", network).code == 0
    assert terminal("a.png", "-s", "2", "--device", "cpu").code == 0
    assert terminal("a.png", "-s", "2", "--device", "cpu", "--restore").code == 0
    names = {"a.png", "a_x2.png", "a_x2_tiny-x2.png", "a_x2_lite-x4-restore.png"}
    assert {path.name for path in Path().glob("*.png")} == names


def test_a_pattern_leaves_out_own_results(terminal: Terminal, network: str) -> None:
    draw("a.png", "b.png")
    for size in ("2", "2", "3"):
        assert terminal("*.png", "-s", size, "-m", network).code == 0
    names = {f"{name}{size}.png" for name in "ab" for size in ("", "_x2_tiny-x2", "_x3_tiny-x2")}
    assert {path.name for path in Path().glob("*.png")} == names


def test_an_empty_path_is_refused(terminal: Terminal) -> None:
    draw("a.png")
    said = terminal("")
    assert said.code == 2
    assert "An empty path" in said.err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_names_that_are_no_text_are_no_obstacle(terminal: Terminal, network: str) -> None:
    draw("a.png")
    name = os.fsdecode(b"caf\xe9.png")
    Path("a.png").rename(name)
    assert terminal(name, "-s", "2", "-m", network).code == 0
    assert size_of(os.fsdecode(b"caf\xe9_x2_tiny-x2.png")) == (12, 8)


def test_debug_shows_the_traceback_wherever_it_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.png").write_bytes(b"nothing of the kind")
    for arguments in (["--debug", "bad.png", "--dry-run", "-s", "99"], ["run", "bad.png", "-s", "99", "--debug"]):
        monkeypatch.setattr(sys, "argv", ["upscale", *arguments])
        with pytest.raises(UsageError):
            cli.main()


def test_a_mistake_of_ours_is_told_as_one(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*values: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("upscale_cli.cli.run._sized", broken)
    said = terminal("a.png")
    assert said.code == 70
    assert said.err.startswith("Internal error: ZeroDivisionError: ours.")
    assert "--debug" in said.err


def test_every_option_has_help_and_every_command_is_listed() -> None:
    group = cli.commands
    context = click.Context(group)
    listed = group.get_help(context)
    for name in cli.COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        assert f"\n  {name} " in listed
        assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("group", [(), ("models",), ("kernel",)])
def test_no_line_of_a_list_of_commands_is_cut(terminal: Terminal, group: tuple[str, ...]) -> None:
    listed = terminal(*group, "--help").out.split("Commands:")[1]
    assert "..." not in listed


def test_the_everyday_options_stand_in_the_first_help(terminal: Terminal) -> None:
    listed = terminal("--help").out
    assert all(option in listed for option in ("--scale", "--output", "--model", "--tile", "--half", "--recursive"))
    assert terminal("--version").out.startswith("upscale, version ")
    assert terminal().out == terminal("--help").out


def test_help_comes_at_once() -> None:
    torch = seconds_of(sys.executable, "-c", "import torch")
    fastest = min(seconds_of(*COMMAND, "--help") for _ in range(4))
    assert fastest < torch / 2


def seconds_of(*command: str) -> float:
    """Of the processor's work, which other programs on the machine hardly change."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run([*COMMAND, "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert result.stderr == ""


def test_the_progress_of_a_terminal_is_not_in_a_log(terminal: Terminal, network: str) -> None:
    draw("a.png", "b.png")
    said = terminal("a.png", "b.png", "-s", "2", "-m", network)
    assert "\r" not in said.out + said.err
    assert said.out.splitlines()[0].startswith("a.png (6x4) -> a_x2_tiny-x2.png (12x8), ")


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C in another way")
def test_an_interruption_leaves_no_partial_file_and_the_same_command_continues(
    tmp_path: Path, terminal: Terminal, network: str
) -> None:
    draw(*(f"d/{index:02}.png" for index in range(40)), width=500, height=400)
    started = {}
    for interruption in (signal.SIGINT, signal.SIGTERM):  # beside each other
        arguments = ["d", "-m", network, "-s", "2", "--threads", "1", "-o", f"{interruption.name}/"]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started[interruption] = arguments, subprocess.Popen([*COMMAND, *arguments], **pipes)
    waiting = dict(started)
    while waiting:
        for interruption, (_, process) in list(waiting.items()):
            if process.poll() is not None or Path(interruption.name, "00.png").exists():
                process.send_signal(interruption)
                del waiting[interruption]
        time.sleep(0.01)
    for interruption, (arguments, process) in started.items():
        _, said = process.communicate(timeout=300)
        assert process.returncode == 130, said
        assert "of 40 pictures are done. The same command goes on from there." in said
        assert "Traceback" not in said
        names = [path.name for path in Path(interruption.name).iterdir() if path.name != FILE]
        assert 1 <= len(names) < 40
        assert not [name for name in names if name.startswith(".")]
        assert all(size_of(f"{interruption.name}/{name}") == (1000, 800) for name in names)
        assert terminal(*arguments, "--dry-run").out.count("is already there") == len(names)


def test_a_run_whose_output_nobody_reads_ends_with_its_results_kept_and_the_same_command_continues(
    terminal: Terminal, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(*(f"d/{index}.png" for index in range(9)))
    reader, writer = os.pipe()
    os.close(reader)
    unread = os.fdopen(writer, "w")
    with monkeypatch.context() as piped:
        piped.setattr(sys, "stdout", unread)
        piped.setattr(sys, "stderr", sys.stderr)  # click replaces both
        said = terminal("d", "-m", network, "-s", "2", "--json")
    with suppress(BrokenPipeError):
        unread.close()
    assert (said.code, said.err) == (141, "1 of 9 pictures are done. The same command goes on from there.\n")
    names = {path.name for path in Path("d_x2_tiny-x2").iterdir()}
    assert "0.png" in names
    assert names < {FILE, *(f"{index}.png" for index in range(9))}
    assert terminal("d", "-m", network, "-s", "2").code == 0
    assert len(list(Path("d_x2_tiny-x2").glob("*.png"))) == 9


@pytest.mark.parametrize("text", ["", "x", "10", "10x", "-1x5", "1.5x2"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        options.parse_width_height(text)


def test_the_default_network_goes_by_how_much_larger_each_picture_becomes(terminal: Terminal) -> None:
    draw("d/small.png")
    draw("d/large.png", width=12, height=8)
    said = terminal("d", "--width", "24", "--json", "--device", "cpu")
    used = {row["source"]: (row["model"], row["output_size"]) for row in map(json.loads, said.out.splitlines())}
    assert used == {"d/small.png": ("lite-x4", [24, 16]), "d/large.png": ("lite-x2", [24, 16])}
    assert "lite-x4" in said.err
    assert "lite-x2" in said.err


def test_a_missing_device_is_refused_before_any_picture(terminal: Terminal) -> None:
    draw("d/a.png", "d/b.png")
    said = terminal("d", "--width", "24", "--device", "cuda:99")
    assert said.code == 7
    assert said.err.count("\n") == 1


def test_a_folder_of_which_one_bad_picture_is_left_still_ends_as_a_folder(terminal: Terminal, network: str) -> None:
    draw("d/a.png")
    Path("d/b.png").write_bytes(b"nothing of the kind")
    words = f"Failed: d/b.png is no picture of a known format. Known are: {READABLE}.\n"
    for _ in range(2):
        said = terminal("d", "-m", network, "-s", "2")
        assert (said.code, said.err) == (1, words)


def test_the_help_says_what_every_exit_code_means(terminal: Terminal) -> None:
    def codes(kind: type[UpscaleError]) -> set[int]:
        return {kind.exit_code}.union(*(codes(below) for below in kind.__subclasses__()))

    listed = re.findall(r"^  (\d+) +[a-z]", terminal("--help").out.split("Exit codes:")[1], re.MULTILINE)
    assert [int(code) for code in listed] == [0, *sorted(codes(UpscaleError)), 70, 130, 141]


def test_what_a_killed_run_left_is_removed_though_nothing_is_to_do(terminal: Terminal, network: str) -> None:
    draw("d/a.png", "d/deeper/a.png")
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    terminal("d", "-m", network, "-r", "-o", "out")
    for folder in ("out", "out/deeper"):
        Path(folder, f".upscale-{atomic.HOST}-{int(gone.stdout)}-00112233.tmp.png").write_bytes(b"half of it")
    assert terminal("d", "-m", network, "-r", "-o", "out").code == 0
    assert sorted(path.name for path in Path("out").rglob("*")) == [FILE, "a.png", "a.png", "deeper"]


def test_control_characters_of_names_are_written_out(terminal: Terminal, network: str) -> None:
    name = "a\x1b]0;owned\x07.png"
    draw(name)
    Path("b\x1b[2J.png").write_bytes(b"nothing of the kind")
    good, bad = terminal(name, "-s", "2", "-m", network), terminal("b\x1b[2J.png", "-s", "2", "-m", network)
    assert good.out.startswith(r"a\x1b]0;owned\x07.png (6x4) -> a\x1b]0;owned\x07_x2_tiny-x2.png (12x8), ")
    assert bad.err.startswith(r"Error: b\x1b[2J.png is no picture")
    assert "\x1b" not in good.out + good.err + bad.out + bad.err


def test_what_fails_in_a_folder_is_named(terminal: Terminal, network: str) -> None:
    draw("d/a.png")
    draw("d/b.png", width=600, height=400)
    said = terminal("d", "--width", "300", "-m", network)
    assert said.code == 1
    assert "Failed: d/a.png: 6x4 pixels to w300 is a factor of 50." in said.err


def test_restore_runs_the_restoring_network_alone_or_mixed(terminal: Terminal, photos: Path) -> None:
    picture = str(next(photos.glob("*.png")))
    for number, arguments in enumerate((["--restore"], ["-m", "lite-x4-restore"], ["--restore", "--alpha", "0.5"], [])):
        assert terminal(picture, *arguments, "-o", f"{number}.png", "--device", "cpu").code == 0
    restored, named, half, default = (read_picture(Path(f"{number}.png")).color for number in range(4))
    assert np.array_equal(restored, named)
    assert not np.array_equal(half, restored)
    assert not np.array_equal(default, restored)


@pytest.mark.parametrize("other", [["-m", "lite-x4"], ["-dn", "0.5"], ["--kernel", "k.npy"]])
def test_restore_and_another_choice_of_network_are_refused(terminal: Terminal, photos: Path, other: list[str]) -> None:
    said = terminal(str(next(photos.glob("*.png"))), "--restore", *other)
    assert (said.code, "Give one of them." in said.err, said.err.count("\n")) == (2, True, 1)


def test_cycles_are_collected_again_once_modules_are_loaded() -> None:
    with suppress(RuntimeError), nothing_collected():
        assert not gc.isenabled()
        raise RuntimeError
    assert gc.isenabled()
    gc.unfreeze()

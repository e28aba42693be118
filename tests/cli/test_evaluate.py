"""``upscale eval``: pairing, protocol, output."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from terminal import Terminal

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.resize import matlab_bicubic


def draw(path: Path, seed: int = 0, height: int = 24, width: int = 28, depth: int = 8) -> None:
    path.parent.mkdir(exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    pixels = levels.astype(np.uint8) if depth == 8 else (levels * 257).astype(np.uint16)
    write_image(Picture(pixels), path, WriteOptions(by_name("png")))


@pytest.mark.parametrize(
    ("hr", "result"),
    [
        ("baby", "baby"),
        ("baby", "baby_x4"),
        ("0801", "0801x4_x4"),
        ("img_001_HR", "img_001_LR"),
        ("img_001_SRF_4_HR", "img_001_SRF_4_SR_out"),
    ],
)
def test_pictures_pair_by_name(terminal: Terminal, hr: str, result: str) -> None:
    draw(Path(f"hr/{hr}.png"))
    draw(Path("hr/other.png"), 1)
    draw(Path(f"sr/{result}.png"))
    draw(Path("sr/other.png"), 1)
    said = terminal("eval", "hr", "sr", "--json")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["name"] for row in rows] == [*sorted([hr, "other"]), "mean"]
    assert all(row["ssim_rgb"] == pytest.approx(1) for row in rows)


def test_numbers_are_not_mistaken_for_their_prefixes(terminal: Terminal) -> None:
    for name in ("img_1", "img_10"):
        draw(Path(f"hr/{name}.png"), len(name))
        draw(Path(f"sr/{name}_x4.png"), len(name))
    said = terminal("eval", "hr", "sr", "--json")
    assert said.code == 0
    assert json.loads(said.out.splitlines()[-1])["ssim_y"] == pytest.approx(1)


def test_a_result_of_the_very_name_comes_before_longer_names(terminal: Terminal) -> None:
    draw(Path("hr/a.png"))
    draw(Path("sr/a.png"))
    draw(Path("sr/a_old.png"), 1)
    assert json.loads(terminal("eval", "hr", "sr", "--json").out.splitlines()[-1])["ssim_y"] == pytest.approx(1)


def test_letters_of_every_alphabet_go_on_with_a_name(terminal: Terminal) -> None:
    draw(Path("hr/bab.png"))
    draw(Path("sr/babé.png"))
    assert "bab.png has no result in sr" in terminal("eval", "hr", "sr").err
    draw(Path("sr/bab_é.png"))
    assert terminal("eval", "hr", "sr").code == 0


def test_a_result_belongs_to_the_true_picture_of_the_longest_name(terminal: Terminal) -> None:
    for seed, name in enumerate(("img", "img_2", "img_2_b")):
        draw(Path(f"hr/{name}.png"), seed)
        draw(Path(f"sr/{name}_x4.png"), seed)
    assert json.loads(terminal("eval", "hr", "sr", "--json").out.splitlines()[-1])["ssim_y"] == pytest.approx(1)
    Path("sr/img_x4.png").unlink()
    assert "img.png has no result in sr" in terminal("eval", "hr", "sr").err


def test_json_is_strict_where_measures_are_not_finite(terminal: Terminal) -> None:
    draw(Path("a.png"), height=18, width=18)
    lines = terminal("eval", "a.png", "a.png", "--json").out.splitlines()
    measures = {"psnr_y": None, "ssim_y": None, "psnr_rgb": None, "ssim_rgb": None}
    rows = [{"record": "score", "name": "a"}, {"record": "mean", "name": "mean"}]
    assert [json.loads(line) for line in lines] == [row | measures for row in rows]


def test_the_table_ends_with_the_means(terminal: Terminal) -> None:
    for seed, name in enumerate(("a", "b")):
        draw(Path(f"hr/{name}.png"), seed)
        draw(Path(f"sr/{name}.png"), seed + 2)
    heading, *rows = (line.split() for line in terminal("eval", "hr", "sr").out.splitlines())
    assert " ".join(heading) == "picture PSNR Y SSIM Y PSNR RGB SSIM RGB"
    assert [row[0] for row in rows] == ["a", "b", "mean"]
    first, second, mean = (np.array(row[1:], float) for row in rows)
    assert mean == pytest.approx((first + second) / 2, abs=0.01)
    assert np.ptp([first, second], axis=0).max() > 0.02


def test_missing_and_ambiguous_partners_are_named(terminal: Terminal) -> None:
    draw(Path("hr/a.png"))
    draw(Path("sr/b.png"))
    assert "a.png has no result in sr" in terminal("eval", "hr", "sr").err
    draw(Path("sr/a_1.png"))
    draw(Path("sr/a_2.png"))
    said = terminal("eval", "hr", "sr")
    assert (said.code, "2 results (a_1.png, a_2.png)" in said.err) == (3, True)


def test_the_true_picture_is_cropped_to_a_multiple_of_the_scale_and_no_further(terminal: Terminal) -> None:
    draw(Path("hr/a.png"), height=27, width=31)
    draw(Path("sr/a.png"), height=24, width=28)
    assert terminal("eval", "hr", "sr").code == 0
    for height, width in [(23, 28), (24, 27), (28, 28), (24, 32)]:
        draw(Path("sr/a.png"), height=height, width=width)
        said = terminal("eval", "hr", "sr")
        assert (said.code, "is 31x27 and" in said.err, f"{width}x{height} pixels" in said.err) == (3, True, True)


def test_sixteen_bits_count_as_eight(terminal: Terminal) -> None:
    draw(Path("a.png"), depth=16)
    draw(Path("b.png"))
    assert terminal("eval", "a.png", "b.png").out.splitlines()[-1].split() == ["mean", "inf", "1.0000", "inf", "1.0000"]


def test_sixteen_bits_are_rounded_and_not_cut(terminal: Terminal) -> None:
    draw(Path("b.png"))
    levels = np.random.default_rng(0).integers(0, 256, (24, 28, 3))
    almost = np.clip(levels * 257 - 100, 0, None).astype(np.uint16)
    write_image(Picture(almost), Path("a.png"), WriteOptions(by_name("png")))
    assert terminal("eval", "a.png", "b.png").out.splitlines()[-1].split()[1] == "inf"


def test_a_border_larger_than_the_picture_is_refused(terminal: Terminal) -> None:
    draw(Path("a.png"))
    assert "all border" in terminal("eval", "a.png", "a.png", "--border", "12").err
    assert "two folders or two files" in terminal("eval", ".", "a.png").err


def scene(path: Path, seed: int = 0) -> None:
    """Soft shapes of 64x48 pixels, which survive downsampling."""
    path.parent.mkdir(exist_ok=True)
    coarse = np.random.default_rng(seed).uniform(0, 255, (6, 8, 3))
    pixels = np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)
    write_image(Picture(pixels), path, WriteOptions(by_name("png")))


def test_networks_are_run_and_measured_as_their_results_are(terminal: Terminal) -> None:
    for seed, name in enumerate(("a", "b")):
        scene(Path(f"hr/{name}.png"), seed)
        hr = read_picture(Path(f"hr/{name}.png")).color
        lr = matlab_bicubic(torch.from_numpy(hr).permute(2, 0, 1)[None].float() / 255, 1 / 4)
        pixels = (lr.clamp(0, 1) * 255).round().to(torch.uint8)[0].permute(1, 2, 0).numpy()
        Path("lr").mkdir(exist_ok=True)
        write_image(Picture(pixels), Path(f"lr/{name}.png"), WriteOptions(by_name("png")))
    assert terminal("lr", "-m", "lite-x4", "-o", "sr", "--device", "cpu").code == 0
    of_files = json.loads(terminal("eval", "hr", "sr", "--json").out.splitlines()[-1])
    for lr_option in ([], ["--lr", "lr"]):
        said = terminal("eval", "--model", "lite-x4", "--hr", "hr", *lr_option, "--json", "--device", "cpu")
        rows = [json.loads(line) for line in said.out.splitlines()]
        assert [(row["model"], row["name"]) for row in rows] == [
            (model, name) for model in ("bicubic x4", "lite-x4") for name in ("a", "b", "mean")
        ]
        assert all(rows[-1][measure] == pytest.approx(of_files[measure]) for measure in of_files if measure != "name")
        assert rows[-1]["seconds"] > 0


def test_the_row_of_bicubic_is_bicubic_interpolation(terminal: Terminal) -> None:
    scene(Path("hr/a.png"))
    hr = torch.from_numpy(read_picture(Path("hr/a.png")).color).permute(2, 0, 1)[None].float() / 255
    lr = (matlab_bicubic(hr, 1 / 4) * 255).clamp(0, 255).round() / 255
    sr = (matlab_bicubic(lr, 4) * 255).clamp(0, 255).round()
    error = ((sr - hr * 255)[..., 4:-4, 4:-4] ** 2).mean().item()
    said = terminal("eval", "--model", "lite-x4", "--hr", "hr", "--json", "--device", "cpu")
    row = json.loads(said.out.splitlines()[0])
    assert row["psnr_rgb"] == pytest.approx(10 * math.log10(255**2 / error), abs=0.01)


def test_several_networks_stand_in_one_table_of_markdown(terminal: Terminal) -> None:
    scene(Path("hr/a.png"))
    said = terminal("eval", "--model", "lite-x4", "lite-x4-restore", "--hr", "hr", "--markdown", "--device", "cpu")
    heading, line, *rows = said.out.splitlines()
    assert heading == "| network | PSNR Y | SSIM Y | PSNR RGB | SSIM RGB | s/picture |"
    assert line == "|---|--:|--:|--:|--:|--:|"
    assert [row.split(" | ")[0] for row in rows] == ["| bicubic x4", "| lite-x4", "| lite-x4-restore"]


def test_another_scale_than_the_networks_is_measured_at_that_scale(terminal: Terminal) -> None:
    scene(Path("hr/a.png"))
    said = terminal("eval", "--model", "lite-x4", "--hr", "hr/a.png", "-s", "2", "--device", "cpu")
    assert (said.code, "bicubic x2" in said.out, "bicubic x4" in said.out) == (0, True, False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "lite-x4"], "Add --hr DIR"),
        (["hr", "hr", "--hr", "hr"], "--hr works with --model only"),
        (
            ["hr", "hr", "--metrics", "psnr,vmaf"],
            "There is no measure 'vmaf'. Known are: psnr, ssim, ms-ssim, lpips, dists, niqe.",
        ),
        (["hr", "hr", "--metrics", "niqe"], "Give their file with --niqe-model"),
        (["hr", "hr", "--plot", "a.jpg"], "a.jpg has no extension of a chart"),
        (["hr", "hr", "--plot", "hr/a.png"], "hr/a.png exists already"),
        (["hr"], "Two paths, HR and SR, are compared, not 1"),
        (["hr", "hr", "--json", "--markdown"], "exclude each other"),
        (["--model", "lite-x4", "--hr", "hr", "--lr", "hr"], "hr/a.png has 64x48 pixels"),
        (["--model", "lite-x4", "--hr", "nothing"], "nothing"),
        (["--model", "nothing", "--hr", "hr"], "nothing"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    terminal: Terminal, arguments: list[str], sentence: str
) -> None:
    scene(Path("hr/a.png"))
    said = terminal("eval", *arguments)
    assert said.code != 0
    assert sentence in said.err
    assert "Traceback" not in said.err


LIBRARY = """
import torch
class LPIPS(torch.nn.Module):
    def __init__(self, net, verbose):
        super().__init__()
        {start}
    def forward(self, a, b):
        assert a.shape == b.shape == (1, 3, 40, 56) and a.min() >= -1 and a.max() <= 1
        return (a - b).abs().mean()[None, None, None, None]
"""


@pytest.mark.parametrize(
    ("library", "sentence"),
    [
        ("raise ImportError", "pip install 'upscale-cli[lpips]'"),
        ("raise RuntimeError('operator missing')", "Install the torchvision that fits"),
        (LIBRARY.format(start="raise OSError('no network')"), "AlexNet's weights for LPIPS cannot be had: no network"),
        (LIBRARY.format(start="pass"), ""),
    ],
)
def test_lpips_is_measured_or_missed_in_a_sentence(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, sentence: str
) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "lpips.py").write_text(library)
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    scene(Path("hr/a.png"))
    said = terminal("eval", "--model", "lite-x4", "--hr", "hr", "--lpips", "--json", "--device", "cpu")
    assert sentence in said.err
    assert (said.code == 0) == (not sentence)
    if not sentence:
        assert 0 < json.loads(said.out.splitlines()[-1])["lpips"] < 1


DISTS = """
import torch
class DISTS(torch.nn.Module):
    def forward(self, a, b):
        assert a.shape == b.shape == (1, 3, 40, 56) and a.min() >= 0 and a.max() <= 1
        return (a - b).abs().mean()
"""


def test_learned_distances_are_measured_of_files_too(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "library").mkdir()
    for name, code in (("lpips", LIBRARY.format(start="pass")), ("DISTS_pytorch", DISTS)):
        (tmp_path / "library" / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    scene(Path("hr/a.png"))
    scene(Path("sr/a.png"))
    said = terminal("eval", "hr", "sr", "--metrics", "lpips,dists", "--json")
    assert json.loads(said.out.splitlines()[0]) == {"record": "score", "name": "a", "lpips": 0.0, "dists": 0.0}


def test_without_its_library_a_distance_is_refused_in_a_sentence(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "DISTS_pytorch.py").write_text("raise ImportError")
    monkeypatch.delitem(sys.modules, "DISTS_pytorch", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    scene(Path("hr/a.png"))
    said = terminal("eval", "hr", "hr", "--metrics", "dists")
    assert said.err == "Error: DISTS is not installed. Run: pip install 'DISTS-pytorch'\n"


def test_a_chart_is_drawn_and_replaced_only_on_request(terminal: Terminal) -> None:
    scene(Path("hr/a.png"))
    for arguments, code in (([], 0), ([], 4), (["--overwrite"], 0)):
        said = terminal("eval", "hr", "hr", "--metrics", "ssim", "--plot", "chart.png", *arguments)
        assert said.code == code, said.err
    assert Path("chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.shared
@pytest.mark.parametrize(("name", "psnr"), [("Set5", 30.66), ("Set14", 27.69)])
def test_srgan_x4_has_its_figures_through_the_command_line(
    terminal: Terminal, shared: Path, name: str, psnr: float
) -> None:
    folder, weights = shared / "data" / name / "x4", shared / "weights" / "srgan_x4.pth"
    assert terminal(str(folder / "LR"), "-m", str(weights), "-o", "sr", "--device", "cpu").code == 0
    said = terminal("eval", str(folder / "HR"), "sr", "--json")
    assert json.loads(said.out.splitlines()[-1])["psnr_y"] == pytest.approx(psnr, abs=0.02)


def test_pictures_of_one_name_and_two_formats_pair_by_their_extensions(terminal: Terminal) -> None:
    for folder in ("hr", "sr"):
        for number, name in enumerate(("a.png", "a.tif")):
            draw(Path(folder, name), number)
    said = terminal("eval", "hr", "sr", "--json")
    assert [json.loads(line)["ssim_y"] for line in said.out.splitlines()] == [pytest.approx(1)] * 3

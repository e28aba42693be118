"""``upscale eval``: pairing, protocol, output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.write import WriteOptions, write_image


def draw(path: Path, seed: int = 0, height: int = 24, width: int = 28, depth: int = 8) -> None:
    path.parent.mkdir(exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    pixels = levels.astype(np.uint8) if depth == 8 else (levels * 257).astype(np.uint16)
    write_image(Picture(pixels), path, WriteOptions(by_name("png")))


@pytest.mark.parametrize(
    ("truth", "result"),
    [
        ("baby", "baby"),
        ("baby", "baby_x4"),
        ("0801", "0801x4_x4"),
        ("img_001_HR", "img_001_LR"),
        ("img_001_SRF_4_HR", "img_001_SRF_4_SR_out"),
    ],
)
def test_pictures_pair_by_name(terminal: Terminal, truth: str, result: str) -> None:
    draw(Path(f"hr/{truth}.png"))
    draw(Path("hr/other.png"), 1)
    draw(Path(f"sr/{result}.png"))
    draw(Path("sr/other.png"), 1)
    said = terminal("eval", "hr", "sr", "--json")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["name"] for row in rows] == [*sorted([truth, "other"]), "mean"]
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
    assert [json.loads(line) for line in lines] == [{"name": "a", **measures}, {"name": "mean", **measures}]


def test_the_table_ends_with_the_means(terminal: Terminal) -> None:
    for seed, name in enumerate(("a", "b")):
        draw(Path(f"hr/{name}.png"), seed)
        draw(Path(f"sr/{name}.png"), seed + 2)
    heading, *rows = (line.split() for line in terminal("eval", "hr", "sr").out.splitlines())
    assert " ".join(heading) == "PSNR Y SSIM Y PSNR RGB SSIM RGB"
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


@pytest.mark.shared
@pytest.mark.parametrize(("name", "psnr"), [("Set5", 30.66), ("Set14", 27.69)])
def test_srgan_x4_has_its_figures_through_the_command_line(
    terminal: Terminal, shared: Path, name: str, psnr: float
) -> None:
    folder, weights = shared / "data" / name / "x4", shared / "weights" / "srgan_x4.pth"
    assert terminal(str(folder / "LR"), "-m", str(weights), "-o", "sr", "--device", "cpu").code == 0
    said = terminal("eval", str(folder / "HR"), "sr", "--json")
    assert json.loads(said.out.splitlines()[-1])["psnr_y"] == pytest.approx(psnr, abs=0.02)


@pytest.mark.shared
def test_the_embedded_network_is_visibly_better_than_bicubic(terminal: Terminal, shared: Path) -> None:
    folder = shared / "data" / "Set5" / "x4"
    assert terminal(str(folder / "LR"), "-m", "lite-x4", "-o", "sr", "--device", "cpu").code == 0
    said = terminal("eval", str(folder / "HR"), "sr", "--json")
    assert json.loads(said.out.splitlines()[-1])["psnr_y"] > 28.43 + 1.5

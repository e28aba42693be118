"""``upscale run --kernel``: pictures enlarged by networks of their own, and what does not go with them."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from terminal import Screen, Terminal
from tiny_training import painted
from tqdm import tqdm

from upscale_cli.cli import bar, console
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Animation, Picture
from upscale_cli.images.read import read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.kernels.blur_kernel import bicubic
from upscale_cli.kernels.files import write_kernel
from upscale_cli.resize import resize
from upscale_cli.zero_shot import zssr
from upscale_cli.zero_shot.network import ZeroShotNetwork

SHORT = ("--iterations", "2")


def save(
    name: str, height: int = 18, width: int = 22, gray: bool = False, alpha: bool = False, deep: bool = False
) -> None:
    color = painted(0, height, width).color[..., : 1 if gray else 3]
    color = color.astype(np.uint16) * 257 if deep else color
    opacity = np.full((height, width), color.max()) if alpha else None
    if opacity is not None:
        opacity[:, : width // 2] = 0
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_image(Picture(color, opacity), Path(name), WriteOptions(by_name("png")))


@pytest.fixture
def kernel(terminal: Terminal) -> str:
    write_kernel(Path("kernel.npy"), bicubic(2))
    return "kernel.npy"


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_pictures_of_every_kind_are_enlarged(
    terminal: Terminal, kernel: str, gray: bool, alpha: bool, deep: bool
) -> None:
    save("a.png", gray=gray, alpha=alpha, deep=deep)
    said = terminal("a.png", "--kernel", kernel, *SHORT)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("a.png (22x18) -> a_x2.png (44x36), ")
    result = read_picture(Path("a_x2.png"))
    assert (result.height, result.width, result.color.shape[2]) == (36, 44, 1 if gray else 3)
    assert (result.depth, result.alpha is not None) == (16 if deep else 8, alpha)


@pytest.mark.parametrize(
    ("arguments", "target", "size"),
    [
        (("-s", "4"), "a_x4.png", (88, 72)),
        (("-s", "1.5"), "a_x1.5.png", (33, 27)),
        (("--width", "60"), "a_w60.png", (60, 49)),
        (("-o", "deep/b.webp", "--quality", "80"), "deep/b.webp", (44, 36)),
        (("--suffix", "_own", "--format", "tiff", "--depth", "16"), "a_own.tif", (44, 36)),
        (("--tile", "16", "--tile-pad", "4", "--half", "--device", "cpu"), "a_x2.png", (44, 36)),
        (("--fp32", "--threads", "1", "--compare", "--alpha-upsampler", "bicubic"), "a_x2_compare.png", (96, 68)),
    ],
)
def test_the_options_of_pretrained_networks_work(
    terminal: Terminal, kernel: str, arguments: tuple[str, ...], target: str, size: tuple[int, int]
) -> None:
    save("a.png")
    said = terminal("a.png", "--kernel", kernel, *SHORT, *arguments)
    assert said.code == 0, said.err
    result = read_picture(Path(target))
    assert (result.width, result.height) == size


def test_the_scale_is_the_kernels_own(terminal: Terminal) -> None:
    save("a.png", 33, 34)
    write_kernel(Path("four.json"), bicubic(4))
    assert terminal("a.png", "--kernel", "four.json", "--iterations", "1").code == 0
    result = read_picture(Path("a_x4.png"))
    assert (result.width, result.height) == (136, 132)


def test_the_result_looks_like_the_picture(terminal: Terminal, kernel: str) -> None:
    save("a.png", 40, 40)
    assert terminal("a.png", "--kernel", kernel, "--iterations", "30").code == 0
    color = torch.from_numpy(read_picture(Path("a.png")).color.astype(np.float32)).permute(2, 0, 1)
    wanted = resize(color, (80, 80)).permute(1, 2, 0).numpy()
    assert np.abs(read_picture(Path("a_x2.png")).color - wanted).mean() < 8


def test_the_seed_decides(terminal: Terminal, kernel: str) -> None:
    save("a.png")
    for name, seed in (("1.png", "5"), ("2.png", "5"), ("3.png", "6")):
        assert terminal("a.png", "--kernel", kernel, *SHORT, "--seed", seed, "-o", name, "-q").out == ""
    first, again, other = (Path(name).read_bytes() for name in ("1.png", "2.png", "3.png"))
    assert first == again
    assert first != other


def test_a_folder_goes_on_after_a_picture_too_small_to_learn_from(terminal: Terminal, kernel: str) -> None:
    save("in/a.png")
    save("in/b.png", 10, 30)
    save("in/c.png", gray=True)
    said = terminal("in", "--kernel", kernel, *SHORT, "--json")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 1
    assert sorted((Path(line["source"]).name, line["status"], line["model"]) for line in lines) == [
        ("a.png", "done", "zssr"),
        ("b.png", "failed", None),
        ("c.png", "done", "zssr"),
    ]
    errors = [line["error"] for line in lines if "error" in line]
    assert errors == [
        "in/b.png: A picture of 30x10 pixels is too small to learn from. With this kernel it takes 16x16."
    ]
    assert sorted(path.name for path in Path("in_x2").glob("*.png")) == ["a.png", "c.png"]


def test_an_animation_has_one_network(terminal: Terminal, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = tuple(painted(seed, 18, 22) for seed in range(3))
    write_image(Animation(frames, (100, 100, 100), 0), Path("a.png"), WriteOptions(by_name("png")))
    trained = []
    fit = zssr.fit

    def counted(image: torch.Tensor, *rest: Any, **options: Any) -> ZeroShotNetwork:
        trained.append(image)
        return fit(image, *rest, **options)

    monkeypatch.setattr(zssr, "fit", counted)
    assert terminal("a.png", "--kernel", kernel, *SHORT).code == 0
    result = read_image(Path("a_x2.png"))
    assert isinstance(result, Animation)
    assert [(frame.width, frame.height) for frame in result.frames] == [(44, 36)] * 3
    assert len(trained) == 1


def test_an_impossible_size_is_refused_before_the_training(
    terminal: Terminal, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("a.png")
    monkeypatch.setattr(zssr, "fit", None)
    said = terminal("a.png", "--kernel", kernel, "--width", "2000")
    assert said.code == 2
    assert "Factors from 0.1 to 32 are possible." in said.err


def test_a_kernel_of_scale_one_is_refused(terminal: Terminal) -> None:
    save("a.png")
    Path("blur.json").write_text(json.dumps({"scale": 1, "kernel": bicubic(2).values.tolist()}))
    said = terminal("a.png", "--kernel", "blur.json")
    assert said.code == 2
    assert "blur.json says that its scale is 1." in said.err


def test_results_that_exist_stay(terminal: Terminal, kernel: str) -> None:
    save("a.png")
    Path("a_x2.png").write_bytes(b"mine")
    said = terminal("a.png", "--kernel", kernel, *SHORT)
    assert said.code != 0
    assert "--overwrite" in said.err
    assert Path("a_x2.png").read_bytes() == b"mine"
    assert terminal("a.png", "--kernel", kernel, *SHORT, "--overwrite").code == 0
    assert read_picture(Path("a_x2.png")).width == 44


def test_a_dry_run_trains_nothing(terminal: Terminal, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    save("a.png")
    monkeypatch.setattr("upscale_cli.zero_shot.zssr.fit", None)
    said = terminal("a.png", "--kernel", kernel, "--zssr", "--dry-run")
    assert (said.code, said.out) == (0, "a.png -> a_x2.png, 22x18 to 44x36\n")
    assert "Network: zssr, 1 pass.\nA network is trained on each picture; docs/zssr.md says how long" in said.err
    assert not Path("a_x2.png").exists()


def test_the_training_is_reported_in_a_log(terminal: Terminal, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "LINE_EVERY", 0.0)
    save("a.png")
    said = terminal("a.png", "--kernel", kernel, "--iterations", "5")
    lines = re.findall(r"a\.png: (\d+)%, iteration (\d)/5, loss (\d\.\d+)", said.err)
    assert [(share, iteration) for share, iteration, _ in lines] == [
        ("18", "1"),
        ("36", "2"),
        ("54", "3"),
        ("72", "4"),
        ("90", "5"),
    ]
    assert all(0 < float(loss) < 2 for _, _, loss in lines)


def test_a_bar_shows_iteration_loss_and_rate(terminal: Terminal, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar, "tqdm", partial(tqdm, mininterval=0))
    save("a.png")
    screen = Screen(monkeypatch, 120)
    assert terminal("a.png", "--kernel", kernel, "--iterations", "4").code == 0
    lines = "\n".join(screen.frames())
    shown = re.findall(r"a\.png +(\d+)%.*iteration (\d)/4, loss 0\.\d{4}, learning rate 1e-03", lines)
    assert shown[:4] == [("22", "1"), ("45", "2"), ("68", "3"), ("90", "4")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-m", "lite-x4", "--zssr"), "-m chooses a pretrained network, and --zssr trains one"),
        (("--alpha", "0.5", "--fast"), "--alpha chooses a pretrained network, and --fast trains one"),
        (("-dn", "0.5", "--seed", "1"), "--denoise chooses a pretrained network, and --seed trains one"),
        (("--tta", "--zssr"), "Leave out --tta."),
    ],
)
def test_what_chooses_a_pretrained_network_is_refused(
    terminal: Terminal, kernel: str, arguments: tuple[str, ...], told: str
) -> None:
    save("a.png")
    said = terminal("a.png", "--kernel", kernel, *arguments)
    assert said.code == 2
    assert told in said.err
    assert said.err.count("\n") == 1
    assert not Path("a_x2.png").exists()


@pytest.mark.parametrize(("option", "value"), [("--iterations", "5"), ("--seed", "1")])
def test_what_needs_a_kernel_is_refused_without(terminal: Terminal, option: str, value: str) -> None:
    save("a.png")
    said = terminal("a.png", option, value)
    assert said.code == 2
    assert f"{option} belongs to the training of a network on the picture itself. Add --kernel FILE" in said.err


def nonsense() -> dict[str, NDArray[np.float64]]:
    ones = np.ones((5, 5))
    return {
        "wide": np.ones((5, 7)),
        "flat": np.ones(25),
        "negative": -ones,
        "nan": ones * np.nan,
        "small": np.ones((2, 2)),
    }


@pytest.mark.parametrize("kind", nonsense())
def test_a_file_that_is_no_kernel_is_refused(terminal: Terminal, kind: str) -> None:
    save("a.png")
    np.save("kernel.npy", nonsense()[kind])
    said = terminal("a.png", "--kernel", "kernel.npy")
    assert said.code == 3
    assert said.err.startswith("Error: kernel.npy is not a kernel: ")
    assert said.err.count("\n") == 1


def test_a_kernel_that_is_not_there_is_refused(terminal: Terminal) -> None:
    save("a.png")
    said = terminal("a.png", "--kernel", "none.npy")
    assert said.code == 3
    assert "Cannot read none.npy" in said.err

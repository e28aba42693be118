"""``upscale run --kernel`` without training: networks that are given the kernel, measured or from a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from terminal import Terminal

from upscale_cli import Upscaler
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.kernels.blur_kernel import applied_twice, bicubic, centred
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.files import write_kernel
from upscale_cli.kernels.gaussian import gaussian
from upscale_cli.levels import to_pixels
from upscale_cli.metrics import psnr

WIDE = centred(gaussian(np.array([[3.0, 0.5], [0.5, 2.0]]), 2), 2)


def natural(side: int, seed: int = 0) -> torch.Tensor:
    """Return a plane (1, 1, side, side) in [0, 1] of edges: overlapping boxes, as the world has them."""
    rng, plane = np.random.default_rng(seed), np.full((side, side), 0.5)
    for _ in range(1500):
        top, left = rng.integers(0, side, 2)
        height, width = (rng.pareto(1.5, 2) * 4 + 2).astype(int)
        plane[top : top + height, left : left + width] = rng.random()
    return torch.from_numpy(plane)[None, None]


def blurred(scale: int = 2, side: int = 256) -> tuple[Pixels, Pixels]:
    """Return HR and LR by a wide kernel, uint8 (H, W, 1)."""
    hr = natural(side)
    kernel = WIDE if scale == 2 else applied_twice(WIDE)
    return to_pixels(hr, np.uint8), to_pixels(downsample(hr, kernel, scale), np.uint8)


def save(pixels: Pixels, name: str = "a.png") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_image(Picture(pixels), Path(name), WriteOptions(by_name("png")))


@pytest.mark.parametrize("scale", [2, 4])
def test_a_blurred_picture_comes_nearer_to_what_it_was(terminal: Terminal, scale: int) -> None:
    hr, lr = blurred(scale, 128 * scale)
    save(lr)
    write_kernel(Path("k.json"), WIDE if scale == 2 else applied_twice(WIDE))
    arguments = {"auto": ("--kernel", "auto"), "file": ("--kernel", "k.json"), "sharp": ("-m", f"lite-x{scale}")}
    reached = {}
    for name, chosen in arguments.items():
        assert terminal("a.png", "-s", str(scale), *chosen, "-o", f"{name}.png", "-q").code == 0
        reached[name] = psnr(read_picture(Path(f"{name}.png")).color[8:-8, 8:-8], hr[8:-8, 8:-8])
    assert reached["auto"] > reached["sharp"] + 1
    assert reached["file"] > reached["sharp"] + 1


def test_a_folder_is_measured_picture_by_picture_and_widths_are_said(terminal: Terminal) -> None:
    save(blurred()[1], "in/blurred.png")
    save(to_pixels(downsample(natural(256, 1), bicubic(2), 2), np.uint8), "in/sharp.png")
    save(blurred()[1][:40, :40], "in/small.png")
    said = terminal("in", "-s", "2", "--kernel", "auto", "--json")
    assert said.code == 0
    rows = {Path(row["source"]).stem: row for row in map(json.loads, said.out.splitlines())}
    assert rows["blurred"]["kernel"] == pytest.approx([0.92, 0.64], abs=0.2)  # half of sqrt(3.2), sqrt(1.8)
    assert rows["sharp"]["kernel"][0] < 0.6
    assert "kernel" not in rows["small"]
    assert "only 40x40 pixels" in said.err
    assert "Bicubic downsampling is assumed." in said.err


def test_a_sharp_picture_gets_the_network_for_sharp_ones(terminal: Terminal) -> None:
    save(to_pixels(downsample(natural(128, 1), bicubic(2), 2), np.uint8))
    write_kernel(Path("k.json"), bicubic(2))
    for name, chosen in (("given", ("--kernel", "k.json")), ("plain", ("-m", "lite-x2"))):
        assert terminal("a.png", "-s", "2", *chosen, "-o", f"{name}.png", "-q").code == 0
    assert (read_picture(Path("given.png")).color == read_picture(Path("plain.png")).color).all()


def test_the_network_of_a_picture_is_written_for_other_tools(terminal: Terminal) -> None:
    save(blurred()[1])
    assert terminal("a.png", "-s", "2", "--kernel", "auto", "--fp32", "-o", "own.png", "-q").code == 0
    for file in ("net.safetensors", "net.pth"):
        assert terminal("kernel", "a.png", "--network", "-o", file).code == 0
        assert "compact" in terminal("models", "info", f"./{file}").out
        assert terminal("a.png", "-m", f"./{file}", "--fp32", "-o", "other.png", "--overwrite", "-q").code == 0
        own, other = (read_picture(Path(name)).color.astype(int) for name in ("own.png", "other.png"))
        assert np.abs(own - other).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a.png", "--kernel", "auto", "-m", "lite-x4"), "lite-x4 takes no notice of a kernel."),
        (
            ("a.png", "--kernel", "auto", "--restore"),
            "--restore chooses a network that takes no notice of a kernel. Give one of them.",
        ),
        (("kernel", "a.png", "--network", "--runs", "2"), "--network writes no kernel, so --runs would do nothing."),
        (("kernel", "a.png", "a.png", "--network"), "--network is for one picture."),
        (("kernel", "a.png", "--network", "-o", "net.txt"), "net.txt has no extension of a weights file."),
    ],
)
def test_what_does_not_go_together_is_refused(terminal: Terminal, arguments: tuple[str, ...], sentence: str) -> None:
    save(blurred()[1])
    said = terminal(*arguments)
    assert said.code == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_the_python_api_takes_kernels_too() -> None:
    hr, lr = blurred()
    blind, plain = Upscaler(kernel="auto", scale=2, device="cpu"), Upscaler("lite-x2", device="cpu")
    assert blind.name == "blind-x2"
    of_blind, of_plain = (psnr(u.upscale(lr)[8:-8, 8:-8], hr[8:-8, 8:-8]) for u in (blind, plain))
    assert of_blind > of_plain + 1


def test_zssr_may_take_a_measured_kernel(terminal: Terminal) -> None:
    save(blurred()[1])
    said = terminal("a.png", "-s", "2", "--kernel", "auto", "--iterations", "2", "--json")
    assert (said.code, json.loads(said.out)["model"]) == (0, "zssr")

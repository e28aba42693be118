"""The networks that come with the package are as good as their records say."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from PIL import Image
from terminal import Terminal

from upscale_cli import Upscaler
from upscale_cli.evaluation import degraded_case
from upscale_cli.images.read import read_picture
from upscale_cli.levels import top
from upscale_cli.metrics import score
from upscale_cli.weights.load import EMBEDDED_FOLDER

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("model", "scale", "name", "least"),
    [("lite-x4", 4, "Set5", 31.35), ("lite-x4", 4, "Set14", 28.01), ("lite-x2", 2, "Set5", 37.2)],
)
def test_the_networks_of_fidelity_keep_their_figures(
    terminal: Terminal, shared: Path, model: str, scale: int, name: str, least: float
) -> None:
    folder = shared / "data" / name / f"x{scale}"
    sets = ("--hr", str(folder / "HR"), "--lr", str(folder / "LR"))
    said = terminal("eval", "--model", model, *sets, "--json", "--device", "cpu")
    mean = json.loads(said.out.splitlines()[-1])
    recorded = json.loads((EMBEDDED_FOLDER / f"{model}.json").read_text(encoding="utf-8"))["figures"][name]
    assert mean["psnr_y"] == pytest.approx(recorded[0], abs=0.006)
    assert mean["ssim_y"] == pytest.approx(recorded[1], abs=1e-4)
    assert mean["psnr_y"] >= least


@pytest.mark.parametrize(("model", "scale"), [("lite-x4", 4), ("lite-x2", 2)])
@pytest.mark.parametrize(("quality", "gain"), [(75, 0.5), (92, 1.0)])
def test_compressed_pictures_come_out_better_than_by_bicubic(
    terminal: Terminal, shared: Path, tmp_path: Path, model: str, scale: int, quality: int, gain: float
) -> None:
    folder = shared / "data" / "Set14" / f"x{scale}"
    for path in sorted((folder / "LR").iterdir()):
        with Image.open(path) as lr:
            lr.convert("RGB").save(tmp_path / f"{path.stem}.jpg", quality=quality)
    said = terminal("eval", "--model", model, "--hr", str(folder / "HR"), "--lr", str(tmp_path), "--json")
    bicubic, network = (json.loads(line)["psnr_y"] for line in said.out.splitlines() if '"mean"' in line)
    recorded = json.loads((EMBEDDED_FOLDER / f"{model}-conditioned.json").read_text(encoding="utf-8"))["figures"]
    assert network == pytest.approx(recorded[f"Set14_q{quality}"][0], abs=0.03)
    assert network >= bicubic + gain


def test_the_restoring_network_is_close_to_its_teacher(shared: Path) -> None:
    teacher = Upscaler(shared / "weights" / "realesr-general-x4v3.pth", denoise=0.3, device="cpu")
    pictures = sorted((shared / "data" / "BSD100" / "x4" / "HR").iterdir())[:10]
    cases = [degraded_case(path, 4, [0, number]) for number, path in enumerate(pictures)]
    taught = [(case.lr, teacher.upscale(case.lr)) for case in cases]

    def closeness(model: str) -> float:
        upscaler = Upscaler(model, device="cpu")
        return fmean(score(upscaler.upscale(lr), sr, 4).psnr_y for lr, sr in taught)

    assert closeness("lite-x4-restore") >= closeness("lite-x4") + 1.0


def test_the_restoring_network_keeps_brightness(shared: Path) -> None:
    upscaler = Upscaler("lite-x4-restore", device="cpu")
    data = shared / "data"
    for path in sorted([*(data / "photos").iterdir(), *(data / "BSD100" / "x4" / "LR").glob("*0.png")]):
        color = read_picture(path).color
        shift = upscaler.upscale(color).mean((0, 1)) - color.mean((0, 1))
        assert np.abs(shift).max() * 255 / top(color.dtype) < 0.2, path

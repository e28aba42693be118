"""The networks that come with the package are as good as their records say."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest
from terminal import Terminal

from upscale_cli import Upscaler
from upscale_cli.evaluation import degraded_case
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


def test_the_restoring_network_is_close_to_its_teacher(shared: Path) -> None:
    teacher = Upscaler(shared / "weights" / "realesr-general-x4v3.pth", device="cpu")
    pictures = sorted((shared / "data" / "BSD100" / "x4" / "HR").iterdir())[:10]
    cases = [degraded_case(path, 4, [0, number]) for number, path in enumerate(pictures)]
    taught = [(case.lr, teacher.upscale(case.lr)) for case in cases]

    def closeness(model: str) -> float:
        upscaler = Upscaler(model, device="cpu")
        return fmean(score(upscaler.upscale(lr), sr, 4).psnr_y for lr, sr in taught)

    assert closeness("lite-x4-restore") >= closeness("lite-x4") + 1.0

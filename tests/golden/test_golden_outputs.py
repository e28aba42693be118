"""What independent programs make of real pictures with real weights: ours must agree within one level of 255."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from upscale_cli.images.picture import Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.upscaling.upscaler import Upscaler
from upscale_cli.weights.load import load
from upscale_cli.weights.mixture import mix
from upscale_cli.weights.state_dict import save_state

pytestmark = pytest.mark.shared

REAL = ["realesr-general-x4v3", "realesr-general-wdn-x4v3", "realesr-animevideov3", "srgan_x2", "srgan_x4", "srgan_x8"]
SMALL = ["x1", "x2", "x4", "x4_esrgan", "x4_first_generation", "x4_openmmlab"]
ARCHITECTURES = [
    "dat_light_x2",
    "dat_x4",
    "hat_x4",
    "mosr_x2",
    "mosr_x4_dys",
    "plksr_x4",
    "rcan_x2_unshuffle",
    "rcan_x4",
    "realplksr_x2_dysample",
    "realplksr_x4",
    "span_x2_norm",
    "span_x4",
    "swinir_x2_lightweight",
    "swinir_x4_classical",
    "swinir_x4_real",
]
X4_LAYOUTS = ["x4", "x4_esrgan", "x4_first_generation", "x4_openmmlab"]


def largest_difference(model: Path, picture: Path, expected: Path, tile: int = 0, part: int = 1000) -> int:
    """In levels of 255; ``part``: of how many rows and columns from the top left."""
    upscaler = Upscaler(model, device="cpu", tile=tile)
    scale, seen = upscaler.spec.scale, part + upscaler.spec.receptive_radius
    result = upscaler.upscale(read_picture(picture).color[:seen, :seen], scale=scale)
    return difference(result[: scale * part, : scale * part], expected)


def difference(result: Pixels, expected: Path) -> int:
    """The largest one, in levels of 255; ``result`` may be a part from the top left."""
    golden = read_picture(expected).color[: result.shape[0], : result.shape[1]]
    return int(np.abs(result.astype(int) - golden.astype(int)).max())


@pytest.mark.parametrize("picture", ["photo", "cartoon"])
@pytest.mark.parametrize("name", REAL)
def test_real_networks(shared: Path, name: str, picture: str) -> None:
    golden = shared / "golden"
    weights = shared / "weights" / f"{name}.pth"
    part = 48 if name == "srgan_x8" else 1000  # the whole takes half a minute
    assert largest_difference(weights, golden / f"{picture}.png", golden / f"{picture}_{name}.png", part=part) <= 1


@pytest.mark.parametrize("tile", [0, 24])
@pytest.mark.parametrize("name", SMALL)
def test_rrdbnet_in_every_layout_and_tiled(shared: Path, name: str, tile: int) -> None:
    golden = shared / "golden"
    expected = golden / f"small_rrdb_{name[:2]}.png"
    assert largest_difference(golden / f"rrdb_{name}.pth", golden / "small.png", expected, tile) <= 1


@pytest.mark.parametrize("layout", X4_LAYOUTS)
def test_networks_interpolate_across_layouts(shared: Path, layout: str, tmp_path: Path) -> None:
    golden = shared / "golden"
    a, b = load(golden / f"rrdb_{layout}.pth"), load(golden / "rrdb_x4_b.pth")
    mixed = tmp_path / "mixed.safetensors"
    save_state(mixed, mix([a.tensors, b.tensors], [0.2, 0.8]), {})
    assert largest_difference(mixed, golden / "small.png", golden / "small_rrdb_x4_interp0.8.png") <= 1


@pytest.mark.parametrize("picture", ["photo", "cartoon"])
def test_half_the_denoising_of_a_file_with_its_partner_beside_it(
    shared: Path, picture: str, terminal: Terminal
) -> None:
    golden, written = shared / "golden", Path("enlarged.png")
    model = shared / "weights" / "realesr-general-x4v3.pth"
    options = ["--fp32", "--device", "cpu", "-o", str(written)]
    said = terminal(str(golden / f"{picture}.png"), "-m", str(model), "-dn", "0.5", *options)
    assert said.code == 0, said.err
    assert difference(read_picture(written).color, golden / f"{picture}_realesr-general-dn0.5.png") <= 1


@pytest.mark.parametrize("tile", [0, 48])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_in_the_layouts_of_the_wild(shared: Path, name: str, tile: int, terminal: Terminal) -> None:
    golden, written = shared / "golden", Path("enlarged.png")
    model, expected = (golden / "architectures" / file for file in (f"{name}.pth", f"small_{name}.png"))
    options = ["--fp32", "--tile", str(tile), "--device", "cpu", "-o", str(written)]
    said = terminal(str(golden / "small.png"), "-m", str(model), "-s", name.split("_x")[1][0], *options)
    assert said.code == 0, said.err
    assert difference(read_picture(written).color, expected) <= 1


def test_another_networks_picture_is_not_within_one_level(shared: Path) -> None:
    golden = shared / "golden"
    weights = shared / "weights" / "realesr-general-x4v3.pth"
    expected = golden / "photo_realesr-general-wdn-x4v3.png"
    assert largest_difference(weights, golden / "photo.png", expected) > 1

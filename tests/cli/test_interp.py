"""``upscale interp``: mixes as files, mixes as pictures, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from terminal import Terminal

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.weights.cache import sha256_of
from upscale_cli.weights.state_dict import open_state, save_state

COMPACT = {"features": 4, "convolutions": 1}
X4_LAYOUTS = ["x4", "x4_esrgan", "x4_first_generation", "x4_openmmlab"]


def network(name: str, seed: int, scale: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state = build(NetworkSpec("compact", scale, 3, 3, 3, 1, COMPACT)).state_dict()
    state = {key: tensor.to(dtype) for key, tensor in state.items()}
    save_state(Path(name), state, {})
    return state


def draw(name: str, height: int, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    write_image(Picture(pixels), Path(name), WriteOptions(by_name("png")))


@pytest.fixture
def pair(terminal: Terminal) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    return network("a.pth", 1), network("b.safetensors", 2)


@pytest.mark.parametrize("target", ["mixed.safetensors", "mixed.pth"])
def test_a_mix_is_written_and_runs(terminal: Terminal, pair: tuple[dict[str, torch.Tensor], ...], target: str) -> None:
    assert terminal("interp", "a.pth", "b.safetensors", "--alpha", "0.8", "-o", target).code == 0
    mixed = open_state(Path(target)).tensors
    assert all(torch.allclose(mixed[key], 0.2 * pair[0][key] + 0.8 * pair[1][key]) for key in pair[0])
    draw("p.png", 6, 5)
    assert terminal("p.png", "-m", target, "-s", "2").code == 0


def test_where_a_mix_comes_from_is_in_its_file(terminal: Terminal, pair: object) -> None:
    assert "interp_08.safetensors" in terminal("interp", "a.pth", "b.safetensors", "--alpha", "0.8").out
    facts = open_state(Path("interp_08.safetensors")).facts
    assert facts["alpha"] == "0.8"
    assert (facts["a sha256"], facts["b sha256"]) == (sha256_of(Path("a.pth")), sha256_of(Path("b.safetensors")))
    told = terminal("models", "info", "interp_08.safetensors").out
    assert "0.2 of a" in told
    assert "0.8 of b" in told


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_ends_are_the_networks_byte_for_byte(terminal: Terminal, dtype: torch.dtype) -> None:
    states = network("a.safetensors", 1, dtype=dtype), network("b.safetensors", 2, dtype=dtype)
    for alpha, expected in zip(("0", "1"), states, strict=True):
        terminal("interp", "a.safetensors", "b.safetensors", "--alpha", alpha, "-o", "m.safetensors", "--overwrite")
        mixed = open_state(Path("m.safetensors")).tensors
        assert all(torch.equal(mixed[key], expected[key]) and mixed[key].dtype == dtype for key in expected)


def test_several_networks_and_chosen_layers(terminal: Terminal, pair: tuple[dict[str, torch.Tensor], ...]) -> None:
    third = network("c.pth", 3)
    shares = ("a.pth=0.5", "b.safetensors=0.3", "c.pth=0.2")
    assert terminal("interp", "--mix", *shares, "--layers", "body.0.*", "-o", "m.pth").code == 0
    mixed = open_state(Path("m.pth")).tensors
    key = "body.0.weight"
    assert torch.allclose(mixed[key], 0.5 * pair[0][key] + 0.3 * pair[1][key] + 0.2 * third[key])
    assert torch.equal(mixed["body.2.weight"], pair[0]["body.2.weight"])


def test_batchnorm_statistics_are_mixed_and_counters_kept(terminal: Terminal) -> None:
    sizes = {"features": 4, "blocks": 1, "doublings": 1, "slopes": 1, "tanh": 0}
    for seed, name in enumerate(("a.pth", "b.pth")):
        state = build(NetworkSpec("srresnet", 2, 3, 3, 10, 1, sizes)).state_dict()
        state["blocks.0.bn1.running_mean"] += seed
        state["blocks.0.bn1.num_batches_tracked"] += 5 + seed
        save_state(Path(name), state, {})
    assert terminal("interp", "a.pth", "b.pth", "--alpha", "0.25", "-o", "m.pth").code == 0
    mixed = open_state(Path("m.pth")).tensors
    assert mixed["blocks.0.bn1.running_mean"].tolist() == [0.25] * 4
    assert mixed["blocks.0.bn1.num_batches_tracked"].item() == 5


def test_an_extrapolation_is_made_with_a_warning(terminal: Terminal, pair: object) -> None:
    said = terminal("interp", "a.pth", "b.safetensors", "--alpha", "1.5", "-o", "m.pth")
    assert (said.code, "extrapolation" in said.err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a.pth", "b.safetensors"], 2, "Exactly one of --alpha, --mix and --sweep"),
        (["a.pth", "b.safetensors", "--alpha", "1", "--sweep", "0,1"], 2, "Exactly one of"),
        (["a.pth", "--alpha", "0.5"], 2, "takes two networks, not 1"),
        (
            ["a.pth", "x4.pth", "--alpha", "0.5"],
            5,
            "a is compact x2 and x4 is compact x4: they cannot be mixed (tensor",
        ),
        (["a.pth", "wide.pth", "--alpha", "0.5"], 5, "tensor body.0.weight is (4, 3, 3, 3) in one and (5, 3, 3, 3)"),
        (["a.pth", "p.png", "--alpha", "0.5"], 5, "p.png"),
        (["a.pth", "gone.pth", "--alpha", "0.5"], 5, "Cannot read the weights gone.pth"),
        (["--mix", "a.pth"], 2, "is no NAME=SHARE"),
        (["--mix", "a.pth=1", "b.safetensors=1"], 2, "sum to 2, not to 1"),
        (["a.pth", "b.safetensors", "--alpha", "0.5", "--layers", "nothing.*"], 5, "No tensor's name matches"),
        (["a.pth", "b.safetensors", "--alpha", "0.5", "-o", "a.pth"], 4, "exists already"),
        (["a.pth", "b.safetensors", "--alpha", "0.5", "-o", "m.png"], 2, "no extension of a weights file"),
        (["a.pth", "b.safetensors", "--alpha", "0.5", "--crop", "0,0,1,1"], 2, "works with --sweep only"),
        (["a.pth", "b.safetensors", "--sweep", "0,1"], 2, "needs a picture"),
        (["a.pth", "b.safetensors", "--sweep", "0,x", "--image", "p.png"], 2, "no list of alphas"),
        (["a.pth", "b.safetensors", "--sweep", "0", "--image", "p.png", "--crop", "0,0,99,1"], 2, "not inside 5x6"),
        (["a.pth", "b.safetensors", "--sweep", "0", "--image", "p.png", "--hr", "p.png"], 2, "HR picture is 5x6"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    terminal: Terminal, pair: object, arguments: list[str], code: int, words: str
) -> None:
    network("x4.pth", 1, scale=4)
    wide = build(NetworkSpec("compact", 2, 3, 3, 3, 1, COMPACT | {"features": 5}))
    save_state(Path("wide.pth"), wide.state_dict(), {})
    draw("p.png", 6, 5)
    before = sorted(path.name for path in Path().iterdir() if path.name != "cache")
    said = terminal("interp", *arguments)
    assert (said.code, words in said.err) == (code, True), said
    assert len(said.err.strip().splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir() if path.name != "cache") == before


def test_a_sweep_is_one_sheet_of_unscaled_crops(terminal: Terminal, pair: object) -> None:
    draw("p.png", 20, 30)
    arguments = ["--sweep", "0,0.5,1,1.5", "--image", "p.png", "--crop", "2,3,10,8"]
    said = terminal("interp", "a.pth", "b.safetensors", *arguments)
    assert (said.code, "extrapolate" in said.err) == (0, True)
    sheet = read_picture(Path("p_sweep.png"))
    assert (sheet.width, sheet.height) == (3 * (20 + 8) + 8, 2 * (16 + 32 + 8) + 8)
    terminal("p.png", "-m", "a.pth", "-s", "2", "-o", "whole.png")
    first_cell = sheet.color[8 : 8 + 16, 8 : 8 + 20]
    assert np.array_equal(first_cell, read_picture(Path("whole.png")).color[6:22, 4:24])


def test_a_sweep_against_hr_prints_and_plots_its_scores(terminal: Terminal, pair: object) -> None:
    pytest.importorskip("matplotlib")
    draw("p.png", 20, 30)
    draw("hr.png", 40, 60)
    said = terminal("interp", "a.pth", "b.safetensors", "--sweep", "0,1", "--image", "p.png", "--hr", "hr.png")
    assert said.code == 0, said.err
    assert [line.split()[1] for line in said.out.splitlines()[:2]] == ["0", "1"]
    assert read_picture(Path("p_sweep_plot.png")).width == 900


def test_offline_no_other_pair_is_written_under_the_name_of_the_usual_one(terminal: Terminal) -> None:
    said = terminal("interp", "--alpha", "0.8")
    assert said.code == 6
    assert "Error: esrgan-psnr-x4 is not in the cache" in said.err
    assert said.err.endswith("Go online, or name two networks, such as lite-x4 and lite-x4-restore.\n")
    assert not Path("interp_08.safetensors").exists()
    draw("p.png", 6, 5)
    said = terminal("interp", "--sweep", "0.8", "--image", "p.png")  # a picture, whose networks are printed
    assert (said.code, "Warning: Mixing the embedded networks lite-x4 and lite-x4-restore" in said.err) == (0, True)
    assert said.out == "lite-x4 to lite-x4-restore -> p_sweep.png\n"


@pytest.mark.shared
@pytest.mark.parametrize(("first", "second"), list(itertools.product(X4_LAYOUTS, ["x4_b"])))
def test_networks_in_every_layout_mix_to_the_golden_picture(
    terminal: Terminal, shared: Path, first: str, second: str
) -> None:
    golden = shared / "golden"
    paths = [str(golden / f"rrdb_{name}.pth") for name in (first, second)]
    assert terminal("interp", *paths, "--alpha", "0.8", "-o", "m.safetensors").code == 0
    assert terminal(str(golden / "small.png"), "-m", "m.safetensors", "-o", "a.png", "--device", "cpu").code == 0
    expected = read_picture(golden / "small_rrdb_x4_interp0.8.png").color
    assert np.abs(read_picture(Path("a.png")).color.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.shared
@pytest.mark.parametrize("picture", ["photo", "cartoon"])
def test_half_the_denoising_is_the_golden_picture(terminal: Terminal, shared: Path, picture: str) -> None:
    golden, weights = shared / "golden", shared / "weights"
    pair = [str(weights / f"realesr-general-{name}.pth") for name in ("wdn-x4v3", "x4v3")]
    assert terminal("interp", *pair, "--alpha", "0.5", "-o", "m.pth").code == 0
    assert terminal(str(golden / f"{picture}.png"), "-m", "m.pth", "-o", "a.png", "--device", "cpu").code == 0
    expected = read_picture(golden / f"{picture}_realesr-general-dn0.5.png").color
    assert np.abs(read_picture(Path("a.png")).color.astype(int) - expected.astype(int)).max() <= 1

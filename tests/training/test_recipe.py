"""Recipes: the papers' figures, and nothing that is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale_cli import networks
from upscale_cli.errors import UsageError
from upscale_cli.networks import ARCHITECTURES
from upscale_cli.training.recipe import Network
from upscale_cli.training.recipe_checks import checked
from upscale_cli.training.recipe_file import load_recipe, names, public_toml, to_table, to_toml

# From the papers: (architecture, patch, batch, rate, iterations, losses with their weights, game).
PAPERS = {
    "srresnet": ("srresnet", 96, 16, 1e-4, 1_000_000, {"pixel": 1}),
    "srgan": ("srresnet", 96, 16, 1e-4, 200_000, {"perceptual": 0.006, "adversarial": 1e-3}),
    "msrresnet": ("msrresnet", 128, 16, 2e-4, 1_000_000, {"pixel": 1}),
    "msrgan": ("msrresnet", 128, 16, 1e-4, 400_000, {"pixel": 1e-2, "perceptual": 1, "adversarial": 5e-3}),
    "esrgan-psnr": ("rrdbnet", 128, 16, 2e-4, 1_000_000, {"pixel": 1}),
    "esrgan": ("rrdbnet", 128, 16, 1e-4, 400_000, {"pixel": 1e-2, "perceptual": 1, "adversarial": 5e-3}),
    "realesrnet": ("rrdbnet", 256, 48, 2e-4, 1_000_000, {"pixel": 1}),
    "realesrgan": ("rrdbnet", 256, 48, 1e-4, 400_000, {"pixel": 1, "perceptual": 1, "adversarial": 0.1}),
    "span": ("span", 256, 64, 5e-4, 1_000_000, {"pixel": 1}),
    "enhancenet-e": ("enhancenet", 128, 16, 1e-4, 500_000, {"pixel": 1}),
    "enhancenet-p": ("enhancenet", 128, 16, 1e-4, 500_000, {"perceptual": 1}),
    "enhancenet-pa": ("enhancenet", 128, 16, 1e-4, 500_000, {"perceptual": 1, "adversarial": 1}),
    "enhancenet-pat": ("enhancenet", 128, 16, 1e-4, 500_000, {"perceptual": 1, "adversarial": 1, "texture": 1}),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_recipes_hold_their_papers_figures(name: str) -> None:
    recipe = load_recipe(name)
    losses = {
        key: loss.weight
        for key in ("pixel", "perceptual", "texture", "adversarial")
        if (loss := getattr(recipe, key)) is not None and loss.weight
    }
    data = recipe.data
    found = (recipe.network.architecture, data.hr_patch, data.batch, recipe.optimizer.rate, recipe.schedule.iterations)
    assert (*found, losses) == PAPERS[name]


def test_the_gan_stages_hold_what_is_theirs_alone() -> None:
    esrgan, real, pat = (load_recipe(name) for name in ("esrgan", "realesrgan", "enhancenet-pat"))
    assert esrgan.adversarial is not None
    assert (esrgan.adversarial.kind, esrgan.adversarial.discriminator) == ("relativistic", "vgg")
    assert esrgan.perceptual is not None
    assert esrgan.perceptual.layers == {"conv5_4": 1}
    assert esrgan.schedule.milestones == (50_000, 100_000, 200_000, 300_000)
    assert real.perceptual is not None
    assert real.perceptual.layers == {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1, "conv4_4": 1, "conv5_4": 1}
    assert (real.degradation.kind, real.degradation.pool, real.degradation.sharpen) == ("second-order", 180, True)
    assert (real.run.ema, real.optimizer.betas) == (0.999, (0.9, 0.99))
    assert pat.texture is not None
    assert (pat.texture.patch, list(pat.texture.layers.values())) == (16, [3e-7, 1e-6, 1e-6])
    assert pat.perceptual is not None
    assert pat.perceptual.layers == {"pool2": 0.2, "pool5": 2e-2}


@pytest.mark.parametrize("name", names())
def test_every_recipe_names_its_paper_and_survives_being_written(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert "20" in recipe.paper
    path = tmp_path / f"{name}.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_a_users_file_says_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "esrgan"\n[data]\nbatch = 4\n[perceptual]\nlayers = { relu3_1 = 1 }\n', encoding="utf-8")
    mine, esrgan = load_recipe(path, ["optimizer.rate=5e-5"]), load_recipe("esrgan")
    assert (mine.name, mine.data.batch, mine.optimizer.rate) == ("mine", 4, 5e-5)
    assert mine.perceptual is not None
    assert mine.perceptual.layers == {"relu3_1": 1}
    assert mine.adversarial == esrgan.adversarial


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("data.bach=4", "Did you mean `batch`"),
        ("data.batch=0", "data.batch"),
        ("data.batch=many", "data.batch"),
        ("data.batch=1.5", "data.batch"),
        ("data.hr_patch=130", "no multiple of network.scale"),
        ("network.architecture=unet", "There is no architecture 'unet'. There are: rrdbnet, compact"),
        ("network.growth=8", "The sizes of compact: there is no `growth`. They are: features, blocks."),
        ("network.blocks=many", "The sizes of compact: blocks: Expected `int`, got `str`."),
        ("network.features=0", "The sizes of compact: features: Expected `int` >= 1."),
        ("degradation.kind=kernels", "--kernel"),
        ("degradation.canvas=64", "smaller than data.hr_patch"),
        ("degradation.pool=4", "smaller than the batch"),
        ("pixel.weight=0", "no loss has a weight"),
        ("schedule.kind=steps", "schedule.milestones"),
        ('validation.lr="x"', "needs validation.hr"),
        ('data.lr=["x"]', "0 HR and 1 LR folders"),
        ('data={lr=["x"], on_device=true}', "data.on_device cuts HR pictures alone"),
        ("run={compile=true, cuda_graphs=true}", "exclude each other"),
        ("batch", "sets nothing"),
        ("optimizer.rate=nan", "rate"),
    ],
)
def test_what_is_wrong_is_named(setting: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        load_recipe("compact", [setting])
    assert said in str(error.value)


def test_another_architecture_brings_its_own_sizes() -> None:
    network = load_recipe("compact", ["network.scale=2", "network.blocks=3", "network.architecture=rrdbnet"]).network
    assert network == Network("rrdbnet", 2, sizes={"features": 64, "blocks": 3, "growth": 32})


@pytest.mark.parametrize("name", [architecture.name for architecture in ARCHITECTURES])
def test_every_architecture_can_be_put_into_a_recipe(name: str) -> None:
    recipe = load_recipe("compact", [f"network.architecture={name}"])
    assert list(recipe.network.sizes) == list(networks.named(name).sizes.__struct_fields__)


def test_branches_are_refused_where_there_are_none() -> None:
    assert load_recipe("compact").network.branches is None
    for name in ("compact", "span"):
        assert load_recipe(name, ["network.branches=true"]).network.branches
    with pytest.raises(UsageError, match=r"network\.branches: rrdbnet has none"):
        load_recipe("esrgan", ["network.branches=true"])
    assert load_recipe("esrgan", ["network.branches=false"])


def test_patches_fit_the_windows_of_the_network() -> None:
    with pytest.raises(UsageError, match="hr_patch = 96 is no multiple of 64, as hat needs"):
        load_recipe("compact", ["network.architecture=hat", "data.hr_patch=96"])
    assert load_recipe("compact", ["network.architecture=dat", "data.hr_patch=96"])


def test_recipes_of_the_first_edition_load_whatever_sizes_they_hold() -> None:
    former = {"architecture": "compact", "scale": 4, "features": 64, "blocks": 8, "growth": 32}
    assert checked(to_table(load_recipe("compact")) | {"network": former}, "former") == load_recipe("compact")


def test_patches_must_suit_the_discriminator() -> None:
    with pytest.raises(UsageError, match=r"data\.hr_patch = 100 is no multiple of 8, as unet needs"):
        load_recipe("realesrgan", ["data.hr_patch=100"])


def test_an_unknown_recipe_gets_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean esrgan"):
        load_recipe("ersgan")
    with pytest.raises(UsageError, match="Cannot read the recipe"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[data\n", encoding="utf-8")
    with pytest.raises(UsageError, match="is no TOML"):
        load_recipe(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'base = "mine.toml"', "is its own base"),
        (b'base = "other.toml"', "is its own base"),
        (b'base = "d/../mine.toml"', "is its own base"),
        (b"base = 3", "its base is no text"),
        (b'base = "esrgam"', "Did you mean esrgan"),
        (b"about = " + b"[" * 10_000, "is no TOML"),
        (b"# " + b"x" * 100_000, "larger than 32 KiB"),
        (b"base = 'compact'\nabout = '\xff'", "is no TOML: 'utf-8' codec"),
        (b"base = 'compact'\n[schedule]\niterations = " + b"9" * 5000, "is no TOML"),
        (b'base = "compact"\nname = "../x"', "cannot be that of a folder"),
        (b'base = "compact"\nname = ".."', "cannot be that of a folder"),
        (b'base = "compact"\nname = ""', "cannot be that of a folder"),
        (b'base = "compact"\nstart = "\\u0000"', "a line break or another control character"),
        (b'base = "compact"\nabout = "\\u001b[31m"', "a line break or another control character"),
        (b'base = "compact"\n[network]\nblocks = 1000000', "blocks: Expected `int` <= 512"),
    ],
)
def test_hostile_files_are_refused_in_a_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "other.toml").write_text('base = "mine.toml"', encoding="utf-8")
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(UsageError) as error:
        load_recipe(tmp_path / "mine.toml")
    assert said in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_file_may_begin_with_a_byte_order_mark_and_hold_backslashes(tmp_path: Path) -> None:
    text = """\ufeffbase = "compact"\nabout = 'say "C:\\new"'\n"""
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert load_recipe(tmp_path / "mine.toml").about == 'say "C:\\new"'


def test_published_facts_hold_no_paths() -> None:
    recipe = load_recipe(
        "esrgan", ['data.hr=["/home/me/photos"]', "start=/home/me/x.pth", "perceptual.weights=/a/v.pth"]
    )
    text = public_toml(recipe)
    assert "/home/me" not in text
    assert "/a/" not in text
    assert 'hr = [\n    "photos",\n]' in text

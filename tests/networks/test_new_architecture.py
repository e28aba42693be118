"""What a newcomer adds, one file and one name in ARCHITECTURES, is enough to load, train and enlarge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import painted
from toy import TOY

from upscale_cli import Upscaler, networks
from upscale_cli.errors import UsageError
from upscale_cli.training import loop, setup
from upscale_cli.training.distributed import Team
from upscale_cli.training.recipe_file import load_recipe
from upscale_cli.weights.load import load


@pytest.fixture(autouse=True)
def _with_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "ARCHITECTURES", (*networks.ARCHITECTURES, TOY))


def train(settings: list[str], photos: Path, folder: Path) -> None:
    own = ["data.hr_patch=32", "data.batch=2", "data.workers=1", "schedule.iterations=2", f'data.hr=["{photos}"]']
    recipe = load_recipe("compact", ["network.architecture=toy", *own, *settings])
    training = setup.prepare(
        recipe, folder, torch.device("cpu"), Team(), lambda name, done, total: None, lambda notice: None
    )
    assert loop.run(training, lambda *_: None, lambda *_: None, lambda: False)


def test_a_new_architecture_is_trained_loaded_and_enlarges(photos: Path, tmp_path: Path) -> None:
    train(["network.scale=2", "network.side=5"], photos, tmp_path)
    weights = load(tmp_path / "last.safetensors")
    assert weights.spec == TOY.sizes(side=5).spec(2)
    assert all(tensor.count_nonzero() for tensor in weights.tensors.values())  # it began with zeros
    picture = painted(1, 40, 37).color
    assert np.array_equal(
        Upscaler(tmp_path / "last.safetensors", device="cpu").upscale(picture),
        Upscaler(tmp_path / "last.pt", device="cpu", tile=16).upscale(picture),
    )


def test_its_sizes_are_checked_by_itself() -> None:
    assert load_recipe("compact", ["network.architecture=toy"]).network.sizes == {"side": 3}
    with pytest.raises(UsageError, match="The sizes of toy: there is no `blocks`"):
        load_recipe("compact", ["network.architecture=toy", "network.blocks=2"])
    with pytest.raises(UsageError, match="toy needs an odd side"):
        load_recipe("compact", ["network.architecture=toy", "network.side=4"])

"""Crops that are cut on a device: those that the CPU would cut there, mirrored margins included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import painted, save

from upscale_cli import device as devices
from upscale_cli.errors import InputError, UsageError
from upscale_cli.images.crops import oriented, window
from upscale_cli.notices import Notice, ignore
from upscale_cli.orientation import ORIENTATIONS
from upscale_cli.training import pictures
from upscale_cli.training.distributed import Team
from upscale_cli.training.on_device import DevicePictures
from upscale_cli.training.patches import Batch, Patches
from upscale_cli.training.recipe import Data
from upscale_cli.training.recipe_file import load_recipe

CPU = torch.device("cpu")
PICTURES = [painted(seed, height, width).color for seed, height, width in ((1, 20, 28), (2, 16, 12))]


def crops(data: Data, side: int = 4, margin: int = 2, scale: int = 4) -> torch.Tensor:
    there = DevicePictures(PICTURES, np.array([0.5, 1.0]), CPU)
    return there.crops(np.random.default_rng(1), data, side, margin, scale)


@pytest.mark.parametrize("side", [3, 6])
def test_crops_are_windows_in_all_orientations(side: int) -> None:
    margin, scale = 2, 4
    cut = crops(Data(batch=200), side, margin, scale).numpy()
    known = {}
    for number, picture in enumerate(PICTURES):
        for y in range(max(1, picture.shape[0] // scale - side + 1)):
            for x in range(max(1, picture.shape[1] // scale - side + 1)):
                length = (side + 2 * margin) * scale
                square = window(picture, (y - margin) * scale, (x - margin) * scale, length)
                for orientation in ORIENTATIONS:
                    known[oriented(square, orientation).tobytes()] = (number, y, x, orientation)
    found = [known[crop.tobytes()] for crop in cut]
    assert {orientation for *_, orientation in found} == set(ORIENTATIONS)
    assert {number for number, *_ in found} == {0, 1}
    assert max(y for _, y, *_ in found) == 20 // scale - min(side, 5)


@pytest.mark.parametrize(("rotations", "flips", "count"), [(False, False, 1), (True, False, 4), (False, True, 2)])
def test_orientations_are_those_of_the_recipe(rotations: bool, flips: bool, count: int) -> None:
    there = DevicePictures([painted(1, 16, 16).color], np.array([1.0]), CPU)
    data = Data(batch=60, rotations=rotations, flips=flips)
    cut = there.crops(np.random.default_rng(3), data, 4, 0, 4).numpy()
    assert len({crop.tobytes() for crop in cut}) == count


def test_pictures_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda device: 1000)
    with pytest.raises(UsageError, match="training pictures take"):
        crops(Data())


def batches(folder: Path, *settings: str, team: Team = Team(), notify: list[Notice] | None = None) -> list[Batch]:  # noqa: B008  (frozen)
    own = [f'data.hr=["{folder}"]', "data.hr_patch=32", "data.batch=6", "data.on_device=true"]
    recipe = load_recipe("compact", [*own, *settings])
    said = ignore if notify is None else notify.append
    store = pictures.PictureStore(pictures.find(recipe.data), recipe.network.scale, recipe.data, said)
    return list(Patches(recipe, store, (), CPU, team).from_step(0, 3))


def test_batches_follow_from_the_seed_and_differ_between_processes(photos: Path) -> None:
    first, same, other = batches(photos), batches(photos), batches(photos, team=Team(1, 2))
    assert all(torch.equal(a.hr, b.hr) and torch.equal(a.lr, b.lr) for a, b in zip(first, same, strict=True))
    assert first[0].lr.shape == (6, 3, 8, 8)
    assert not torch.equal(first[0].hr, first[1].hr)
    assert not torch.equal(first[0].hr, other[0].hr)


def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    save(painted(1, 40, 48), tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    said: list[Notice] = []
    assert len(batches(tmp_path, notify=said)) == 3
    assert "bad.png" in said[0].text
    (tmp_path / "good.png").write_bytes(b"")
    with pytest.raises(InputError, match="none of the training pictures"):
        batches(tmp_path)

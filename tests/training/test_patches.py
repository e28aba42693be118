"""Patches: the same under the same seed, exact to the picture's edge, and never stopped by one bad file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import painted, save

from upscale_cli.errors import InputError
from upscale_cli.images.picture import Picture
from upscale_cli.kernels.blur_kernel import bicubic
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.notices import Notice, ignore
from upscale_cli.resize import matlab_bicubic
from upscale_cli.training import pictures
from upscale_cli.training.distributed import Team
from upscale_cli.training.patches import Batch, Patches
from upscale_cli.training.recipe import Recipe
from upscale_cli.training.recipe_file import load_recipe

CPU = torch.device("cpu")


def recipe_for(folder: Path, *settings: str) -> Recipe:
    return load_recipe("compact", [f'data.hr=["{folder}"]', "data.hr_patch=32", "data.batch=6", *settings])


def patches(recipe: Recipe, team: Team = Team(), notices: list[Notice] | None = None) -> Patches:  # noqa: B008  (frozen)
    notify = (notices if notices is not None else []).append
    store = pictures.PictureStore(pictures.find(recipe.data), recipe.network.scale, recipe.data, notify)
    return Patches(recipe, store, (), CPU, team)


def batches(recipe: Recipe, first: int, last: int, team: Team = Team()) -> list[Batch]:  # noqa: B008  (frozen)
    return list(patches(recipe, team).from_step(first, last))


def test_batches_follow_from_seed_and_step_alone(photos: Path) -> None:
    recipe = recipe_for(photos)
    through, later = batches(recipe, 0, 5), batches(recipe_for(photos, "data.workers=3", "data.cache=0"), 3, 5)
    assert all(torch.equal(a.hr, b.hr) and torch.equal(a.lr, b.lr) for a, b in zip(through[3:], later, strict=True))
    other = batches(recipe_for(photos, "run.seed=1"), 0, 1)
    assert not torch.equal(through[0].hr, other[0].hr)
    assert not torch.equal(through[0].hr, through[1].hr)


def test_a_team_sees_what_one_process_with_a_larger_batch_sees(photos: Path) -> None:
    (whole,) = batches(recipe_for(photos, "data.batch=12"), 0, 1)
    parts = [batches(recipe_for(photos), 0, 1, Team(rank, 2))[0] for rank in range(2)]
    assert torch.equal(whole.hr, torch.cat([part.hr for part in parts]))
    assert torch.equal(whole.lr, torch.cat([part.lr for part in parts]))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_patches_are_cut_from_the_whole_picture_downsampled(tmp_path: Path, scale: int) -> None:
    """Edges included: the picture is hardly larger than the patch, so most patches touch its border."""
    picture = painted(1, 14 * scale, 13 * scale)
    save(picture, tmp_path / "a.png")
    settings = ["data.rotations=false", "data.flips=false", f"network.scale={scale}", f"data.hr_patch={12 * scale}"]
    whole = torch.from_numpy(picture.color).permute(2, 0, 1)[None].float() / 255
    small = (matlab_bicubic(whole, 1 / scale).clamp(0, 1) * 255).round() / 255
    places = set()
    for batch in batches(recipe_for(tmp_path, *settings), 0, 4):
        for lr, hr in zip(batch.lr, batch.hr, strict=True):
            found = [
                (y, x)
                for y in range(3)
                for x in range(2)
                if torch.equal(hr, whole[0, :, y * scale : (y + 12) * scale, x * scale : (x + 12) * scale])
            ]
            ((y, x),) = found
            assert torch.allclose(lr, small[0, :, y : y + 12, x : x + 12], atol=1e-6)
            places.add((y, x))
    assert len(places) == 6


def test_patches_by_kernels_are_cut_from_the_whole_picture_downsampled(tmp_path: Path) -> None:
    picture, kernel = painted(1, 48, 52), bicubic(4)
    save(picture, tmp_path / "a.png")
    settings = ["data.rotations=false", "data.flips=false", "degradation.kind=kernels", "degradation.kernels=k"]
    recipe = recipe_for(tmp_path, *settings)
    store = pictures.PictureStore(pictures.find(recipe.data), 4, recipe.data, ignore)
    (batch,) = Patches(recipe, store, (kernel,), CPU, Team()).from_step(0, 1)
    whole = torch.from_numpy(picture.color).permute(2, 0, 1)[None].float() / 255
    small = (downsample(whole, kernel, 4).clamp(0, 1) * 255).round() / 255
    for lr, hr in zip(batch.lr, batch.hr, strict=True):
        places = [(y, x) for y in range(5) for x in range(6)]
        ((y, x),) = [(y, x) for y, x in places if torch.equal(hr, whole[0, :, y * 4 :, x * 4 :][:, :32, :32])]
        assert torch.allclose(lr, small[0, :, y : y + 8, x : x + 8], atol=1.01 / 255)
        assert (lr - small[0, :, y : y + 8, x : x + 8]).abs().mean() < 1e-4


def test_noise_by_kernels_is_as_strong_as_stated(tmp_path: Path) -> None:
    save(Picture(np.full((64, 64, 3), 128, np.uint8)), tmp_path / "a.png")
    settings = ["degradation.kind=kernels", "degradation.kernels=k", "degradation.noise=12", "data.batch=300"]
    recipe = recipe_for(tmp_path, *settings)
    store = pictures.PictureStore(pictures.find(recipe.data), 4, recipe.data, ignore)
    (batch,) = Patches(recipe, store, (bicubic(4),), CPU, Team()).from_step(0, 1)
    sigma = (batch.lr * 255).flatten(1).std(1)
    assert 11 < float(sigma.max()) < 13.5
    assert float(sigma.mean()) == pytest.approx(6, abs=1)  # uniform from 0 to 12


def test_all_eight_orientations_occur_and_hr_and_lr_turn_together(tmp_path: Path) -> None:
    save(painted(2, 32, 32), tmp_path / "a.png")
    seen: list[torch.Tensor] = []
    for batch in batches(recipe_for(tmp_path), 0, 12):
        for lr, hr in zip(batch.lr, batch.hr, strict=True):
            expected = (matlab_bicubic(hr[None], 0.25).clamp(0, 1) * 255).round() / 255
            assert torch.allclose(lr, expected[0], atol=1e-6)
            if not any(torch.equal(hr, other) for other in seen):
                seen.append(hr)
    assert len(seen) == 8
    upright = batches(recipe_for(tmp_path, "data.rotations=false"), 0, 6)
    assert len({float(hr[0, 0, 0]) for batch in upright for hr in batch.hr}) == 2


def test_given_lr_pictures_stay_aligned(tmp_path: Path) -> None:
    hr = painted(3, 80, 96)
    save(hr, tmp_path / "hr" / "deep" / "a.png")
    save(Picture(np.ascontiguousarray(hr.color[::4, ::4])), tmp_path / "lr" / "deep" / "ax4.png")
    recipe = recipe_for(tmp_path / "hr", f'data.lr=["{tmp_path / "lr"}"]', "data.rotations=false", "data.flips=false")
    for batch in batches(recipe, 0, 3):
        assert torch.equal(batch.lr, batch.hr[..., ::4, ::4])


def test_pictures_smaller_than_the_patch_are_mirrored(tmp_path: Path) -> None:
    save(painted(4, 20, 24), tmp_path / "a.png")
    (batch,) = batches(recipe_for(tmp_path, "data.rotations=false", "data.flips=false"), 0, 1)
    assert batch.hr.shape == (6, 3, 32, 32)
    assert torch.equal(batch.hr[..., 20:, :], batch.hr[..., 8:20, :].flip(-2))
    assert torch.equal(batch.hr[..., 24:], batch.hr[..., 16:24].flip(-1))


def test_corrupt_files_are_named_once_and_left_out(photos: Path, tmp_path: Path) -> None:
    for path in photos.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "bad.png").write_bytes((photos / "0.png").read_bytes()[:200])
    notices: list[Notice] = []
    assert len(list(patches(recipe_for(tmp_path), notices=notices).from_step(0, 8))) == 8
    (warning,) = notices
    assert "bad.png" in warning.text
    for path in tmp_path.glob("[0-9].png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of the training pictures"):
        batches(recipe_for(tmp_path), 0, 1)


def test_gray_and_sixteen_bit_pictures_become_8_bit_rgb(tmp_path: Path) -> None:
    levels = painted(5, 40, 40).color[..., :1]
    save(Picture(levels.astype(np.uint16) * 257), tmp_path / "a.png")
    (batch,) = batches(recipe_for(tmp_path), 0, 1)
    assert torch.equal(batch.hr[:, 0], batch.hr[:, 2])
    assert torch.equal(batch.hr * 255, (batch.hr * 255).round())


def test_folders_can_be_drawn_equally_often(tmp_path: Path) -> None:
    save(Picture(np.zeros((40, 40, 3), np.uint8)), tmp_path / "one" / "black.png")
    for number in range(9):
        save(Picture(np.full((40, 40, 3), 255, np.uint8)), tmp_path / "many" / f"{number}.png")
    folders = f'data.hr=["{tmp_path / "one"}", "{tmp_path / "many"}"]'

    def black(draw: str) -> float:
        drawn = batches(recipe_for(tmp_path, folders, f"data.draw={draw}", "data.batch=50"), 0, 4)
        return float(np.mean([float(hr.max()) == 0 for batch in drawn for hr in batch.hr]))

    assert black("folder") == pytest.approx(0.5, abs=0.14)
    assert black("picture") == pytest.approx(0.1, abs=0.08)


def test_a_second_order_patch_is_cut_from_its_canvas(photos: Path) -> None:
    settings = ["degradation.kind=second-order", "degradation.canvas=48"]
    (batch,), (again,) = (batches(recipe_for(photos, *settings), 2, 3) for _ in range(2))
    assert (batch.hr.shape, batch.lr.shape) == ((6, 3, 32, 32), (6, 3, 8, 8))
    assert torch.equal(batch.lr, again.lr)
    bicubic = (matlab_bicubic(batch.hr, 0.25) - batch.lr).abs().mean()
    assert 0.005 < float(bicubic) < 0.3  # degraded, and still the same place


def test_a_share_of_batches_can_stay_clean(photos: Path) -> None:
    recipe = recipe_for(photos, "degradation.kind=second-order", "degradation.clean=1")
    (batch,) = batches(recipe, 0, 1)
    (clean,) = batches(recipe_for(photos), 0, 1)
    assert torch.allclose(batch.lr[..., 2:-2, 2:-2], clean.lr[..., 2:-2, 2:-2], atol=1e-6)


def test_a_batch_of_known_degradation_says_how_it_was_degraded(photos: Path) -> None:
    settings = ["degradation.kind=known", "degradation.canvas=48", "degradation.noise=20", "data.batch=24"]
    (batch,) = batches(recipe_for(photos, *settings, "degradation.clean=0.5"), 0, 1)
    clean = matlab_bicubic(batch.hr, 1 / 4)
    inside = np.s_[..., 2:-2, 2:-2]
    change = (batch.lr - clean)[inside].abs().amax((1, 2, 3)) * 255
    assert batch.conditions is not None
    touched = batch.conditions.amax(1) > 0
    assert 0 < touched.sum() < len(touched)
    assert (change[~touched] < 1).all()
    assert (change[touched] > 1).all()

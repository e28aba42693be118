"""What an iteration compares."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from upscale_cli.training.patches import Batch
from upscale_cli.training.recipe import load_recipe
from upscale_cli.training.step import Tools, content_losses


class Seeing(nn.Module):
    """A feature network whose features are the picture; it remembers the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor, layers: Mapping[str, float]) -> dict[str, Tensor]:
        self.seen.append(image)
        return dict.fromkeys(layers, image)


def tools(features: Seeing, teacher: nn.Module | None = None) -> Tools:
    networks = {"random": features}
    return Tools(nn.Identity(), None, networks, teacher, torch.device("cpu"), torch.float32)  # type: ignore[arg-type]


def perceptual(*settings: str) -> list[str]:
    return ["perceptual.layers={conv2_2=1}", "perceptual.weights=random", "data.hr_patch=32", *settings]


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.rand(1, 3, 8, 8, generator=generator), torch.rand(1, 3, 32, 32, generator=generator))


def test_the_shift_cuts_both_pictures_alike_and_follows_from_seed_and_step() -> None:
    recipe = load_recipe("compact", perceptual("perceptual.shift=8"))
    sizes = []
    for step in range(200):
        features = Seeing()
        sr, given = torch.zeros(1, 3, 32, 32), batch()
        loss = content_losses(sr, given, recipe, tools(features), step)["perceptual"]
        truth, ours = features.seen
        assert ours.shape == truth.shape
        assert torch.equal(truth, given.hr[..., 32 - truth.shape[-2] :, 32 - truth.shape[-1] :])
        assert loss == pytest.approx(truth.abs().mean().item())
        sizes.append((32 - truth.shape[-2], 32 - truth.shape[-1]))
        again = content_losses(sr, given, recipe, tools(Seeing()), step)["perceptual"]
        assert again == loss
    assert {top for top, _ in sizes} == {left for _, left in sizes} == set(range(8))
    assert len(set(sizes)) > 50


def test_without_a_shift_patches_are_compared_whole() -> None:
    features = Seeing()
    content_losses(torch.zeros(1, 3, 32, 32), batch(), load_recipe("compact", perceptual()), tools(features), 7)
    assert [picture.shape[-2:] for picture in features.seen] == [(32, 32), (32, 32)]


def test_features_go_towards_hr_or_the_teachers_result() -> None:
    teacher, given = nn.Upsample(scale_factor=4), batch()
    for towards, target in (("hr", given.hr), ("teacher", teacher(given.lr))):
        settings = perceptual(f"perceptual.towards={towards}", "teacher.weights=lite-x4", "pixel.weight=0")
        features = Seeing()
        terms = content_losses(
            torch.zeros(1, 3, 32, 32), given, load_recipe("compact", settings), tools(features, teacher), 0
        )
        assert torch.equal(features.seen[0], target)
        assert terms["perceptual"] == pytest.approx(target.abs().mean().item())
        assert terms["teacher"] == pytest.approx(teacher(given.lr).abs().mean().item())

"""Small pictures and small recipes, so that a run takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import Notice
from upscale_cli.training import loop, setup
from upscale_cli.training.distributed import Team
from upscale_cli.training.recipe import Recipe
from upscale_cli.training.recipe_file import load_recipe
from upscale_cli.training.validation import Figures


def painted(seed: int, height: int, width: int) -> Picture:
    """Waves and a little noise: something that blurs, and can be learnt."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x * f + y * g + p) for f, g, p in rng.uniform(0.05, 0.4, (3, 3))]
    levels = 128 + 90 * np.stack(waves, -1) + rng.normal(0, 3, (height, width, 3))
    return Picture(np.clip(levels, 0, 255).astype(np.uint8))


def save(picture: Picture, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(picture, path, WriteOptions(by_name("png")))


TINY_SIZES = {"features": 8, "blocks": 1, "growth": 4, "partial": 4}
TINY = (
    "data.hr_patch=32",
    "data.batch=2",
    "data.workers=1",
    "schedule.warmup=0",
    "run.precision=fp32",
)


def tiny(name: str) -> list[str]:
    """Settings that make the recipe so small that an iteration takes milliseconds."""
    recipe = load_recipe(name)
    settings = [*TINY, *(f"{loss}.weights=random" for loss in ("perceptual", "texture") if getattr(recipe, loss))]
    settings += [f"network.{key}={size}" for key, size in TINY_SIZES.items() if key in recipe.network.sizes]
    settings += ["texture.patch=4"] if recipe.texture else []
    settings += ["teacher.weights=lite-x4", "teacher.denoise=1"] if recipe.teacher else []
    settings += ["adversarial.features=4"] if recipe.adversarial else []
    settings += ["degradation.canvas=40", "degradation.pool=6"] if recipe.degradation.pool else []
    return settings


class Record:
    """The losses and figures of a run, which stops after ``stop_after`` iterations."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.losses: list[Mapping[str, float]] = []
        self.figures: list[Figures] = []
        self.validated: list[tuple[int, bool]] = []  # the iteration, and whether it was the best so far
        self._stop_after = stop_after
        self._step = 0

    def run(self, training: setup.Training) -> bool:
        return loop.run(training, self._on_step, self._on_validation, lambda: self._step >= self._stop_after)

    def _on_step(self, step: int, losses: Mapping[str, float]) -> None:
        self.losses.append(losses)
        self._step = step

    def _on_validation(self, step: int, figures: Figures, best: bool) -> None:
        self.figures.append(figures)
        self.validated.append((step, best))


def prepared(recipe: Recipe, folder: Path, notices: list[Notice] | None = None) -> setup.Training:
    notify = (notices if notices is not None else []).append
    return setup.prepare(recipe, folder, torch.device("cpu"), Team(), lambda name, done, total: None, notify)


def trained(recipe: Recipe, folder: Path, record: Record | None = None) -> Record:
    record = record or Record()
    record.run(prepared(recipe, folder))
    return record


def tiny_recipe(name: str, photos: Path, iterations: int, *settings: str) -> Recipe:
    own = [f'data.hr=["{photos}"]', f"schedule.iterations={iterations}", "start=scratch"]
    return load_recipe(name, [*tiny(name), *own, *settings])


def equal(a: Any, b: Any) -> bool:
    """Whether two checkpoints, or parts of them, hold the same."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)

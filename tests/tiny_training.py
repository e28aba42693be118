"""Small pictures and small recipes, so that a run takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.write import WriteOptions, write_image


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


TINY_SIZES = {"features": 8, "blocks": 1, "growth": 4}
TINY = (
    "data.hr_patch=32",
    "data.batch=2",
    "data.workers=1",
    "schedule.warmup=0",
    "run.precision=fp32",
)


def tiny(name: str) -> list[str]:
    """Settings that make the recipe so small that an iteration takes milliseconds."""
    from upscale_cli.training.recipe import load_recipe

    recipe = load_recipe(name)
    settings = [*TINY, *(f"{loss}.weights=random" for loss in ("perceptual", "texture") if getattr(recipe, loss))]
    settings += [f"network.{key}={size}" for key, size in TINY_SIZES.items() if key in recipe.network.sizes]
    settings += ["texture.patch=4"] if recipe.texture else []
    settings += ["teacher.weights=lite-x4"] if recipe.teacher else []
    settings += ["adversarial.features=4"] if recipe.adversarial else []
    settings += ["degradation.canvas=40", "degradation.pool=6"] if recipe.degradation.pool else []
    return settings

"""From a table to a recipe: nothing unknown, mistyped, out of range or contradictory gets through."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from upscale_cli import networks
from upscale_cli.errors import UsageError
from upscale_cli.training.discriminators import MULTIPLE
from upscale_cli.training.recipe import LOSSES, Recipe, Section, Texture

# Recipes of version 0.1 held these sizes, whatever their architecture.
FORMER_SIZES = {"growth": 32}


def checked(table: Mapping[str, Any], name: str) -> Recipe:
    """Return the recipe of a table of plain values, without losses of weight 0.

    Raises UsageError naming the key and what is wrong with it.
    """
    try:
        recipe = msgspec.convert(_with_sizes(table), Recipe, strict=True)
        idle = {key: None for key in LOSSES if (loss := getattr(recipe, key)) is not None and not loss.weight}
        recipe = msgspec.structs.replace(recipe, **idle)
        found = problems(recipe)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        what = what if len(what) < 200 else f"{what[:200]} ..."
        place = f"{where.removesuffix('`')}: " if where else ""
        raise UsageError(f"The recipe {name}: {place}{what}.", _nearest(str(error))) from error
    except UsageError as error:
        raise UsageError(f"The recipe {name}: {error.message}", error.hint) from error
    if found:
        raise UsageError(f"The recipe {name}: {found[0]}.", "Change it with --set.")
    return recipe


def _with_sizes(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table with ``network.sizes``, complete and in order, from the keys beside ``network.architecture``."""
    network = table.get("network")
    if not isinstance(network, Mapping) or not isinstance(network.get("architecture"), str):
        return table
    own = {key: network[key] for key in ("architecture", "scale", "branches") if key in network}
    known = networks.named(own["architecture"]).sizes.__struct_fields__
    stated = {k: v for k, v in network.items() if k not in own and (k in known or FORMER_SIZES.get(k) != v)}
    sizes = msgspec.to_builtins(networks.sizes(own["architecture"], stated))
    return {**table, "network": {**own, "sizes": sizes}}


def problems(recipe: Recipe) -> list[str]:
    """Return what is wrong beyond the types: above all, settings that contradict each other.

    Raises UsageError for a network that cannot be.
    """
    data, degradation, texture, scale = recipe.data, recipe.degradation, recipe.texture, recipe.network.scale
    side, canvas, pool = data.hr_patch, degradation.canvas, degradation.pool
    spec = recipe.network.spec()
    unfit = not spec.any_size and side // scale % spec.size_multiple
    unbranched = networks.named(spec.architecture).training is None
    named, paired, name = degradation.kernels != "", data.lr != (), recipe.name
    critic = recipe.adversarial.discriminator if recipe.adversarial is not None else "vgg"
    degraded = degradation.kind != "bicubic" or pool or degradation.clean
    # JSON writes control characters as escapes other than those of backslash and quotation mark.
    escapes = re.sub(rb'\\[\\"]', b"", msgspec.json.encode(recipe))
    checks = (
        (name in ("", "..") or Path(name).name != name, f"its name {name!r} cannot be that of a folder"),
        (b"\\" in escapes, "a text holds a line break or another control character"),
        (side % scale, f"data.hr_patch = {side} is no multiple of network.scale = {scale}"),
        (unfit, f"data.hr_patch = {side} is no multiple of {spec.size_multiple * scale}, as {spec.architecture} needs"),
        (side % MULTIPLE[critic], f"data.hr_patch = {side} is no multiple of {MULTIPLE[critic]}, as {critic} needs"),
        (canvas % scale, f"degradation.canvas = {canvas} is no multiple of network.scale = {scale}"),
        (0 < canvas < side, f"degradation.canvas = {canvas} is smaller than data.hr_patch = {side}"),
        (degradation.kind == "kernels" and not named, "degradation.kind is kernels, but none are named (--kernel)"),
        (paired and degraded, "data.lr gives the LR pictures, so there is nothing to degrade"),
        (paired and data.on_device, "data.on_device cuts HR pictures alone, and data.lr gives those of LR"),
        (paired and len(data.lr) != len(data.hr), f"there are {len(data.hr)} HR and {len(data.lr)} LR folders"),
        (unbranched and recipe.network.branches, f"network.branches: {spec.architecture} has none"),
        (recipe.run.compile and recipe.run.cuda_graphs, "run.compile and run.cuda_graphs exclude each other"),
        (pool and degradation.kind == "known", "degradation.pool would separate LR from its conditions"),
        (degradation.jpeg_quality[0] > degradation.jpeg_quality[1], "degradation.jpeg_quality is not in order"),
        (degradation.blur[0] > degradation.blur[1], "degradation.blur is not in order"),
        (degradation.blur[0] == 0 < degradation.blur[1], "degradation.blur needs variances above 0"),
        (0 < pool < data.batch, f"degradation.pool = {pool} is smaller than the batch of {data.batch}"),
        (all(getattr(recipe, loss) is None for loss in LOSSES), "no loss has a weight"),
        (recipe.schedule.kind == "steps" and not recipe.schedule.milestones, "schedule.milestones are missing"),
        (recipe.validation.lr and not recipe.validation.hr, "validation.lr needs validation.hr"),
    )
    small = _too_small(texture, side) if texture is not None else []
    found = [text for wrong, text in checks if wrong]
    return found + [f"the features {layer} of a patch of {side} are smaller than texture.patch" for layer in small]


def _too_small(texture: Texture, hr_patch: int) -> list[str]:
    """Return the layers whose features, halved before each stage after the first, are smaller than the patches."""
    stages = {layer: int(match[1]) for layer in texture.layers if (match := re.match(r"(?:conv|relu)(\d)", layer))}
    return [layer for layer, stage in stages.items() if hr_patch >> (stage - 1) < texture.patch]


def _nearest(message: str) -> str:
    quoted = message.split("`")
    if "unknown field" in message and len(quoted) > 1:
        keys = {key for table in Section.__subclasses__() for key in table.__struct_fields__}
        near = difflib.get_close_matches(quoted[1], sorted(keys), n=1)
        return f"Did you mean `{near[0]}`?" if near else "See `upscale train NAME --show` for all keys."
    return "See `upscale train NAME --show` for all keys and values."

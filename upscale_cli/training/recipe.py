"""What a training run needs, as one checked value: read from TOML, the package's own or a user's, and from settings.

A file may name a ``base`` recipe and hold only what differs. Nothing unknown, mistyped or out of range gets through.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli_w
from msgspec import Meta, Struct

from upscale_cli import networks
from upscale_cli.degradation.chains import SecondOrder
from upscale_cli.errors import UsageError

FOLDER = Path(__file__).with_name("recipes")
# Tables that are one value: a file that gives one means all of it.
WHOLE = ("layers",)
# Every recipe of the first edition held these, whatever its architecture.
FORMER_SIZES = {"growth": 32}

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0, le=1)]
Layers = dict[str, Weight]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a recipe."""


class Network(Section, frozen=True):
    """What is trained. ``sizes``: those of its architecture; in a file they stand beside ``architecture``."""

    architecture: str
    scale: Annotated[int, Meta(ge=1, le=16)] = 4
    sizes: dict[str, Any] = {}


class Data(Section, frozen=True):
    """Where patches come from. ``lr``: folders of LR pictures, paired with those of ``hr``; none: they are made.

    ``draw``: whether every picture, or every folder, is drawn equally often. ``workers``: 0 for one per core but one.
    ``cache``: gigabytes of decoded pictures to keep in memory; -1 for what is free and sensible.
    """

    hr: tuple[str, ...] = ()
    lr: tuple[str, ...] = ()
    hr_patch: Annotated[int, Meta(ge=16, le=2048)] = 128
    batch: Positive = 16
    flips: bool = True
    rotations: bool = True
    draw: Literal["picture", "folder"] = "picture"
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    cache: Annotated[float, Meta(ge=-1)] = -1


class Degradation(Section, frozen=True):
    """From HR to LR. ``kernels``: a file or folder of estimated ones; ``noise``: most of its Gaussian noise, in levels.

    ``canvas``: side of the HR crop that is degraded before ``hr_patch`` is cut from it, 0 for the patch itself.
    ``sharpen``: pixel, perceptual and texture losses compare with the unsharp-masked HR. ``pool``: pairs from which
    batches are mixed, 0 for none. ``clean``: share of batches that are only shrunk bicubically.
    """

    kind: Literal["bicubic", "kernels", "second-order"] = "bicubic"
    kernels: str = ""
    noise: Annotated[float, Meta(ge=0, le=100)] = 0
    canvas: Annotated[int, Meta(ge=0, le=4096)] = 0
    sharpen: bool = False
    pool: Annotated[int, Meta(ge=0, le=10000)] = 0
    clean: Share = 0
    second_order: SecondOrder = msgspec.field(default_factory=SecondOrder)


class Pixel(Section, frozen=True):
    """Distance of pixels. ``charbonnier`` is √(d² + 10⁻⁶)."""

    kind: Literal["l1", "mse", "charbonnier"] = "l1"
    weight: Weight = 1


class Teacher(Section, frozen=True):
    """A network whose result for the same LR is a second target of L1 loss (distillation)."""

    weights: str
    weight: Weight = 1


class Perceptual(Section, frozen=True):
    """Distance of features. ``layers``: weights by name: conv5_4 (before activation), relu5_4 (after), pool5.

    ``weights``: a name of the manifest, a file, or "random" for tests.
    """

    layers: Layers
    kind: Literal["l1", "mse"] = "l1"
    weight: Weight = 1
    weights: str = "vgg19"


class Texture(Section, frozen=True):
    """Distance of Gram matrices of ``patch``×``patch`` features (Sajjadi et al. 2017, eq. 5)."""

    layers: Layers
    patch: Positive = 16
    weight: Weight = 1
    weights: str = "vgg19"


class Adversarial(Section, frozen=True):
    """The discriminator and its game. ``weights``: what it starts from, "" for scratch. ``rate``: 0 for the same.

    ``train_below``: it learns only after a batch on which it was right less often than this on real or on generated
    pictures (Sajjadi et al. 2017); 0 for always.
    """

    kind: Literal["vanilla", "relativistic", "least-squares"] = "vanilla"
    discriminator: Literal["vgg", "srgan", "enhancenet", "unet"] = "vgg"
    weight: Weight = 1
    features: Positive = 64
    weights: str = ""
    rate: Annotated[float, Meta(ge=0, le=1)] = 0
    train_below: Share = 0


class Optimizer(Section, frozen=True):
    """Adam. ``clip``: largest norm of all gradients together, 0 for no clipping."""

    rate: Rate = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Weight = 0
    clip: Weight = 0


class Schedule(Section, frozen=True):
    """How long, and the rate on the way. ``steps``: multiplied by ``factor`` at each milestone.

    ``cosine``: falls to ``final`` (a share of the rate). ``warmup``: iterations in which it rises linearly before.
    """

    iterations: Positive
    kind: Literal["constant", "steps", "cosine"] = "constant"
    milestones: tuple[Positive, ...] = ()
    factor: Share = 0.5
    final: Share = 0.001
    warmup: Annotated[int, Meta(ge=0)] = 0


class Validation(Section, frozen=True):
    """Pictures that are enlarged and measured ``every`` so many iterations. ``lr`` empty: made by MATLAB's bicubic."""

    hr: str = ""
    lr: str = ""
    every: Positive = 5000
    samples: Annotated[int, Meta(ge=0, le=100)] = 3
    best_by: Literal["psnr_y", "ssim_y"] = "psnr_y"


class Run(Section, frozen=True):
    """How it runs. ``ema``: decay of the averaged weights, 0 for none. ``precision`` auto: bf16 where it is fast."""

    seed: Annotated[int, Meta(ge=0)] = 0
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    log_every: Positive = 100
    checkpoint_minutes: Annotated[float, Meta(gt=0)] = 5
    tensorboard: bool = False


class Recipe(Section, frozen=True):
    """Everything a run needs. ``starts_from``: the kind of network that ``--from`` must give; "" for scratch."""

    name: str
    paper: str
    network: Network
    optimizer: Optimizer
    schedule: Schedule
    about: str = ""
    starts_from: str = ""
    start: str = ""
    data: Data = Data()
    degradation: Degradation = Degradation()
    pixel: Pixel | None = None
    teacher: Teacher | None = None
    perceptual: Perceptual | None = None
    texture: Texture | None = None
    adversarial: Adversarial | None = None
    validation: Validation = Validation()
    run: Run = Run()


def names() -> list[str]:
    """The package's own recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe:
    """The recipe called ``name``, or of a file, changed by ``settings`` ("table.key=value"). Raises UsageError."""
    return checked(changed(_table(name), settings), str(name))


def changed(table: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """A recipe's table with each of ``settings`` ("table.key=value") made. Raises UsageError."""
    changes: dict[str, Any] = {}
    for setting in settings:
        changes = _merged(changes, _setting(setting))
    return _merged(table, changes)


def checked(table: Mapping[str, Any], name: str) -> Recipe:
    """The recipe of a table of plain values. Raises UsageError naming the key and what is wrong with it."""
    try:
        recipe = msgspec.convert(_with_sizes(table), Recipe, strict=True)
        networks.spec(recipe.network.architecture, recipe.network.scale, recipe.network.sizes)
    except msgspec.ValidationError as error:
        raise UsageError(f"The recipe {name}: {_in_words(error)}.", _nearest(str(error))) from error
    except UsageError as error:
        raise UsageError(f"The recipe {name}: {error.message}", error.hint) from error
    for problem in problems(recipe):
        raise UsageError(f"The recipe {name}: {problem}.", "Change it with --set.")
    return recipe


def _with_sizes(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table with ``network.sizes``, complete and in order, from what stands beside ``network.architecture``."""
    network = table.get("network")
    if not isinstance(network, Mapping) or not isinstance(network.get("architecture"), str):
        return table
    own = {key: network[key] for key in ("architecture", "scale") if key in network}
    known = networks.named(own["architecture"]).sizes.__struct_fields__
    stated = {k: v for k, v in network.items() if k not in own and (k in known or FORMER_SIZES.get(k) != v)}
    sizes = msgspec.to_builtins(networks.sizes(own["architecture"], stated))
    return {**table, "network": {**own, "sizes": sizes}}


def problems(recipe: Recipe) -> list[str]:
    """What the types cannot say: settings that contradict each other."""
    data, degradation, scale = recipe.data, recipe.degradation, recipe.network.scale
    found = []
    if data.hr_patch % scale:
        found.append(f"data.hr_patch = {data.hr_patch} is no multiple of network.scale = {scale}")
    if degradation.canvas % scale or 0 < degradation.canvas < data.hr_patch:
        found.append(f"degradation.canvas = {degradation.canvas} must be a multiple of {scale}, no less than the patch")
    if degradation.kind == "kernels" and not degradation.kernels:
        found.append("degradation.kind is kernels, but degradation.kernels names no file or folder (--kernel)")
    if data.lr and (degradation.kind != "bicubic" or degradation.pool or degradation.clean):
        found.append("data.lr gives the LR pictures, so there is nothing to degrade")
    if data.lr and len(data.lr) != len(data.hr):
        found.append(f"there are {len(data.hr)} HR and {len(data.lr)} LR folders")
    if degradation.pool and degradation.pool < data.batch:
        found.append(f"degradation.pool = {degradation.pool} is smaller than the batch of {data.batch}")
    losses = (recipe.pixel, recipe.teacher, recipe.perceptual, recipe.texture, recipe.adversarial)
    if not any(loss is not None and loss.weight for loss in losses):
        found.append("no loss has a weight")
    if recipe.texture is not None and recipe.texture.weight:
        small = _too_small(recipe.texture, data.hr_patch)
        found += [
            f"the features {layer} of a patch of {data.hr_patch} are smaller than texture.patch" for layer in small
        ]
    if recipe.schedule.kind == "steps" and not recipe.schedule.milestones:
        found.append("schedule.kind is steps, but there are no schedule.milestones")
    if recipe.validation.lr and not recipe.validation.hr:
        found.append("validation.lr needs validation.hr")
    return found


def _too_small(texture: Texture, hr_patch: int) -> list[str]:
    """Layers whose features (halved before every stage but the first) are smaller than the patches of the loss."""
    stages = {layer: int(match[1]) for layer in texture.layers if (match := re.match(r"(?:conv|relu)(\d)", layer))}
    return [layer for layer, stage in stages.items() if hr_patch >> (stage - 1) < texture.patch]


def to_toml(recipe: Recipe) -> str:
    """The whole recipe as a file that ``load_recipe`` reads."""
    return tomli_w.dumps(to_table(recipe))


def public(recipe: Recipe) -> Recipe:
    """The recipe with names of files and folders instead of paths: what may be published with the weights."""
    replace = msgspec.structs.replace
    data, validation = recipe.data, recipe.validation
    changes: dict[str, Any] = {
        "data": replace(data, hr=tuple(map(_name, data.hr)), lr=tuple(map(_name, data.lr))),
        "degradation": replace(recipe.degradation, kernels=_name(recipe.degradation.kernels)),
        "validation": replace(validation, hr=_name(validation.hr), lr=_name(validation.lr)),
        "start": _name(recipe.start),
    }
    for key in ("teacher", "perceptual", "texture", "adversarial"):
        loss = getattr(recipe, key)
        if loss is not None:
            changes[key] = replace(loss, weights=_name(loss.weights))
    return replace(recipe, **changes)


def _name(path: str) -> str:
    return Path(path).name


def to_table(recipe: Recipe) -> dict[str, Any]:
    """Plain values, without the tables that are not there."""
    table: dict[str, Any] = msgspec.to_builtins(recipe)
    table["network"] |= table["network"].pop("sizes")
    return {key: value for key, value in table.items() if value is not None}


def _table(name: str | Path) -> dict[str, Any]:
    path = _path(name)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read the recipe {path}: {error.strerror or error}.", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The recipe {path} is no TOML: {error}.", "See `upscale train NAME --show` for one."
        ) from error
    table.setdefault("name", path.stem)
    base = table.pop("base", None)
    return table if base is None else _merged(_table(_beside(base, path)), table)


def _path(name: str | Path) -> Path:
    if str(name) in names():
        return FOLDER / f"{name}.toml"
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    near = difflib.get_close_matches(str(name).lower(), names(), n=2, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"There is no recipe {str(name)!r}.", f"{hint}See `upscale train --list`, or give a .toml file.")


def _beside(base: str, path: Path) -> str | Path:
    """A base is a name, or a file beside the one that names it."""
    beside = path.parent / base
    return beside if base.endswith(".toml") and beside != path else base


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(table)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping) and key not in WHOLE:
            merged[key] = _merged(_without_sizes(before, value), value)
        else:
            merged[key] = value
    return merged


def _without_sizes(network: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """A ``network`` that becomes one of another architecture keeps its scale alone; other tables stay as they are."""
    if "architecture" not in network or changes.get("architecture", network["architecture"]) == network["architecture"]:
        return network
    return {key: value for key, value in network.items() if key == "scale"}


def _setting(text: str) -> dict[str, Any]:
    """``table.key=value`` as nested tables; the value is TOML, or else a plain string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{text!r} sets nothing.", "Write --set table.key=value, e.g. --set data.batch=8.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    for name in reversed(key.strip().split(".")):
        parsed = {name: parsed}
    return dict(parsed)


def _in_words(error: msgspec.ValidationError) -> str:
    what, _, where = str(error).partition(" - at `$.")
    return f"{where.removesuffix('`')}: {what}" if where else what


def _nearest(message: str) -> str:
    quoted = message.split("`")
    if "unknown field" in message and len(quoted) > 1:
        keys = {key for table in Section.__subclasses__() for key in table.__struct_fields__}
        near = difflib.get_close_matches(quoted[1], sorted(keys), n=1)
        return f"Did you mean `{near[0]}`?" if near else "See `upscale train NAME --show` for all keys."
    return "See `upscale train NAME --show` for all keys and values."

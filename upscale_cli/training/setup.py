"""From a recipe to a run that is ready to start: everything checked, found, downloaded and built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from upscale_cli import atomic
from upscale_cli import device as devices
from upscale_cli.errors import OutputError, UsageError
from upscale_cli.evaluation import Case, load_case
from upscale_cli.kernels.blur_kernel import BlurKernel, for_scale
from upscale_cli.kernels.files import read_kernels
from upscale_cli.notices import Notify, note, warning
from upscale_cli.training import memory, pictures, validation
from upscale_cli.training.discriminators import MULTIPLE
from upscale_cli.training.distributed import Team, parallel
from upscale_cli.training.generator import fresh, spec_of, started
from upscale_cli.training.patches import Patches
from upscale_cli.training.recipe import Recipe
from upscale_cli.training.recipe_file import to_table
from upscale_cli.training.state import (
    Checkpoint,
    TrainingState,
    latest_checkpoint,
    new_state,
    open_checkpoint,
    restored,
)
from upscale_cli.training.step import Tools
from upscale_cli.training.vgg import RANDOM, load_features
from upscale_cli.weights.load import is_path, locate
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.resolve import resolve
from upscale_cli.weights.state_dict import open_state
from upscale_cli.weights.transfer import Progress

SCRATCH = "scratch"
# A resumed run may differ in how it goes, not in what comes out; and it may go on for longer.
FREE_ON_RESUME = (
    "about",
    "paper",
    "validation.",
    "data.workers",
    "data.cache",
    "schedule.iterations",
    "run.log_every",
    "run.checkpoint_minutes",
    "run.tensorboard",
    "run.compile",
)


@dataclass(frozen=True)
class Training:
    """A run that is ready."""

    recipe: Recipe
    state: TrainingState
    tools: Tools
    patches: Patches
    cases: list[Case]
    folder: Path
    team: Team


def precision_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """What networks compute in. ``auto`` is bf16 where the device has it, else fp32."""
    chosen = recipe.run.precision
    if chosen == "auto":
        fast = (
            devices.cpu_has_bf16() if device.type == "cpu" else device.type == "cuda" and torch.cuda.is_bf16_supported()
        )
        return torch.bfloat16 if fast else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[chosen]


def check(recipe: Recipe, device: torch.device, resumes: bool) -> None:
    """Refuse, before any picture is read, what cannot work. Raises UsageError, InputError."""
    spec_of(recipe.network)
    if not recipe.data.hr:
        raise UsageError("There are no training pictures.", "Name a folder with --hr DIR.")
    if recipe.starts_from and not recipe.start and not resumes:
        raise UsageError(
            f"{recipe.name} starts from a network that {recipe.starts_from} trained.",
            f"Give one with --from FILE or --from NAME, or --from {SCRATCH} to do without.",
        )
    if recipe.adversarial is not None and recipe.data.hr_patch % MULTIPLE[recipe.adversarial.discriminator]:
        multiple = MULTIPLE[recipe.adversarial.discriminator]
        raise UsageError(
            f"The {recipe.adversarial.discriminator} discriminator needs patches of a multiple of {multiple}."
        )
    memory.require(recipe, device, precision_of(recipe, device))


def check_all(recipe: Recipe, device: torch.device) -> None:
    """As ``check``, and that all folders hold what they should. Raises UsageError, InputError."""
    check(recipe, device, resumes=False)
    pictures.find(recipe.data)
    validation.find(recipe.validation)
    _kernels(recipe)


def prepare(
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    team: Team,
    progress: Progress,
    notify: Notify,
    anew: bool = False,
) -> Training:
    """Build a run, or take up the one that ``folder`` holds, unless ``anew``.

    Raises UpscaleError kinds for all that is missing, unreadable or contradictory.
    """
    path = None if anew else latest_checkpoint(folder)
    checkpoint = None if path is None else open_checkpoint(path)
    if checkpoint is not None:
        _require_same_run(folder, checkpoint, recipe)
    check(recipe, device, checkpoint is not None)
    sources = pictures.find(recipe.data)
    cases = validation.find(recipe.validation)
    kernels = _kernels(recipe)
    dtype = precision_of(recipe, device)
    state = _state(recipe, checkpoint, device, dtype, progress, notify)
    tools = _tools(state, recipe, device, dtype, team, progress, notify)
    if team.leads:
        _require_writable(folder)
    data = recipe.data
    store = pictures.PictureStore(sources, recipe.network.scale, data.draw, data.cache, notify)
    kind = str(dtype).removeprefix("torch.")
    notify(note(f"{len(store)} training pictures, {kind} on {devices.describe(device)}."))
    return Training(
        recipe=recipe,
        state=state,
        tools=tools,
        patches=Patches(recipe, store, kernels, device, team),
        cases=[load_case(hr, lr, recipe.network.scale) for hr, lr in cases] if team.leads else [],
        folder=folder,
        team=team,
    )


def _kernels(recipe: Recipe) -> tuple[BlurKernel, ...]:
    """The blur kernels of the recipe, for its scale. Raises InputError."""
    if recipe.degradation.kind != "kernels":
        return ()
    return tuple(for_scale(kernel, recipe.network.scale) for kernel in read_kernels(Path(recipe.degradation.kernels)))


def _require_same_run(folder: Path, checkpoint: Checkpoint, recipe: Recipe) -> None:
    """Refuse to resume the run in ``folder`` by a recipe that would make it another run. Raises UsageError."""
    ours, theirs = _flat(to_table(recipe)), _flat(to_table(checkpoint.recipe))
    for key in theirs | ours:
        if ours.get(key) != theirs.get(key) and not key.startswith(FREE_ON_RESUME):
            raise UsageError(
                f"{folder} holds a run with {key} = {theirs.get(key)}, and now it is {ours.get(key)}.",
                "Choose another -o, go on with the old recipe (--resume), or start anew with --overwrite.",
            )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables by their full keys, "data.batch"."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _state(
    recipe: Recipe,
    checkpoint: Checkpoint | None,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress,
    notify: Notify,
) -> TrainingState:
    scaled = dtype is torch.float16
    if checkpoint is not None:
        notify(note(f"Going on from iteration {checkpoint.content['step']} of {checkpoint.path}."))
        return restored(checkpoint, recipe, device, scaled)
    if recipe.start and recipe.start != SCRATCH:
        spec, generator = started(recipe.start, recipe.network, recipe.run.seed, progress, notify)
    else:
        spec, generator = fresh(recipe.network, recipe.run.seed)
    state = new_state(recipe, spec, generator, _critic_weights(recipe, progress), device, scaled)
    if RANDOM in _feature_weights(recipe):
        state.facts["features"] = "random: perceptual and texture losses meant nothing"
    return state


def _critic_weights(recipe: Recipe, progress: Progress) -> dict[str, Tensor] | None:
    """The tensors of a published discriminator, or of a checkpoint's."""
    if recipe.adversarial is None or not recipe.adversarial.weights:
        return None
    weights = recipe.adversarial.weights
    path = Path(weights) if is_path(weights) else locate(load_manifest().find(weights), progress)
    return open_state(path).tensors


def _feature_weights(recipe: Recipe) -> dict[str, set[str]]:
    """Which layers are wanted of which feature network."""
    wanted: dict[str, set[str]] = {}
    for loss in (recipe.perceptual, recipe.texture):
        if loss is not None and loss.weight:
            wanted.setdefault(loss.weights, set()).update(loss.layers)
    return wanted


def _tools(
    state: TrainingState,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype,
    team: Team,
    progress: Progress,
    notify: Notify,
) -> Tools:
    features = {
        weights: load_features(weights, layers, recipe.run.seed, progress).to(device)
        for weights, layers in _feature_weights(recipe).items()
    }
    if RANDOM in features:
        notify(warning("The feature network has random weights: its losses mean nothing."))
    return Tools(
        generator=_called(parallel(state.generator, team), recipe.run.compile),
        discriminator=None if state.discriminator is None else parallel(state.discriminator, team),
        features=features,
        teacher=_teacher(recipe, device, progress, notify),
        device=device,
        dtype=dtype,
    )


def _called(module: nn.Module, compiled: bool) -> Callable[[Tensor], Tensor]:
    return torch.compile(module) if compiled else module


def _teacher(recipe: Recipe, device: torch.device, progress: Progress, notify: Notify) -> nn.Module | None:
    if recipe.teacher is None or not recipe.teacher.weight:
        return None
    teacher = resolve(recipe.teacher.weights, progress=progress, notify=notify)
    if teacher.spec.scale != recipe.network.scale:
        raise UsageError(f"The teacher {teacher.name} enlarges {teacher.spec.scale} times.", "Choose another one.")
    return teacher.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
        atomic.remove_leftovers(folder)
    except OSError as error:
        raise OutputError(f"Cannot write to {folder}: {error.strerror or error}.", "Choose another -o.") from error

"""From a recipe to a run that is ready to start: everything checked, found, downloaded and built."""

from __future__ import annotations

import re
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
from upscale_cli.training import graphs, memory, pictures, validation
from upscale_cli.training.distributed import Team
from upscale_cli.training.generator import fresh, started
from upscale_cli.training.hardware import Hardware, choose_dtype
from upscale_cli.training.patches import Patches
from upscale_cli.training.recipe import Recipe
from upscale_cli.training.recipe_file import to_table, to_toml
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
from upscale_cli.weights.load import load_tensors
from upscale_cli.weights.progress import Progress
from upscale_cli.weights.resolve import resolve

SCRATCH = "scratch"
# A resumed run may differ in how it goes, not in what comes out; and it may go on for longer.
FREE_ON_RESUME = re.compile(
    r"about|paper|validation\..+|data\.(workers|cache)|schedule\.iterations"
    r"|run\.(log_every|checkpoint_minutes|tensorboard|compile|cuda_graphs)"
)


@dataclass(frozen=True)
class Training:
    """A run that is ready to start. ``cases``: the validation pictures, in the process that measures them."""

    recipe: Recipe
    state: TrainingState
    tools: Tools
    patches: Patches
    cases: list[Case]
    folder: Path


def check_all(recipe: Recipe, device: torch.device) -> None:
    """Check the recipe, its folders and whether the memory suffices. Raises UsageError, InputError."""
    _check(recipe, Hardware(device, choose_dtype(recipe.run.precision, device)), resumes=False)
    pictures.find(recipe.data)
    validation.find(recipe.validation)
    _kernels(recipe)


def _check(recipe: Recipe, hardware: Hardware, resumes: bool) -> None:
    """Refuse, before any picture is read, a recipe that cannot run. Raises UsageError, InputError."""
    if not recipe.data.hr:
        raise UsageError("There are no training pictures.", "Name a folder with --hr DIR.")
    if recipe.starts_from and not recipe.start and not resumes:
        raise UsageError(
            f"{recipe.name} starts from a network that {recipe.starts_from} trained.",
            f"Give one with --from FILE or --from NAME, or --from {SCRATCH} to do without.",
        )
    if recipe.run.cuda_graphs and (hardware.device.type != "cuda" or hardware.team.size > 1):
        raise UsageError("run.cuda_graphs needs one CUDA device.", "Add --set run.cuda_graphs=false.")
    memory.require(recipe, hardware)


def prepare(
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    team: Team,
    progress: Progress,
    notify: Notify,
    anew: bool = False,
) -> Training:
    """Build a run, or resume the one in ``folder`` unless ``anew``.

    Raises UpscaleError for all that is missing, unreadable or contradictory.
    """
    hardware = Hardware(device, choose_dtype(recipe.run.precision, device), team)
    path = None if anew else latest_checkpoint(folder)
    checkpoint = None if path is None else open_checkpoint(path)
    if checkpoint is not None:
        _require_same_run(folder, checkpoint, recipe)
    _check(recipe, hardware, checkpoint is not None)
    sources = pictures.find(recipe.data)
    cases = validation.find(recipe.validation)
    kernels = _kernels(recipe)
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    if checkpoint is not None:
        notify(note(f"Going on from iteration {checkpoint.content['step']} of {checkpoint.path}."))
        state = restored(checkpoint, recipe, hardware)
    else:
        state = _started(recipe, hardware, progress, notify)
    tools = _tools(state, recipe, hardware, progress, notify)
    if team.leads:
        _start_folder(folder, recipe)
    store = pictures.PictureStore(sources, recipe.network.scale, recipe.data, notify)
    kind = str(hardware.dtype).removeprefix("torch.")
    notify(note(f"{len(store)} training pictures, {kind} on {devices.describe(device)}."))
    patches = Patches(recipe, store, kernels, device, team)
    loaded = [load_case(hr, lr, recipe.network.scale) for hr, lr in cases] if team.leads else []
    return Training(recipe, state, tools, patches, loaded, folder)


def _kernels(recipe: Recipe) -> tuple[BlurKernel, ...]:
    """Return the blur kernels of the recipe, for its scale. Raises InputError."""
    if recipe.degradation.kind != "kernels":
        return ()
    return tuple(for_scale(kernel, recipe.network.scale) for kernel in read_kernels(Path(recipe.degradation.kernels)))


def _require_same_run(folder: Path, checkpoint: Checkpoint, recipe: Recipe) -> None:
    """Refuse to resume the run in ``folder`` by a recipe that would make it another run. Raises UsageError."""
    new, old = _flat(to_table(recipe)), _flat(to_table(checkpoint.recipe))
    for key in old | new:
        if new.get(key) != old.get(key) and not FREE_ON_RESUME.fullmatch(key):
            raise UsageError(
                f"{folder} holds a run with {key} = {old.get(key)}, and now it is {new.get(key)}.",
                "Choose another -o, go on with the old recipe (--resume), or start anew with --overwrite.",
            )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables by their full keys, "data.batch"."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _started(recipe: Recipe, hardware: Hardware, progress: Progress, notify: Notify) -> TrainingState:
    """Return the state of a new run, from the weights that its recipe starts from or from scratch."""
    if recipe.start in ("", SCRATCH):
        spec, generator = fresh(recipe.network, recipe.run.seed)
    else:
        spec, generator = started(recipe.start, recipe.network, recipe.run.seed, progress, notify)
    weights = recipe.adversarial.weights if recipe.adversarial is not None else ""
    critic = load_tensors(weights, "discriminator", progress) if weights else None
    state = new_state(recipe, hardware, spec, generator, critic)
    if RANDOM in _feature_layers(recipe):
        state.facts["features"] = "random: perceptual and texture losses meant nothing"
    return state


def _feature_layers(recipe: Recipe) -> dict[str, set[str]]:
    """Return the layers that the losses need, by the weights of their feature network."""
    layers: dict[str, set[str]] = {}
    for loss in (recipe.perceptual, recipe.texture):
        if loss is not None:
            layers.setdefault(loss.weights, set()).update(loss.layers)
    return layers


def _tools(state: TrainingState, recipe: Recipe, hardware: Hardware, progress: Progress, notify: Notify) -> Tools:
    features = {
        weights: load_features(weights, layers, recipe.run.seed, progress).to(hardware.device)
        for weights, layers in _feature_layers(recipe).items()
    }
    if RANDOM in features:
        notify(warning("The feature network has random weights: its losses mean nothing."))
    return Tools(
        generator=_running(state, recipe, hardware),
        features=features,
        teacher=_teacher(recipe, hardware, progress, notify),
        hardware=hardware,
    )


def _running(state: TrainingState, recipe: Recipe, hardware: Hardware) -> Callable[..., Tensor]:
    """Return the state's network in the form that steps run."""
    if recipe.run.cuda_graphs:
        return graphs.recorded(state.generator, state.spec, recipe, hardware)
    generator = hardware.team.parallel(state.generator)
    return torch.compile(generator) if recipe.run.compile else generator


def _teacher(recipe: Recipe, hardware: Hardware, progress: Progress, notify: Notify) -> nn.Module | None:
    if recipe.teacher is None:
        return None
    denoise = recipe.teacher.denoise if recipe.teacher.denoise < 1 else None
    teacher = resolve(recipe.teacher.weights, denoise=denoise, progress=progress, notify=notify)
    if teacher.spec.scale != recipe.network.scale:
        raise UsageError(f"The teacher {teacher.name} enlarges {teacher.spec.scale} times.", "Choose another one.")
    return hardware.place(teacher.module)


def _start_folder(folder: Path, recipe: Recipe) -> None:
    """Make the folder of the run with its recipe. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write to {folder}: {error.strerror or error}.", "Choose another -o.") from error
    atomic.write_bytes(folder / "recipe.toml", to_toml(recipe).encode())

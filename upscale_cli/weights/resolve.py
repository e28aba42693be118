"""From what the user typed (a name, an id, a file, or nothing) to a network that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.networks import NetworkSpec, build, recognise
from upscale_cli.weights.download import Progress, cache_folder, cached_path, fetch, silent
from upscale_cli.weights.interpolate import interpolate
from upscale_cli.weights.manifest import WeightsRecord, load_manifest
from upscale_cli.weights.state_dict import SUFFIXES, open_state

EMBEDDED_FOLDER = Path(__file__).with_name("embedded")
EMBEDDED_DEFAULT = "lite-x4"
DENOISED = "realesr-general-x4v3"


@dataclass(frozen=True)
class ResolvedNetwork:
    """A network in fp32 on the CPU, what is known of its weights, and what the user should be told."""

    name: str
    spec: NetworkSpec
    module: nn.Module
    facts: dict[str, str]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadedWeights:
    """One weights file: recognised, under canonical keys, in the file's own precision."""

    name: str
    spec: NetworkSpec
    tensors: dict[str, Tensor]
    facts: dict[str, str]
    notices: tuple[str, ...] = ()


def is_path(model: str | Path) -> bool:
    """Whether ``model`` means a file: it has a folder or a weights suffix, or it is there."""
    path = Path(model)
    return isinstance(model, Path) or len(path.parts) > 1 or path.suffix in SUFFIXES or path.is_file()


def locate(record: WeightsRecord, progress: Progress = silent) -> Path:
    """The record's verified file: the package's own, the cached one, or a new download."""
    return EMBEDDED_FOLDER / record.file if record.embedded else fetch(record, cache_folder(), progress)


def load(model: str | Path, progress: Progress = silent) -> LoadedWeights:
    """Open and recognise the weights of a manifest name, an OpenModelDB id, or a file."""
    if is_path(model):
        return _load_file(Path(model), Path(model).stem)
    record = load_manifest().find(str(model))
    if record.kind != "generator":
        raise WeightsError(
            f"{record.name} is a {record.kind} network: it enlarges nothing.", "Choose a model to upscale."
        )
    fresh = not record.embedded and not cached_path(record, cache_folder()).exists()
    loaded = _load_file(locate(record, progress), record.name)
    return LoadedWeights(loaded.name, loaded.spec, loaded.tensors, loaded.facts, notices_on(record, fresh))


def _load_file(path: Path, name: str) -> LoadedWeights:
    opened = open_state(path)
    try:
        spec, tensors = recognise(opened.tensors)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.message}", error.hint) from error
    return LoadedWeights(name, spec, tensors, opened.facts)


def notices_on(record: WeightsRecord, fresh: bool) -> tuple[str, ...]:
    """What to tell of a record: its licence where that restricts, and, ``fresh``, that it is pinned from now on."""
    notices = []
    if record.non_commercial:
        notices.append(f"{record.name} is licensed {record.licence}: not for commercial use.")
    if record.licence is None:
        notices.append(f"{record.name} states no licence: ask its author before you publish results.")
    if fresh and record.pinned and not record.embedded:
        notices.append(
            f"{record.name} has no published hash: the file downloaded now is pinned and later changes refused."
        )
    return tuple(notices)


def resolve(
    model: str | Path, alpha: float | None = None, denoise: float | None = None, progress: Progress = silent
) -> ResolvedNetwork:
    """The network called ``model``, built; or its mix with its manifest partner.

    ``alpha``: share of the GAN-trained network, the rest is its PSNR-trained partner. ``denoise``: share of
    realesr-general-x4v3, the rest is its weakly denoising partner. Raises WeightsError, DownloadError, UsageError.
    """
    if denoise is not None:
        return _resolve_mix(DENOISED, _require_denoise(model, alpha, denoise), progress)
    if alpha is not None:
        return _resolve_mix(model, alpha, progress)
    return built(load(model, progress))


def built(weights: LoadedWeights) -> ResolvedNetwork:
    """The network of loaded weights, in fp32."""
    state = {key: t.to(torch.float32) if t.is_floating_point() else t for key, t in weights.tensors.items()}
    return ResolvedNetwork(weights.name, weights.spec, build(weights.spec, state), weights.facts, weights.notices)


def _require_denoise(model: str | Path, alpha: float | None, denoise: float) -> float:
    if str(model).lower() != DENOISED:
        raise UsageError(f"--denoise works with {DENOISED} only.", f"Add -m {DENOISED}.")
    if alpha is not None:
        raise UsageError("--denoise and --alpha mix the same two networks.", "Give one of them.")
    return denoise


def _resolve_mix(model: str | Path, alpha: float, progress: Progress) -> ResolvedNetwork:
    if is_path(model):
        raise UsageError("--alpha needs a model with a partner, and a file has none.", "Name a model of the manifest.")
    manifest = load_manifest()
    record = manifest.find(str(model))
    pair = manifest.pair(record)
    if pair is None:
        partnered = ", ".join(r.name for r in manifest.curated if r.partner and r.kind == "generator")
        raise WeightsError(f"{record.name} has no partner to be mixed with.", f"Models with one: {partnered}.")
    first, second = (load(partner.name, progress) for partner in pair)
    strange = f"An alpha of {alpha:g} lies outside 0 to 1: it extrapolates, which may look strange."
    extrapolation = () if 0 <= alpha <= 1 else (strange,)
    if first.spec != second.spec:
        raise WeightsError(
            f"{first.name} and {second.name} differ in structure and cannot be mixed.", "Use one of them."
        )
    mixed = interpolate(first.tensors, second.tensors, alpha)
    name = f"{second.name}+{first.name}@{alpha:g}"
    return built(LoadedWeights(name, second.spec, mixed, {}, extrapolation + first.notices + second.notices))


def resolve_default(
    device_type: str,
    scale: float,
    alpha: float | None = None,
    denoise: float | None = None,
    progress: Progress = silent,
) -> ResolvedNetwork:
    """The network for a user who named none: the best one on a GPU, the embedded one on a CPU.

    Where the best one cannot be downloaded the embedded one takes its place, with a notice.
    """
    if denoise is not None:
        return resolve(DENOISED, alpha, denoise, progress)
    if alpha is not None:
        return resolve("esrgan-x4", alpha, None, progress)
    if device_type == "cpu":
        better = "-m realesrgan-x4plus is far slower on a CPU, but better on damaged pictures"
        notice = f"Using the embedded network {EMBEDDED_DEFAULT}; {better}."
        return _with_notice(resolve(EMBEDDED_DEFAULT), notice)
    best = "realesrgan-x2plus" if scale <= 2 else "realesrgan-x4plus"
    try:
        return resolve(best, progress=progress)
    except DownloadError as error:
        notice = f"Warning: using the embedded network {EMBEDDED_DEFAULT} instead of {best}: {error.message}"
        return _with_notice(resolve(EMBEDDED_DEFAULT), notice)


def _with_notice(network: ResolvedNetwork, notice: str) -> ResolvedNetwork:
    return ResolvedNetwork(network.name, network.spec, network.module, network.facts, (notice, *network.notices))

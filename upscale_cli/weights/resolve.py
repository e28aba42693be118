"""From what the user typed (a name, an id, a file, or nothing) to a network that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.networks import NetworkSpec, build
from upscale_cli.networks.architecture import StateDict
from upscale_cli.notices import Notice, Notify, ignore, note, warning
from upscale_cli.weights.load import is_path, load
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.mixture import load_default_pair, mixed
from upscale_cli.weights.transfer import Progress, silent

LARGEST_SCALE_BY_X2 = 2  # up to here a network for twice the size is the default
DENOISED = "realesr-general-x4v3"


@dataclass(frozen=True)
class ResolvedNetwork:
    """A network in fp32 on the CPU, what is known of its weights, and what the user should be told."""

    name: str
    spec: NetworkSpec
    module: nn.Module
    facts: dict[str, str]
    notices: tuple[Notice, ...] = ()


def resolve(
    model: str | Path,
    alpha: float | None = None,
    denoise: float | None = None,
    progress: Progress = silent,
    notify: Notify = ignore,
) -> ResolvedNetwork:
    """The network called ``model``, built; or its mix with its manifest partner.

    ``alpha``: share of the GAN-trained network, the rest is its PSNR-trained partner. ``denoise``: share of
    realesr-general-x4v3, the rest is its weakly denoising partner. ``notify`` hears of licences and pins before a
    download. Raises WeightsError, DownloadError, UsageError.
    """
    if denoise is not None:
        return _resolve_mix(DENOISED, _require_denoise(model, alpha, denoise), progress, notify)
    if alpha is not None:
        return _resolve_mix(model, alpha, progress, notify)
    weights = load(model, progress, notify)
    return built(weights.name, weights.spec, weights.tensors, weights.facts)


def built(
    name: str, spec: NetworkSpec, tensors: StateDict, facts: dict[str, str], notices: tuple[Notice, ...] = ()
) -> ResolvedNetwork:
    """Return the network of recognised tensors, in fp32. Raises WeightsError where they are not all there."""
    state = {key: t.to(torch.float32) if t.is_floating_point() else t for key, t in tensors.items()}
    try:
        return ResolvedNetwork(name, spec, build(spec, state), facts, notices)
    except WeightsError as error:
        raise WeightsError(f"{name}: {error.message}", error.hint) from error


def _require_denoise(model: str | Path, alpha: float | None, denoise: float) -> float:
    if str(model).lower() != DENOISED:
        raise UsageError(f"--denoise works with {DENOISED} only.", f"Add -m {DENOISED}.")
    if alpha is not None:
        raise UsageError("--denoise and --alpha mix the same two networks.", "Give one of them.")
    return denoise


def _resolve_mix(model: str | Path, alpha: float, progress: Progress, notify: Notify) -> ResolvedNetwork:
    if is_path(model):
        raise UsageError("--alpha needs a model with a partner, and a file has none.", "Name a model of the manifest.")
    manifest = load_manifest()
    record = manifest.find(str(model))
    pair = manifest.pair(record)
    if pair is None:
        partnered = ", ".join(r.name for r in manifest.curated if r.partner and r.kind == "generator")
        raise WeightsError(f"{record.name} has no partner to be mixed with.", f"Models with one: {partnered}.")
    mixture = mixed([load(partner.name, progress, notify) for partner in pair], [1 - alpha, alpha])
    return built(mixture.name, mixture.spec, mixture.tensors, mixture.facts, mixture.notices)


def resolve_default(
    device_type: str,
    scale: float,
    alpha: float | None = None,
    denoise: float | None = None,
    progress: Progress = silent,
    notify: Notify = ignore,
) -> ResolvedNetwork:
    """The network for a user who named none: the best one on a GPU, an embedded one on a CPU.

    Up to twice the size a network for just that is taken. Where the best one cannot be downloaded an embedded one
    takes its place, with a notice.
    """
    if denoise is not None:
        return resolve(DENOISED, alpha, denoise, progress, notify)
    if alpha is not None:
        return _default_mix(alpha, progress, notify)
    best, embedded = (
        ("realesrgan-x2plus", "lite-x2") if scale <= LARGEST_SCALE_BY_X2 else ("realesrgan-x4plus", "lite-x4")
    )
    if device_type == "cpu":
        notice = (
            f"Using the embedded network {embedded}. "
            f"For damaged pictures: --restore, or, better but far slower on a CPU, -m {best}."
        )
        return _with_notice(resolve(embedded), note(notice))
    try:
        return resolve(best, progress=progress, notify=notify)
    except DownloadError as error:
        notice = f"Using the embedded network {embedded} instead of {best}: {error.message}"
        return _with_notice(resolve(embedded), warning(notice))


def _default_mix(alpha: float, progress: Progress, notify: Notify) -> ResolvedNetwork:
    first, second, notice = load_default_pair(progress, notify)
    mixture = mixed([first, second], [1 - alpha, alpha])
    return built(mixture.name, mixture.spec, mixture.tensors, mixture.facts, (notice, *mixture.notices))


def _with_notice(network: ResolvedNetwork, notice: Notice) -> ResolvedNetwork:
    return ResolvedNetwork(network.name, network.spec, network.module, network.facts, (notice, *network.notices))

"""From what the user typed (a name, a file, or nothing) to a network that is ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.networks import NetworkSpec, build, folded
from upscale_cli.networks.conditioned import WITHOUT_BLUR, conditions
from upscale_cli.notices import Notify, ignore, note, warning
from upscale_cli.weights.defaults import DENOISED, defaults
from upscale_cli.weights.load import LoadedWeights, is_path, load
from upscale_cli.weights.manifest import WeightsRecord, load_manifest
from upscale_cli.weights.mixture import Mixture, load_default_pair, mixed
from upscale_cli.weights.progress import Progress, silent
from upscale_cli.weights.state_dict import SUFFIXES


@dataclass(frozen=True)
class ResolvedNetwork:
    """A network in fp32 on the CPU, and what is known of its weights.

    It is the one for pictures without degradation; ``conditioned`` makes those for others, where there is one.
    """

    name: str
    spec: NetworkSpec
    module: nn.Module
    facts: dict[str, str]
    conditioned: LoadedWeights | Mixture | None = None

    @property
    def takes_blur(self) -> bool:
        """Whether the network can be given the blur of pictures."""
        return self.conditioned is not None and len(self.conditioned.spec.conditions) > WITHOUT_BLUR

    def under(self, conditions: Sequence[float]) -> nn.Module:
        """Return the module for pictures of these ``conditions``; of a network that takes none, its own."""
        if self.conditioned is None or not any(conditions):
            return self.module
        return build(*folded(self.conditioned.spec, self.conditioned.tensors, conditions))


def resolve(
    model: str | Path,
    alpha: float | None = None,
    denoise: float | None = None,
    progress: Progress = silent,
    notify: Notify = ignore,
) -> ResolvedNetwork:
    """Return the network of a manifest name or a file, built; or its mix with its manifest partner.

    ``alpha``: share of the GAN-trained network, the rest is its PSNR-trained partner. ``denoise``: share of
    realesr-general-x4v3, the rest is its weakly denoising partner. The partner of a file is looked for beside it.
    ``notify`` gets licences and pins before a download. Raises WeightsError, DownloadError, UsageError.
    """
    if alpha is not None and denoise is not None:
        raise UsageError("--denoise and --alpha mix the same two networks.", "Give one of them.")
    share = alpha if denoise is None else denoise
    if share is None:
        network = built(load(model, progress, notify))
        record = None if is_path(model) else load_manifest().find(str(model))
        if record is not None and record.for_degraded is not None:
            return replace(network, conditioned=built(load(record.for_degraded, progress, notify)).conditioned)
        if record is not None and record.for_sharp is not None:
            sharp = built(load(record.for_sharp, progress, notify))
            return replace(network, spec=sharp.spec, module=sharp.module)
        return network
    psnr, gan = pair_of(model, "--alpha" if denoise is None else "--denoise")
    return _mix(load(psnr, progress, notify), load(gan, progress, notify), share, notify)


def built(weights: LoadedWeights | Mixture) -> ResolvedNetwork:
    """Return the network of recognised weights, in fp32. Raises WeightsError where tensors are missing or misshapen."""
    state = {key: t.to(torch.float32) if t.is_floating_point() else t for key, t in weights.tensors.items()}
    conditioned = replace(weights, tensors=state) if weights.spec.conditions else None
    try:
        spec, plain = folded(weights.spec, state, conditions())
        return ResolvedNetwork(weights.name, spec, build(spec, plain), weights.facts, conditioned)
    except WeightsError as error:
        raise WeightsError(f"{weights.name}: {error.message}", error.hint) from error


def _mix(psnr: LoadedWeights, gan: LoadedWeights, share: float, notify: Notify) -> ResolvedNetwork:
    mixture = mixed([psnr, gan], [1 - share, share])
    for notice in mixture.notices:
        notify(notice)
    return built(mixture)


def pair_of(model: str | Path, option: str) -> tuple[str | Path, str | Path]:
    """Return the (PSNR-trained, GAN-trained) pair that ``model`` is of; of a file, by its name in the manifest."""
    manifest, is_file = load_manifest(), is_path(model)
    record = manifest.get(Path(model).stem) if is_file else manifest.find(str(model))
    if option == "--denoise" and (record is None or record.name != DENOISED):
        raise UsageError(f"--denoise works with {DENOISED} only.", f"Add -m {DENOISED}.")
    if record is None:
        raise UsageError(f"--alpha needs a model with a partner, and {model} is none.", "Name one of the manifest.")
    pair = manifest.pair(record)
    if pair is None:
        partnered = ", ".join(r.name for r in manifest.curated if r.partner and r.kind == "generator")
        raise WeightsError(f"{record.name} has no partner to be mixed with.", f"Models with one: {partnered}.")
    if not is_file:
        return pair[0].name, pair[1].name
    psnr, gan = (Path(model) if end == record else _beside(Path(model), end) for end in pair)
    return psnr, gan


def _beside(path: Path, partner: WeightsRecord) -> Path:
    """Return the partner's file in the folder of ``path``. Raises UsageError where it is not there."""
    stem = Path(partner.file).stem
    for suffix in (path.suffix, *SUFFIXES):
        if (candidate := path.with_name(stem + suffix)).is_file():
            return candidate
    raise UsageError(f"{path} is mixed with {stem}, which is not beside it.", f"Put {partner.file} there.")


def resolve_default(
    device_type: str,
    scale: float,
    alpha: float | None = None,
    denoise: float | None = None,
    progress: Progress = silent,
    notify: Notify = ignore,
) -> ResolvedNetwork:
    """Return the network for a user who named none: the best one on a GPU, an embedded one on a CPU.

    Up to twice the size it is a network for just that. Where the best one cannot be downloaded, an embedded one takes
    its place, with a warning.
    """
    if denoise is not None:
        return resolve(DENOISED, alpha, denoise, progress, notify)
    if alpha is not None:
        return _mix(*load_default_pair(progress, notify), alpha, notify)
    best, embedded = defaults(scale)
    if device_type == "cpu":
        advice = f"Better for degraded photographs, but far slower on a CPU: -m {best}."
        notify(note(f"Using the embedded network {embedded}. {advice}"))
        return resolve(embedded)
    try:
        return resolve(best, progress=progress, notify=notify)
    except DownloadError as error:
        notify(warning(f"Using the embedded network {embedded} instead of {best}: {error.message}"))
        return resolve(embedded)

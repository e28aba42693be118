"""Network interpolation (Wang et al. 2018, ESRGAN, section 3.4): networks mixed tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from string import ascii_lowercase

import torch
from torch import Tensor

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.networks import NetworkSpec
from upscale_cli.networks.architecture import StateDict
from upscale_cli.notices import Notice, Notify, note, warning
from upscale_cli.weights.cache import sha256_of
from upscale_cli.weights.defaults import DEFAULT_PAIR
from upscale_cli.weights.load import LoadedWeights, for_clean, load
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.progress import Progress


@dataclass(frozen=True)
class Mixture:
    """Mixed tensors under canonical keys, what they were made of, and what the user should know."""

    name: str
    spec: NetworkSpec
    tensors: dict[str, Tensor]
    facts: dict[str, str]
    notices: tuple[Notice, ...]


def mixed(loaded: Sequence[LoadedWeights], shares: Sequence[float], layers: str = "*") -> Mixture:
    """Return Σ shareᵢ·networkᵢ; tensors whose names do not match ``layers`` are the first network's.

    A conditioned network is mixed with another as it is for pictures without degradation. Raises WeightsError where the
    networks differ in architecture, scale or shape, UsageError where the shares do not
    sum to one.
    """
    if not loaded:
        raise UsageError("There is nothing to mix.", "Name the networks as NAME=SHARE.")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UsageError(f"The shares sum to {sum(shares):g}, not to 1.", "Divide each by their sum.")
    if len({weights.spec.conditions for weights in loaded}) > 1:
        loaded = [for_clean(weights) for weights in loaded]
    first = loaded[0]
    for other in loaded[1:]:
        if (first.spec.architecture, first.spec.scale) != (other.spec.architecture, other.spec.scale):
            kinds = " and ".join(f"{w.name} is {w.spec.architecture} x{w.spec.scale}" for w in (first, other))
            difference = _first_difference(first.tensors, other.tensors)
            raise WeightsError(f"{kinds}: they cannot be mixed ({difference}).", "Mix networks of one kind.")
    tensors = mix([weights.tensors for weights in loaded], shares, layers)
    name = " + ".join(f"{share:.4g} {weights.name}" for weights, share in zip(loaded, shares, strict=True))
    notices = []
    if not all(0 <= share <= 1 for share in shares):
        stated = ", ".join(f"{share:g}" for share in shares)
        notices.append(note(f"The shares {stated} leave 0 to 1: extrapolation may look strange."))
    return Mixture(name, first.spec, tensors, _facts(loaded, shares, layers), tuple(notices))


def _facts(loaded: Sequence[LoadedWeights], shares: Sequence[float], layers: str) -> dict[str, str]:
    facts = {"made by": "upscale interp", "layers": layers}
    if len(loaded) == 2:
        facts["alpha"] = f"{shares[1]:.6g}"
    for letter, weights, share in zip(ascii_lowercase, loaded, shares, strict=False):
        facts[letter] = f"{share:.6g} of {weights.name}"
        facts[f"{letter} sha256"] = sha256_of(weights.path)
    return facts


def mix(states: Sequence[StateDict], shares: Sequence[float], layers: str = "*") -> dict[str, Tensor]:
    """Return Σ shareᵢ·stateᵢ in fp32, for canonical state dicts of one architecture and size.

    Tensors whose key does not match the pattern ``layers``, and counters (integer tensors), are the first one's; a
    share of 1 gives that one's tensors unchanged. Raises WeightsError naming the first tensor that differs, or where no
    key matches.
    """
    first = states[0]
    for other in states[1:]:
        if difference := _first_difference(first, other):
            hint = "Mix networks of the same architecture, size and scale."
            raise WeightsError(f"The networks cannot be mixed: {difference}.", hint)
    if not any(fnmatchcase(key, layers) for key in first):
        raise WeightsError(f"No tensor's name matches {layers!r}.", f"Names look like {next(iter(first))}.")
    return {
        key: _mix_tensors([state[key] for state in states], shares) if fnmatchcase(key, layers) else tensor
        for key, tensor in first.items()
    }


def _mix_tensors(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    if 1 in shares and all(share in (0, 1) for share in shares):
        return tensors[shares.index(1)]
    if not tensors[0].is_floating_point():
        return tensors[0]
    total = torch.zeros(tensors[0].shape, dtype=torch.float32)
    for tensor, share in zip(tensors, shares, strict=True):
        total += share * tensor.to(torch.float32)
    return total


def _first_difference(a: StateDict, b: StateDict) -> str | None:
    """Return the first tensor whose shapes differ, in words; None where all agree."""
    for key in [*a, *b]:
        shapes = [tuple(state[key].shape) if key in state else "missing" for state in (a, b)]
        if shapes[0] != shapes[1]:
            return f"tensor {key} is {shapes[0]} in one and {shapes[1]} in the other"
    return None


def load_default_pair(
    progress: Progress, notify: Notify, or_embedded: bool = True
) -> tuple[LoadedWeights, LoadedWeights]:
    """Return ESRGAN's (PSNR-trained, GAN-trained) pair; where it cannot be downloaded an embedded pair, with a warning.

    ``notify`` gets which. Raises DownloadError where there is neither, or the embedded one is not wanted.
    """
    manifest = load_manifest()
    pair = manifest.pair(manifest.find(DEFAULT_PAIR))
    assert pair is not None, "the manifest names a partner of its default pair"
    try:
        loaded = load(pair[0].name, progress, notify), load(pair[1].name, progress, notify)
    except DownloadError as error:
        if not or_embedded:
            hint = "Go online, or name two networks, such as lite-x4 and lite-x4-restore."
            raise DownloadError(error.message, hint) from error
        pair = next((found for record in manifest.embedded if (found := manifest.pair(record))), None)
        if pair is None:
            raise
        notify(warning(f"Mixing the embedded networks {pair[0].name} and {pair[1].name}: {error.message}"))
        return load(pair[0].name), load(pair[1].name)
    notify(note(f"Mixing {pair[0].name} and {pair[1].name}."))
    return loaded

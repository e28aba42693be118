"""Networks made of others: which, how much of each, and where that is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from upscale_cli.errors import DownloadError, UsageError, WeightsError
from upscale_cli.networks import NetworkSpec
from upscale_cli.notices import Notice, Notify, note, warning
from upscale_cli.weights.cache import sha256_of
from upscale_cli.weights.interpolate import first_difference, mix
from upscale_cli.weights.load import LoadedWeights, load
from upscale_cli.weights.manifest import Manifest, WeightsRecord, load_manifest
from upscale_cli.weights.state_dict import save_state
from upscale_cli.weights.transfer import Progress

DEFAULT_PAIR = "esrgan-x4"


@dataclass(frozen=True)
class Mixture:
    """Mixed tensors under canonical keys, what they were made of, and what the user should be told."""

    name: str
    spec: NetworkSpec
    tensors: dict[str, Tensor]
    facts: dict[str, str]
    notices: tuple[Notice, ...] = ()


def mixed(loaded: Sequence[LoadedWeights], shares: Sequence[float], layers: str = "*") -> Mixture:
    """Σ shareᵢ·networkᵢ; tensors whose names do not match ``layers`` are the first network's.

    Raises WeightsError where the networks differ in architecture, scale or shape, UsageError where the shares do not
    sum to one.
    """
    _require_one_structure(loaded)
    if abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"The shares sum to {sum(shares):g}, not to 1.", "Divide each by their sum.")
    tensors = mix([weights.tensors for weights in loaded], shares, layers)
    name = " + ".join(f"{share:.4g} {weights.name}" for weights, share in zip(loaded, shares, strict=True))
    return Mixture(name, loaded[0].spec, tensors, _facts(loaded, shares, layers), _extrapolation(shares))


def _require_one_structure(loaded: Sequence[LoadedWeights]) -> None:
    if not loaded:
        raise UsageError("There is nothing to mix.", "Name the networks as NAME=SHARE.")
    first = loaded[0]
    for other in loaded[1:]:
        if first.spec.architecture != other.spec.architecture or first.spec.scale != other.spec.scale:
            kinds = " and ".join(f"{w.name} is {w.spec.architecture} x{w.spec.scale}" for w in (first, other))
            difference = first_difference(first.tensors, other.tensors)
            raise WeightsError(f"{kinds}: they cannot be mixed ({difference}).", "Mix networks of one kind.")


def _extrapolation(shares: Sequence[float]) -> tuple[Notice, ...]:
    if all(0 <= share <= 1 for share in shares):
        return ()
    left = ", ".join(f"{share:g}" for share in shares)
    return (note(f"The shares {left} leave 0 to 1: extrapolation may look strange."),)


def _facts(loaded: Sequence[LoadedWeights], shares: Sequence[float], layers: str) -> dict[str, str]:
    facts = {"made by": "upscale interp", "layers": layers}
    if len(loaded) == 2:
        facts["alpha"] = f"{shares[1]:.6g}"
    for letter, weights, share in zip("abcdefghijklmnopqrstuvwxyz", loaded, shares, strict=False):
        facts[letter] = f"{share:.6g} of {weights.name}"
        facts[f"{letter} sha256"] = sha256_of(weights.path)
    return facts


def save_mixture(path: Path, mixture: Mixture) -> None:
    """Write a mixture, with its facts, where ``-m`` and other tools open it. Raises OutputError."""
    save_state(path, mixture.tensors, mixture.facts)


def load_default_pair(progress: Progress, notify: Notify) -> tuple[LoadedWeights, LoadedWeights, Notice]:
    """(PSNR-trained, GAN-trained, what to tell): ESRGAN's, or, without network, an embedded pair.

    Raises DownloadError where there is neither.
    """
    manifest = load_manifest()
    pair = manifest.pair(manifest.find(DEFAULT_PAIR))
    assert pair is not None, "the manifest names a partner of its default pair"
    try:
        return (*_load_both(pair, progress, notify), note(f"Mixing {pair[0].name} and {pair[1].name}."))
    except DownloadError as error:
        embedded = _embedded_pair(manifest)
        if embedded is None:
            raise
        names = f"{embedded[0].name} and {embedded[1].name}"
        return (
            *_load_both(embedded, progress, notify),
            warning(f"Mixing the embedded networks {names}: {error.message}"),
        )


def _load_both(
    pair: tuple[WeightsRecord, WeightsRecord], progress: Progress, notify: Notify
) -> tuple[LoadedWeights, LoadedWeights]:
    return load(pair[0].name, progress, notify), load(pair[1].name, progress, notify)


def _embedded_pair(manifest: Manifest) -> tuple[WeightsRecord, WeightsRecord] | None:
    return next((pair for record in manifest.embedded if (pair := manifest.pair(record))), None)

"""One weights file: found by name or path, opened, recognised."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from upscale_cli.errors import WeightsError
from upscale_cli.networks import NetworkSpec, folded, recognise
from upscale_cli.networks.conditioned import conditions
from upscale_cli.notices import Notice, Notify, ignore, note
from upscale_cli.weights.cache import cache_folder, cached_path
from upscale_cli.weights.manifest import WeightsRecord, load_manifest
from upscale_cli.weights.progress import Progress, silent
from upscale_cli.weights.state_dict import SUFFIXES, open_state

EMBEDDED_FOLDER = Path(__file__).with_name("embedded")


@dataclass(frozen=True)
class LoadedWeights:
    """One weights file: recognised, under canonical keys, in the file's own precision."""

    name: str
    spec: NetworkSpec
    tensors: dict[str, Tensor]
    facts: dict[str, str]
    path: Path


def for_clean(weights: LoadedWeights) -> LoadedWeights:
    """Return ``weights``, of a conditioned network as the plain one that it is for pictures without degradation."""
    spec, tensors = folded(weights.spec, weights.tensors, conditions())
    return replace(weights, spec=spec, tensors=tensors)


def is_path(model: str | Path) -> bool:
    """Return True if ``model`` means a file: it has a folder or a weights suffix, or it exists."""
    path = Path(model)
    return isinstance(model, Path) or len(path.parts) > 1 or path.suffix in SUFFIXES or os.path.isfile(path)  # noqa: PTH113  (False, not an error, for a name too long for a file)


def local_path(record: WeightsRecord) -> Path:
    """Return where the record's file is, or would be after a download."""
    return EMBEDDED_FOLDER / record.file if record.embedded else cached_path(record, cache_folder())


def locate(record: WeightsRecord, progress: Progress = silent, notify: Notify = ignore) -> Path:
    """Return the record's verified file: the package's own, the cached one, or a new download."""
    if record.embedded:
        return local_path(record)
    from upscale_cli.weights.download import fetch

    return fetch(record, cache_folder(), progress, notify)


def load(model: str | Path, progress: Progress = silent, notify: Notify = ignore) -> LoadedWeights:
    """Open and recognise the weights of a manifest name or a file.

    ``notify`` gets restrictive licences and pins before anything is downloaded. Raises WeightsError, DownloadError.
    """
    if is_path(model):
        return _load_file(Path(model), Path(model).stem)
    record = load_manifest().find(str(model))
    if record.kind != "generator":
        raise WeightsError(f"{record.name} is a {record.kind} network: it enlarges nothing.", "Choose another model.")
    if record.extra and find_spec(record.extra) is None:
        extra = f"Run: pip install 'upscale-cli[{record.extra}]'"
        raise WeightsError(f"{record.name} is of the architecture {record.architecture}, which needs an extra.", extra)
    for notice in notices_on(record):
        notify(notice)
    return _load_file(locate(record, progress, notify), record.name)


def load_tensors(weights: str, kind: str, progress: Progress = silent) -> dict[str, Tensor]:
    """Return the tensors of a manifest name of ``kind``, or of a file. Raises WeightsError, DownloadError."""
    if is_path(weights):
        return open_state(Path(weights)).tensors
    record = load_manifest().find(weights)
    if record.kind != kind:
        raise WeightsError(f"{record.name} is a {record.kind} network, not one for {kind}.", "Choose another one.")
    return open_state(locate(record, progress)).tensors


def _load_file(path: Path, name: str) -> LoadedWeights:
    if not path.exists() and (record := load_manifest().get(path.stem)):
        raise WeightsError(f"Cannot read the weights {path}: there is no such file.", f"-m {record.name} downloads it.")
    opened = open_state(path)
    try:
        spec, tensors = recognise(opened.tensors)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.message}", error.hint) from error
    return LoadedWeights(name, spec, tensors, opened.facts, path)


def notices_on(record: WeightsRecord) -> list[Notice]:
    """Return what a user of the record should know: a restrictive licence, and a pin that its download will set."""
    notices = []
    if record.non_commercial:
        notices.append(note(f"{record.name} is licensed {record.licence}: not for commercial use."))
    if record.licence is None:
        notices.append(note(f"{record.name} states no licence: ask its author before you publish results."))
    if record.pinned and not record.embedded and not local_path(record).exists():
        text = f"{record.name} has no published hash: the file downloaded now is pinned and later changes refused."
        notices.append(note(text))
    return notices

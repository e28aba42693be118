"""The weights files that another machine needs: gathered on one, laid out on the other."""

from __future__ import annotations

from pathlib import Path

from upscale_cli.notices import Notify, ignore
from upscale_cli.weights.load import is_path, locate
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.progress import Progress, silent
from upscale_cli.weights.resolve import pair_of


def files_of(
    model: str | Path,
    mixed_by: str | None = None,
    progress: Progress = silent,
    notify: Notify = ignore,
) -> list[Path]:
    """Return the files that ``resolve`` opens for ``model``, downloaded where need be, without the package's own.

    ``mixed_by``: the option that mixes it with its partner. Raises WeightsError, DownloadError, UsageError.
    """
    names: list[str | Path] = [model] if mixed_by is None else list(pair_of(model, mixed_by))
    manifest, files = load_manifest(), []
    for name in names:
        if is_path(name):
            files.append(Path(name))
            continue
        record = manifest.find(str(name))
        others = [manifest.find(other) for other in (record.for_degraded, record.for_sharp) if other]
        files += [locate(each, progress, notify) for each in (record, *others) if not each.embedded]
    return files

"""How outputs are named: beside their input, in a folder of results, or as a file that was named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from upscale_cli.addresses import Address, place
from upscale_cli.errors import UsageError
from upscale_cli.images import formats
from upscale_cli.images.formats import Format
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.listing import Found

Existing = Literal["auto", "overwrite", "skip"]

SHORTEST = 3  # parts of an address that has a place beside it: the store, the bucket, a folder


@dataclass(frozen=True)
class Naming:
    """How outputs are named.

    ``output``: a file for one picture, else a folder; None: beside the input. ``suffix``: None for ``label`` where the
    target lies beside its source, and nothing elsewhere. ``existing`` targets: "auto" refuses to replace a single
    picture and skips those of a folder, so that a repeated run continues.

    Raises UsageError where ``suffix`` cannot be a part of a file's name.
    """

    label: str
    output: str | None = None
    suffix: str | None = None
    format: Format | None = None
    recursive: bool = False
    existing: Existing = "auto"
    compare: bool = False

    def __post_init__(self) -> None:
        if self.suffix and (Path(f"x{self.suffix}").name != f"x{self.suffix}" or "\0" in self.suffix):
            raise UsageError(
                f"The suffix {self.suffix} cannot be a part of a file's name.", "Choose another folder with -o."
            )


def require_folder_for_several(named: Sequence[Found], naming: Naming) -> None:
    """Raise UsageError where the output is a file for one picture, and ``named`` are several."""
    if naming.output is None or not _is_file_name(naming.output) or formats.of_path(Path(naming.output)) is None:
        return
    if len(named) > 1 or named[0].path.is_dir():
        raise UsageError(
            f"{naming.output} is one picture, but several are to be made.",
            f"For a folder, write {naming.output}{os.sep}.",
        )


def folder_for(argument: Path, naming: Naming) -> Path:
    """Return the folder that takes the results of the folder ``argument``."""
    if naming.output:
        return place(naming.output)
    named = argument.resolve() if argument.name in ("", "..") else argument
    if not named.name or (isinstance(named, Address) and len(named.parts) < SHORTEST):
        raise UsageError(f"{argument} has no place beside it for results.", "Name a folder with -o.")
    return named.with_name(f"{named.name}_{naming.label}")


def job_of(item: Found, alone: bool, naming: Naming) -> Job:
    """Return the job of ``item``, whose target has the name that ``naming`` gives it; ``alone``: it was named alone.

    Raises UsageError where name and format contradict each other.
    """
    if item.root is not None:
        inside = Path(*item.path.relative_to(item.root).parts)
        target = folder_for(item.root, naming) / _renamed(inside, naming.suffix or "", naming)
    elif naming.output is None:
        suffix = f"_{naming.label}" if naming.suffix is None else naming.suffix
        target = _renamed(item.path, suffix, naming)
    elif alone and _is_file_name(naming.output):
        target = place(naming.output)
        kind = formats.of_target(target)
        if naming.format and naming.format != kind:
            reason = f"{target} and --format {naming.format.name} contradict each other."
            raise UsageError(reason, "Leave one of them out.")
    else:
        target = place(naming.output) / _renamed(Path(item.path.name), naming.suffix or "", naming)
    replaces = naming.existing == "overwrite"
    if not naming.compare:
        return Job(item.path, target, replaces=replaces)
    extension = target.suffix if formats.of_target(target).name == "jpeg" else ".png"  # which holds the double width
    return Job(item.path, target, target.with_name(f"{target.stem}_compare{extension}"), replaces=replaces)


def _renamed(path: Path, suffix: str, naming: Naming) -> Path:
    extension = path.suffix if formats.of_path(path) else ".png"
    if naming.format and naming.format != formats.of_path(path):
        extension = naming.format.extensions[0]
    return path.with_name(f"{path.stem}{suffix}{extension}")


def _is_file_name(output: str) -> bool:
    return bool(Path(output).suffix) and not output.endswith(("/", os.sep)) and not place(output).is_dir()

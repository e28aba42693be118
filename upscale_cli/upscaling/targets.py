"""Which file an input becomes. Everything that could go wrong with names is refused before any work."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from upscale_cli.errors import InputError, OutputError, UsageError
from upscale_cli.images import formats
from upscale_cli.images.formats import Format

Existing = Literal["auto", "overwrite", "skip"]


@dataclass(frozen=True)
class Job:
    """One picture to be read and the file to be written; ``comparison``: the before/after picture beside it."""

    source: Path
    target: Path
    comparison: Path | None = None


@dataclass(frozen=True)
class Naming:
    """How targets are called.

    ``output``: a file for one picture, else a folder; None: beside the input. ``suffix``: None for ``label`` where the
    target lies beside its source, and nothing elsewhere. ``existing`` targets: "auto" refuses to replace a single
    picture and skips those of a folder, so that a repeated run continues.
    """

    label: str
    output: str | None = None
    suffix: str | None = None
    format: Format | None = None
    recursive: bool = False
    existing: Existing = "auto"
    compare: bool = False


@dataclass(frozen=True)
class Plan:
    """What will be done, what is done already, and how many files of the folders are no pictures."""

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    ignored: int = 0


@dataclass(frozen=True)
class _Found:
    """A picture, and the folder it was found through, if it was not named itself."""

    path: Path
    root: Path | None = None


def plan(inputs: Sequence[str], naming: Naming) -> Plan:
    """The jobs of all ``inputs``: files, folders and patterns.

    Raises InputError (missing inputs, nothing found), UsageError (collisions, several pictures into one file, a
    target that is an input) and OutputError (places that cannot be written).
    """
    arguments = [path for text in inputs for path in _expand(text)]
    found, ignored = _find(arguments, naming)
    if not found:
        raise InputError(f"There are no pictures in {', '.join(inputs)}.", "Add -r to look into subfolders.")
    jobs = [_job(item, len(arguments) == 1, naming) for item in found]
    _require_distinct(jobs)
    _require_writable(jobs)
    single = len(arguments) == 1 and found[0].root is None
    return _without_existing(jobs, naming, single, ignored)


def _expand(text: str) -> list[Path]:
    path = Path(text)
    if path.exists() or path.is_symlink():
        return [path]
    if glob.has_magic(text):
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207  (absolute patterns too)
        if matches:
            return matches
        raise InputError(f"No file matches {text}.", "Check the pattern.")
    raise InputError(f"There is no file or folder {text}.", "Check the path.")


def _find(arguments: Iterable[Path], naming: Naming) -> tuple[list[_Found], int]:
    found: dict[Path, _Found] = {}
    ignored = 0
    for argument in arguments:
        if not argument.is_dir():
            found.setdefault(argument.resolve(), _Found(argument))
            continue
        for path in _walk(argument, naming.recursive, _folder_for(argument, naming)):
            if path.suffix.lower() in formats.EXTENSIONS:
                found.setdefault(path.resolve(), _Found(path, argument))
            else:
                ignored += 1
    return list(found.values()), ignored


def _walk(folder: Path, recursive: bool, output: Path) -> Iterator[Path]:
    """Visible files in a stable order, without those of the output folder, which may lie inside."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"Cannot read the folder {folder}.", "Check its permissions.")
    avoided = output.resolve()
    for place, folders, files in os.walk(folder):
        kept = sorted(
            name for name in folders if not name.startswith(".") and (Path(place) / name).resolve() != avoided
        )
        folders[:] = kept if recursive else []
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(place) / name


def _folder_for(argument: Path, naming: Naming) -> Path:
    """The folder that takes the results of a folder."""
    if naming.output:
        return Path(naming.output)
    absolute = argument.resolve()
    return (
        argument.parent / f"{absolute.name}_{naming.label}"
        if argument.name
        else absolute.with_name(f"{absolute.name}_{naming.label}")
    )


def _job(item: _Found, alone: bool, naming: Naming) -> Job:
    if item.root is not None:
        inside = item.path.relative_to(item.root)
        name = _renamed(inside, naming.suffix or "", naming)
        target = _folder_for(item.root, naming) / name
    elif naming.output is None:
        suffix = f"_{naming.label}" if naming.suffix is None else naming.suffix
        target = _renamed(item.path, suffix, naming)
    elif alone and _is_file_name(naming.output):
        target = _checked_file(Path(naming.output), naming)
    else:
        target = Path(naming.output) / _renamed(Path(item.path.name), naming.suffix or "", naming)
    return Job(item.path, target, target.with_stem(f"{target.stem}_compare") if naming.compare else None)


def _renamed(path: Path, suffix: str, naming: Naming) -> Path:
    extension = path.suffix if formats.of_path(path) else ".png"
    if naming.format and naming.format != formats.of_path(path):
        extension = naming.format.extensions[0]
    return path.with_name(f"{path.stem}{suffix}{extension}")


def _is_file_name(output: str) -> bool:
    return bool(Path(output).suffix) and not output.endswith(("/", os.sep)) and not Path(output).is_dir()


def _checked_file(target: Path, naming: Naming) -> Path:
    kind = formats.of_path(target)
    if kind is None:
        raise UsageError(f"{target} has no extension of a picture format.", f"Known formats: {formats.NAMES}.")
    if naming.format and naming.format != kind:
        raise UsageError(f"{target} and --format {naming.format.name} contradict each other.", "Leave one of them out.")
    return target


def _require_distinct(jobs: Sequence[Job]) -> None:
    sources = {_key(job.source): job.source for job in jobs}
    targets: dict[str, Path] = {}
    for job in jobs:
        for target in filter(None, (job.target, job.comparison)):
            key = _key(target)
            if key in sources:
                raise UsageError(f"{target} would replace the input {sources[key]}.", "Use another -o or --suffix.")
            if key in targets:
                raise UsageError(
                    f"{targets[key]} and {job.source} would both become {target}.", "Use another --suffix or --format."
                )
            targets[key] = job.source


def _key(path: Path) -> str:
    """One key for all spellings of a file, on file systems that ignore case too."""
    return str(path.parent.resolve() / path.name).casefold()


def _require_writable(jobs: Sequence[Job]) -> None:
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not existing.is_dir():
            raise OutputError(f"{existing} is a file, not a folder for results.", "Choose another place with -o.")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise OutputError(f"The folder {existing} cannot be written.", "Choose another place with -o.")
    for job in jobs:
        if job.target.is_dir():
            raise OutputError(f"{job.target} is a folder.", "Choose another name with -o.")


def _without_existing(jobs: Sequence[Job], naming: Naming, single: bool, ignored: int) -> Plan:
    there = tuple(job for job in jobs if job.target.exists())
    if naming.existing == "overwrite" or not there:
        return Plan(tuple(jobs), (), ignored)
    if naming.existing == "auto" and single:
        raise OutputError(f"{there[0].target} exists already.", "Add --overwrite, or choose another name with -o.")
    return Plan(tuple(job for job in jobs if job not in there), there, ignored)

"""Which file an input becomes. Whatever is wrong with names is refused before any work."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from upscale_cli import atomic
from upscale_cli.errors import InputError, OutputError, UsageError
from upscale_cli.images import formats
from upscale_cli.images.formats import Format
from upscale_cli.notices import Notice, warning
from upscale_cli.upscaling.job import Job

Existing = Literal["auto", "overwrite", "skip"]

# The name of a result beside its picture: photo_x4, photo_w1920_lite-x4, photo_1920x1080_compare.
OWN_RESULT = re.compile(r"(.+?)_(?:x[\d.]+|[wh]\d+|\d+x\d+)(?:_.+)?")


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


@dataclass(frozen=True)
class Plan:
    """The jobs to do, those done already, the number of files that are not pictures, and notices for the user.

    ``folders``: those that take the results of folders.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    ignored: int = 0
    notices: tuple[Notice, ...] = ()
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Found:
    """A picture, the folder in which it was found (None where it was named), and whether a pattern found it."""

    path: Path
    root: Path | None = None
    by_pattern: bool = False


def plan(inputs: Sequence[str], naming: Naming) -> Plan:
    """Return the jobs of all ``inputs``: files, folders and patterns.

    Raises InputError (missing inputs, nothing found), UsageError (collisions, several pictures into one file, a
    target that is an input) and OutputError (places that cannot be written).
    """
    named = [item for text in inputs for item in _expand(text)]
    _require_folder_for_several(named, naming)
    found, ignored = _find(named, naming)
    found = _without_own_results(found)
    if not found:
        raise InputError(f"There are no pictures in {', '.join(inputs)}.", "Add -r to look into subfolders.")
    jobs = [_job(item, len(named) == 1, naming) for item in found]
    _require_distinct(jobs)
    for output in (output for job in jobs for output in job.outputs):
        atomic.require_possible(output)
    single = len(named) == 1 and found[0].root is None
    folders = dict.fromkeys(_folder_for(item.root, naming) for item in found if item.root is not None)
    return replace(_without_existing(jobs, naming, single), ignored=ignored, folders=tuple(folders))


def _expand(text: str) -> list[_Found]:
    """Return what ``text`` names: a file, a folder, or all that match a pattern."""
    if not text.strip():
        raise UsageError("An empty path is no picture.", "Name a picture or folder; . is the current folder.")
    path = Path(text)
    try:
        path.stat()
        return [_Found(path)]
    except (FileNotFoundError, NotADirectoryError):
        pass  # it may be a pattern
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Cannot read {text}: {reason}.", "Check the path and its permissions.") from error
    if glob.has_magic(text):
        pattern = _with_real_folders_escaped(path)
        matches = glob.glob(pattern, recursive=True)  # noqa: PTH207  (absolute patterns too)
        if matches:
            return [_Found(match, by_pattern=True) for match in sorted(map(Path, matches))]
        raise InputError(f"No file matches {text}.", "Check the pattern.")
    raise InputError(f"There is no file or folder {text}.", "Check the path.")


def _with_real_folders_escaped(path: Path) -> str:
    """Return the pattern ``path``, the brackets of folders that exist by that name taken as they are."""
    there = next(folder for folder in (*path.parents, Path()) if folder == Path() or folder.is_dir())
    return str(Path(glob.escape(str(there))) / path.relative_to(there))


def _require_folder_for_several(named: Sequence[_Found], naming: Naming) -> None:
    if naming.output is None or not _is_file_name(naming.output) or formats.of_path(Path(naming.output)) is None:
        return
    if len(named) > 1 or named[0].path.is_dir():
        raise UsageError(
            f"{naming.output} is one picture, but several are to be made.",
            f"For a folder, write {naming.output}{os.sep}.",
        )


def _find(named: Iterable[_Found], naming: Naming) -> tuple[list[_Found], int]:
    found: dict[str, _Found] = {}
    ignored = 0
    for item in named:
        if not item.path.is_dir():
            found.setdefault(os.path.realpath(item.path), item)
            continue
        for path in _walk(item.path, naming.recursive, _folder_for(item.path, naming)):
            if path.suffix.lower() in formats.EXTENSIONS:
                found.setdefault(os.path.realpath(path), _Found(path, item.path))
            else:
                ignored += 1
    return list(found.values()), ignored


def _without_own_results(found: Sequence[_Found]) -> list[_Found]:
    """Leave out what patterns and folders found of earlier runs: names of other pictures found, and a size."""
    stems = {item.path.with_suffix("") for item in found}

    def is_result(path: Path) -> bool:
        match = OWN_RESULT.fullmatch(path.stem)
        return match is not None and path.with_name(match[1]) in stems

    return [item for item in found if not ((item.root or item.by_pattern) and is_result(item.path))]


def _walk(folder: Path, recursive: bool, output: Path) -> Iterator[Path]:
    """Yield visible files in a stable order, without those of the output folder, which may lie inside."""
    avoided = output.resolve()
    for place, folders, files in os.walk(folder, onerror=_refuse_folder):
        kept = sorted(
            name for name in folders if not name.startswith(".") and (Path(place) / name).resolve() != avoided
        )
        folders[:] = kept if recursive else []
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(place) / name


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"Cannot read the folder {error.filename}: {error.strerror}.", "Check its permissions.") from error


def _folder_for(argument: Path, naming: Naming) -> Path:
    """Return the folder that takes the results of the folder ``argument``."""
    if naming.output:
        return Path(naming.output)
    named = argument.resolve() if argument.name in ("", "..") else argument
    if not named.name:
        raise UsageError(f"{argument} has no place beside it for results.", "Name a folder with -o.")
    return named.with_name(f"{named.name}_{naming.label}")


def _job(item: _Found, alone: bool, naming: Naming) -> Job:
    if item.root is not None:
        inside = item.path.relative_to(item.root)
        target = _folder_for(item.root, naming) / _renamed(inside, naming.suffix or "", naming)
    elif naming.output is None:
        suffix = f"_{naming.label}" if naming.suffix is None else naming.suffix
        target = _renamed(item.path, suffix, naming)
    elif alone and _is_file_name(naming.output):
        target = Path(naming.output)
        kind = formats.of_target(target)
        if naming.format and naming.format != kind:
            reason = f"{target} and --format {naming.format.name} contradict each other."
            raise UsageError(reason, "Leave one of them out.")
    else:
        target = Path(naming.output) / _renamed(Path(item.path.name), naming.suffix or "", naming)
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
    return bool(Path(output).suffix) and not output.endswith(("/", os.sep)) and not Path(output).is_dir()


def _require_distinct(jobs: Sequence[Job]) -> None:
    sources = {_key(job.source): job.source for job in jobs}
    targets: dict[str, Path] = {}
    for job in jobs:
        for target in job.outputs:
            key = _key(target)
            if key in sources:
                raise UsageError(f"{target} would replace the input {sources[key]}.", "Use another -o or --suffix.")
            if key in targets:
                raise UsageError(
                    f"{targets[key]} and {job.source} would both become {target}.",
                    "Rename one of them, or do them in two runs with a folder each.",
                )
            targets[key] = job.source


def _key(path: Path) -> str:
    """Return one key for all spellings of a file, on file systems that ignore case too."""
    return str(path.parent.resolve() / path.name).casefold()


def _without_existing(jobs: Sequence[Job], naming: Naming, single: bool) -> Plan:
    there = {output for job in jobs for output in job.outputs if output.exists()}
    if naming.existing == "overwrite" or not there:
        return Plan(tuple(jobs))
    skipped = tuple(job for job in jobs if there.issuperset(job.outputs))
    if naming.existing == "auto" and single and skipped:
        raise OutputError(f"{min(there)} exists already.", "Add --overwrite, or choose another name with -o.")
    _require_own_comparisons(jobs, there)
    missing = [replace(job, reuses_result=job.target in there) for job in jobs if not there.issuperset(job.outputs)]
    return Plan(tuple(missing), skipped, notices=_stale([job for job in jobs if job.target in there]))


def _require_own_comparisons(jobs: Sequence[Job], there: set[Path]) -> None:
    """Refuse comparisons without a result: a result is written first, so they are not from an earlier run."""
    strange = next((job.comparison for job in jobs if job.comparison in there and job.target not in there), None)
    if strange:
        raise OutputError(f"{strange} exists already, without its result.", "Add --overwrite, or leave out --compare.")


def _stale(kept: Sequence[Job]) -> tuple[Notice, ...]:
    """Return a warning where kept results are older than their pictures: only --overwrite replaces files."""
    older = [job.target for job in kept if job.target.stat().st_mtime_ns < job.source.stat().st_mtime_ns]
    if not older:
        return ()
    others = f" and {len(older) - 1} more" if len(older) > 1 else ""
    return (warning(f"{older[0]}{others}: kept, though older than the input. Use --overwrite to do it again."),)

"""Which file an input becomes. Whatever is wrong with names is refused before any work."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from upscale_cli import atomic
from upscale_cli.errors import InputError, OutputError, UpscaleError, UsageError
from upscale_cli.images import formats
from upscale_cli.images.formats import Format
from upscale_cli.notices import Notice, warning
from upscale_cli.remote import Address, existing, place
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.listing import Found, Part, named, parts
from upscale_cli.video.kinds import is_clip

Existing = Literal["auto", "overwrite", "skip"]

SHORTEST = 3  # parts of an address that has a place beside it: the store, the bucket, a folder
BATCH = 1000  # pictures that are planned at once

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

    ``folders``: those that take the results of folders. ``refused``: jobs that cannot be done, ``unreadable``: folders.
    ``complete``: whether all is listed with it.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    ignored: int = 0
    notices: tuple[Notice, ...] = ()
    folders: tuple[Path, ...] = ()
    refused: tuple[tuple[Job, UpscaleError], ...] = ()
    unreadable: tuple[UpscaleError, ...] = ()
    complete: bool = True


def plan(inputs: Sequence[str], naming: Naming) -> Plan:
    """Return the jobs of all ``inputs``: files, folders and patterns.

    Raises InputError (missing inputs, nothing found), UsageError (collisions, several pictures into one file, a
    target that is an input) and OutputError (places that cannot be written).
    """
    (whole,) = plans(inputs, naming, batch=None)
    return whole


def plans(inputs: Sequence[str], naming: Naming, batch: int | None = BATCH) -> Iterator[Plan]:
    """Yield the jobs of all ``inputs``; those of one folder as it is listed, some ``batch`` pictures at a time.

    The first plan raises what ``plan`` raises; the others name what is refused of them.
    """
    items = named(inputs)
    _require_folder_for_several(items, naming)
    lazily = batch is not None and len(items) == 1 and items[0].path.is_dir() and not _may_meet(items[0].path, naming)
    planner = _Planner(naming, len(items) == 1)
    listed = parts(items, naming.recursive, lambda folder: _folder_for(folder, naming))
    batches = _batches(listed, batch if lazily else None)
    first = planner.plan(next(batches, Part()))
    for error in (*first.unreadable, *(error for _, error in first.refused)):
        raise error
    following = next(batches, None)
    if not (first.jobs or first.skipped or following):
        raise InputError(f"There are no pictures in {', '.join(inputs)}.", _way_on(items))
    yield replace(first, complete=following is None)
    while following:
        planned, following = planner.plan(following), next(batches, None)
        yield replace(planned, complete=following is None)


def _batches(listed: Iterator[Part], most: int | None) -> Iterator[Part]:
    """Yield the parts, put together until they hold ``most`` pictures (None: all)."""
    together = Part()
    for part in listed:
        together.add(part)
        if most is not None and len(together.found) >= most:
            yield together
            together = Part()
    if together.found or together.ignored or together.unreadable:
        yield together


def _may_meet(folder: Path, naming: Naming) -> bool:
    """Return whether results of ``folder`` may lie where its pictures are, so that all must be listed beforehand."""
    inside, output = folder.resolve(), _folder_for(folder, naming).resolve()
    return output == inside or output in inside.parents


class _Planner:
    """Plans parts one after another, none of whose outputs is an input or another's output.

    What is known of the files of a folder is forgotten after it, since other folders have others.
    """

    def __init__(self, naming: Naming, alone: bool) -> None:
        self._naming, self._alone = naming, alone
        self._real: set[str] = set()
        self._resolved: dict[Path, Path] = {}
        self._sources: dict[str, Path] = {}
        self._targets: dict[str, Path] = {}
        self._folders: dict[str, Path] = {}

    def plan(self, part: Part) -> Plan:
        """Return what is to be done of ``part``."""
        found = _without_own_results([item for item in part.found if self._is_new(item)], part.whole)
        jobs = [_job(item, self._alone, self._naming) for item in found]
        self._sources |= {self._key(job.source): job.source for job in jobs}
        faults = [(job, error) for job in jobs if (error := self._fault(job))]
        refused = {job for job, _ in faults}
        sound = [job for job in jobs if job not in refused]
        single = self._alone and bool(found) and found[0].root is None
        planned = _without_existing(sound, self._naming, single and not faults)
        folders = dict.fromkeys(_folder_for(item.root, self._naming) for item in found if item.root is not None)
        if part.whole:
            for known in (self._real, self._resolved, self._sources, self._targets):
                known.clear()
        return replace(
            planned,
            ignored=part.ignored,
            folders=tuple(folders),
            refused=(*faults, *planned.refused),
            unreadable=tuple(part.unreadable),
        )

    def _is_new(self, item: Found) -> bool:
        real = os.path.realpath(item.path) if item.path.is_symlink() else str(self._place(item.path))
        known = real in self._real
        self._real.add(real)
        return not known

    def _place(self, path: Path) -> Path:
        """Return ``path`` with its folder resolved."""
        if path.parent not in self._resolved:
            self._resolved[path.parent] = path.parent.resolve()
        return self._resolved[path.parent] / path.name

    def _key(self, path: Path) -> str:
        """Return one key for all spellings of a file, on file systems that ignore case too."""
        return str(self._place(path)).casefold()

    def _fault(self, job: Job) -> UpscaleError | None:
        """Return why ``job`` cannot be done, None where it can: then its outputs are taken."""
        folder = self._folders.setdefault(str(self._place(job.target).parent).casefold(), job.target.parent)
        for target in job.outputs:
            key = self._key(target)
            if key in self._sources:
                text = f"{target} would replace the input {self._sources[key]}."
                return UsageError(text, "Use another -o or --suffix.")
            if key in self._targets or folder.name != job.target.parent.name:
                text = f"{self._targets.get(key, folder)} and {job.source} would both become {target}."
                return UsageError(text, "Rename one of them, or do them in two runs with a folder each.")
            try:
                if not isinstance(target, Address):  # a store says so when it is written
                    atomic.require_possible(target)
            except OutputError as error:
                return error
            self._targets[key] = job.source
        return None


def _way_on(items: Sequence[Found]) -> str:
    """Return what to do where there are no pictures."""
    for folder in (item.path for item in items if not isinstance(item.path, Address) and item.path.is_dir()):
        clip = next((path for path in sorted(folder.iterdir()) if is_clip(path)), None)
        if clip is not None:
            return f"Clips are enlarged where they are named: upscale {clip}."
    return "Add -r to look into subfolders."


def _require_folder_for_several(named: Sequence[Found], naming: Naming) -> None:
    if naming.output is None or not _is_file_name(naming.output) or formats.of_path(Path(naming.output)) is None:
        return
    if len(named) > 1 or named[0].path.is_dir():
        raise UsageError(
            f"{naming.output} is one picture, but several are to be made.",
            f"For a folder, write {naming.output}{os.sep}.",
        )


def _without_own_results(found: Sequence[Found], whole: bool) -> list[Found]:
    """Leave out what patterns and folders found of earlier runs: names of other pictures, and a size.

    ``whole``: False where the other pictures may not be among ``found``.
    """
    stems = {item.path.with_suffix("") for item in found}

    def is_result(path: Path) -> bool:
        match = OWN_RESULT.fullmatch(path.stem)
        if match is None or path.with_name(match[1]) in stems:
            return match is not None
        return not whole and any(path.with_name(match[1] + extension).exists() for extension in formats.EXTENSIONS)

    return [item for item in found if not ((item.root or item.by_pattern) and is_result(item.path))]


def _folder_for(argument: Path, naming: Naming) -> Path:
    """Return the folder that takes the results of the folder ``argument``."""
    if naming.output:
        return place(naming.output)
    named = argument.resolve() if argument.name in ("", "..") else argument
    if not named.name or (isinstance(named, Address) and len(named.parts) < SHORTEST):
        raise UsageError(f"{argument} has no place beside it for results.", "Name a folder with -o.")
    return named.with_name(f"{named.name}_{naming.label}")


def _job(item: Found, alone: bool, naming: Naming) -> Job:
    if item.root is not None:
        inside = Path(*item.path.relative_to(item.root).parts)
        target = _folder_for(item.root, naming) / _renamed(inside, naming.suffix or "", naming)
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


def _without_existing(jobs: Sequence[Job], naming: Naming, single: bool) -> Plan:
    there = existing([output for job in jobs for output in job.outputs])
    if naming.existing == "overwrite" or not there:
        return Plan(tuple(jobs))
    skipped = tuple(job for job in jobs if there.issuperset(job.outputs))
    if naming.existing == "auto" and single and skipped:
        raise OutputError(f"{min(there)} exists already.", "Add --overwrite, or choose another name with -o.")
    strange = tuple((job, error) for job in jobs if (error := _fault_of_comparison(job, there)))
    refused = {job for job, _ in strange}
    undone = [job for job in jobs if job not in refused and not there.issuperset(job.outputs)]
    missing = tuple(replace(job, reuses_result=job.target in there) for job in undone)
    return Plan(missing, skipped, notices=_stale([job for job in jobs if job.target in there]), refused=strange)


def _fault_of_comparison(job: Job, there: set[Path]) -> OutputError | None:
    """Refuse a comparison without a result: a result is written first, so it is not from an earlier run."""
    if job.comparison not in there or job.target in there:
        return None
    text = f"{job.comparison} exists already, without its result."
    return OutputError(text, "Add --overwrite, or leave out --compare.")


def _stale(kept: Sequence[Job]) -> tuple[Notice, ...]:
    """Return a warning where kept results are older than their pictures: only --overwrite replaces files.

    Stores are not asked: that takes two requests for each picture.
    """
    older = [
        job.target for job in kept if not job.remote and job.target.stat().st_mtime_ns < job.source.stat().st_mtime_ns
    ]
    if not older:
        return ()
    others = f" and {len(older) - 1} more" if len(older) > 1 else ""
    return (warning(f"{older[0]}{others}: kept, though older than the input. Use --overwrite to do it again."),)

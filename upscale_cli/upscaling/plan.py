"""Which file an input becomes. Whatever is wrong with names is refused before any work."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from upscale_cli import atomic
from upscale_cli.addresses import Address
from upscale_cli.errors import InputError, OutputError, UpscaleError, UsageError
from upscale_cli.images import formats
from upscale_cli.notices import Notice, warning
from upscale_cli.remote import existing
from upscale_cli.upscaling.job import Job
from upscale_cli.upscaling.listing import Found, Part, named, parts
from upscale_cli.upscaling.naming import Naming, folder_for, job_of, require_folder_for_several
from upscale_cli.video.kinds import is_clip

BATCH = 1000  # pictures that are planned at once

# The name of a result beside its picture: photo_x4, photo_w1920_lite-x4, photo_1920x1080_compare.
OWN_RESULT = re.compile(r"(.+?)_(?:x[\d.]+|[wh]\d+|\d+x\d+)(?:_.+)?")


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
    require_folder_for_several(items, naming)
    lazily = batch is not None and len(items) == 1 and items[0].path.is_dir() and not _may_meet(items[0].path, naming)
    planner = _Planner(naming, len(items) == 1)
    listed = parts(items, naming.recursive, lambda folder: folder_for(folder, naming))
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
    inside, output = folder.resolve(), folder_for(folder, naming).resolve()
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
        jobs = [job_of(item, self._alone, self._naming) for item in found]
        self._sources |= {self._key(job.source): job.source for job in jobs}
        faults = [(job, error) for job in jobs if (error := self._fault(job))]
        refused = {job for job, _ in faults}
        sound = [job for job in jobs if job not in refused]
        single = self._alone and bool(found) and found[0].root is None
        planned = _without_existing(sound, self._naming, single and not faults)
        folders = dict.fromkeys(folder_for(item.root, self._naming) for item in found if item.root is not None)
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

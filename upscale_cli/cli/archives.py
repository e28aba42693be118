"""``upscale comic.cbz``: the way of archives of pictures through the command ``run``."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.cli.clips import Placing
from upscale_cli.cli.console import Console
from upscale_cli.cli.outputs import require_file
from upscale_cli.cli.records import PictureRecord
from upscale_cli.errors import InputError, UpscaleError, UsageError
from upscale_cli.upscaling.archive import SUFFIXES, Archive

if TYPE_CHECKING:
    from upscale_cli.images.formats import Format
    from upscale_cli.upscaling.job import Job, Outcome
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.upscaling.ray_options import RayOptions


def are_archives(paths: Sequence[str]) -> bool:
    """Return whether ``paths`` are archives. Raises UsageError where only some are."""
    found = [Path(path).suffix.lower() in SUFFIXES and not Path(path).is_dir() for path in paths]
    if any(found) and not all(found):
        known, other = paths[found.index(True)], paths[found.index(False)]
        raise UsageError(f"{known} is an archive, and {other} is not.", "Do them in two runs.")
    return any(found)


class _Pages(Console):
    """Reports on the pages of one archive, and keeps their outcomes."""

    def __init__(self, outer: Console, jobs: int) -> None:
        super().__init__(outer.style if outer.style in ("bar", "lines") else "quiet", jobs)
        self.outcomes: list[Outcome] = []

    def finished(self, outcome: Outcome) -> None:
        """Keep ``outcome``, and report its notices."""
        self.outcomes.append(outcome)
        for notice in outcome.notices:
            self.notify(notice)
        self.ended(outcome.job, outcome.before[0] * outcome.before[1] / 1e6, outcome.error)


def run_archives(
    paths: Sequence[str],
    options: UpscaleOptions,
    kind: Format | None,
    placing: Placing,
    console: Console,
    cluster: RayOptions | None = None,
) -> None:
    """Enlarge the pictures in the archives ``paths``, each into an archive, and report on each."""
    from upscale_cli.upscaling.job import Job
    from upscale_cli.upscaling.plan import Plan

    if placing.compare:
        raise UsageError("--compare is for pictures and clips.", "Leave it out for archives.")
    jobs = [Job(source, target, replaces=placing.overwrite) for source, target in _targets(paths, placing)]
    for target, sources in {job.target: [j.source for j in jobs if j.target == job.target] for job in jobs}.items():
        if len(sources) > 1:
            raise UsageError(f"{sources[0]} and {sources[1]} would both become {target}.", "Do them in two runs.")
    several = placing.skip_existing or len(jobs) > 1
    skipped = [job for job in jobs if several and not placing.overwrite and job.target.exists()]
    todo = [job for job in jobs if job not in skipped]
    for job in todo:
        require_file(job.target, placing.overwrite, makes_folder=True)
    for job in skipped:
        console.record(PictureRecord(str(job.source), str(job.target), "skipped", None))
    for job in todo:
        try:
            with Archive(job.source) as archive:
                if placing.dry_run:
                    console.result(f"{job.source} -> {job.target}, {len(archive.pages)} pages")
                else:
                    _do(archive, job, options, kind, console, cluster)
        except UpscaleError as error:
            console.ended(job, error=error)
            name, place = str(job.source), str(job.target)
            console.record(PictureRecord(name, place, "failed", None, error=str(error), code=error.exit_code))
    if not placing.dry_run or console.failures:
        console.conclude(Plan(tuple(todo), tuple(skipped)))


def _targets(paths: Sequence[str], placing: Placing) -> Iterator[tuple[Path, Path]]:
    """Yield each archive and its target. Raises InputError, UsageError."""
    for source in map(Path, paths):
        if not source.exists():
            raise InputError(f"There is no file {source}.", "Check the path.")
        suffix = f"_{placing.label}" if placing.suffix is None and placing.output is None else placing.suffix or ""
        target = source.with_name(f"{source.stem}{suffix}{source.suffix}")
        if placing.output is not None:
            output = Path(placing.output)
            names_file = output.suffix.lower() in SUFFIXES and not output.is_dir()
            if names_file and len(paths) > 1:
                raise UsageError(f"{output} is one archive, but several are to be made.", "Name a folder with -o.")
            if not names_file and output.suffix and not output.is_dir() and not placing.output.endswith("/"):
                raise UsageError(f"{output} is no name of an archive.", "Name it .cbz or .zip, or name a folder.")
            target = output if names_file else output / target.name
        if target.resolve() == source.resolve():
            raise UsageError(f"{source} would be replaced by the result.", "Use another -o or --suffix.")
        yield source, target


def _do(
    archive: Archive,
    job: Job,
    options: UpscaleOptions,
    kind: Format | None,
    console: Console,
    cluster: RayOptions | None,
) -> None:
    """Enlarge the pages of ``archive`` in a folder beside the target, where a stopped run goes on, and pack them.

    A page that fails is packed as it was, and reported. Raises UpscaleError.
    """
    from upscale_cli.cli.pictures import enlarge_all
    from upscale_cli.upscaling.job import require_writable_formats
    from upscale_cli.upscaling.settings import difference, keep, settings_of

    began, work = time.perf_counter(), job.target.with_name(f".{job.target.name}.pages")
    version = job.source.stat()
    chosen = settings_of(options) | {"source": f"{version.st_size} {version.st_mtime_ns}", "format": str(kind)}
    if difference(work, chosen):
        shutil.rmtree(work)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    keep(work, chosen, overwrite=False)
    pages = _pages(archive, work, kind)
    require_writable_formats(list(pages.values()), options)
    todo = {entry: pages[entry.filename] for entry in archive.pages if not pages[entry.filename].target.exists()}
    for entry, page in todo.items():
        archive.extract(entry, page.source)
    inner = _Pages(console, len(todo))
    enlarge_all(list(todo.values()), options, inner, replaces=False, cluster=cluster)
    inner.close()
    made = {name: page.target for name, page in pages.items() if page.target.exists()}
    archive.rebuild(job.target, made, job.replaces)
    shutil.rmtree(work)
    _report(job, pages, inner, time.perf_counter() - began, console)


def _pages(archive: Archive, work: Path, kind: Format | None) -> dict[str, Job]:
    """Return the job of each page by its name, in numbered files. Raises UsageError where two would have one name."""
    from upscale_cli.images import formats
    from upscale_cli.upscaling.archive import renamed
    from upscale_cli.upscaling.job import Job

    pages: dict[str, Job] = {}
    for number, entry in enumerate(archive.pages):
        suffix = Path(entry.filename).suffix.lower()
        written = kind or formats.of_path(Path(entry.filename)) or formats.by_name("png")
        result = suffix if suffix in written.extensions else written.extensions[0]
        pages[entry.filename] = Job(work / f"{number:05}{suffix}", work / "done" / f"{number:05}{result}")
    if len({renamed(name, page.target.suffix) for name, page in pages.items()}) < len(pages):
        raise UsageError(f"Two pages of {archive.path} would have one name.", "Leave out --format.")
    return pages


def _report(job: Job, pages: dict[str, Job], inner: _Pages, seconds: float, console: Console) -> None:
    """Report on an archive: done, or failed where a page did."""
    failed = {outcome.job: outcome.error for outcome in inner.outcomes if outcome.error}
    errors = []
    for name, page in pages.items():
        if error := failed.get(page):
            errors.append(error.saying(error.message.replace(str(page.source), f"{job.source}: {name}")))
    for error in errors:
        console.failures.append(error)
    model = next((outcome.model for outcome in inner.outcomes if outcome.model), None)
    name, place, count = str(job.source), str(job.target), len(pages) - len(errors)
    if errors:
        first = errors[0]
        record = PictureRecord(name, place, "failed", model, error=str(first), code=first.exit_code, pages=count)
        console.record(record)
        return
    console.ended(job)
    done = PictureRecord(name, place, "done", model, seconds=round(seconds, 3), notices=(), pages=count)
    console.record(done, f"{job.source} -> {job.target}, {count} pages, {seconds:.1f} s")

"""Where the arrays that are made of a picture live: in main memory, or in files that a stopped run goes on with.

Files stand in a hidden folder beside the result, with a journal: one line of JSON for every array that was begun, for
tiles whose pixels have reached the disk, and for an array that is whole. What the journal does not know does not exist.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import DTypeLike

from upscale_cli.errors import OutputError

if TYPE_CHECKING:
    from upscale_cli.images.picture import Pixels
    from upscale_cli.tiling import Box  # which loads PyTorch

SYNC_SECONDS = 10.0  # of work that a crash of the machine, or a killed process, can cost
JOURNAL, LOCK = "journal", "lock"

Settings = dict[str, str]


class Step:
    """An array that is being made: ``pixels``, and how far it is.

    ``complete``: it need not be made; ``side``: of the tiles it was begun with, None before; ``finished``: the cores of
    tiles that it holds.
    """

    def __init__(self, pixels: Pixels, *, complete: bool = False) -> None:
        self.pixels, self.complete = pixels, complete
        self.side: int | None = None
        self.finished: set[Box] = set()

    def begin(self, side: int) -> None:
        """Note that it is made in tiles of that side."""
        self.side = side

    def record(self, cores: Iterable[Box]) -> None:
        """Note that the results of tiles with these ``cores`` are there."""

    def end(self) -> None:
        """Note that it is whole."""
        self.complete = True


class Storage:
    """Main memory, which keeps nothing."""

    def step(self, name: str, shape: Sequence[int], dtype: DTypeLike) -> Step:
        """Return the array of that name, as far as it was made before. Raises OutputError where there is no room."""
        return Step(np.empty(shape, dtype))

    def changeable(self, name: str, pixels: Pixels) -> Step:
        """Return ``pixels`` to be changed; a copy where they are what a stopped run goes on with."""
        return Step(pixels)

    def require_room(self, needed: int) -> None:
        """Raise OutputError where all arrays and the result, of ``needed`` bytes together, have no room."""

    def remove(self) -> None:
        """Delete all arrays."""


MEMORY = Storage()


class _Line(msgspec.Struct, omit_defaults=True):
    """A line of the journal on the array ``name``; ``settings``: on the work, in the first line."""

    name: str = ""
    shape: list[int] = []
    dtype: str = ""
    side: int | None = None
    tiles: list[tuple[int, int, int, int]] = []
    complete: bool = False
    settings: Settings | None = None


class _FileStep(Step):
    def __init__(self, name: str, mapped: np.memmap, journal: _Journal) -> None:
        super().__init__(mapped.view(np.ndarray))
        self._name, self._mapped, self._journal = name, mapped, journal
        self._waiting: list[Box] = []
        self._synced = time.monotonic()

    def begin(self, side: int) -> None:
        if self.side is None:
            self._journal.add(_Line(self._name, side=side))
        super().begin(side)

    def record(self, cores: Iterable[Box]) -> None:
        self._waiting += cores
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def end(self) -> None:
        self._sync()
        self._journal.add(_Line(self._name, complete=True))
        super().end()

    def _sync(self) -> None:
        """Bring the pixels to disk, then say in the journal that they are there."""
        self._mapped.flush()
        if self._waiting:
            tiles = [(core.top, core.left, core.bottom, core.right) for core in self._waiting]
            self._journal.add(_Line(self._name, tiles=tiles))
        self._waiting, self._synced = [], time.monotonic()

    def restore(self, lines: Iterable[_Line]) -> None:
        """Take over what ``lines`` of an earlier run say."""
        from upscale_cli.tiling import Box

        for line in lines:
            self.side = self.side if line.side is None else line.side
            self.finished |= {Box(*tile) for tile in line.tiles}
            self.complete |= line.complete


class _Journal:
    """The lines of a file as far as they are whole; new ones are on the disk when ``add`` returns."""

    def __init__(self, path: Path) -> None:
        self.lines: list[_Line] = []
        self._path, whole = path, 0
        path.touch()
        with suppress(msgspec.MsgspecError):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    self.lines.append(msgspec.json.decode(line, type=_Line))
                    whole += len(line)
        os.truncate(path, whole)

    def add(self, line: _Line) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def clear(self) -> None:
        self.lines = []
        os.truncate(self._path, 0)


class FileStorage(Storage):
    """The hidden folder of ``target``, for the work that ``settings`` describe; that of other settings is thrown away.

    ``resumed``: an earlier run's work goes on. One process at a time works in it. Raises OutputError where it cannot
    be written, or another run is in it.
    """

    def __init__(self, target: Path, settings: Settings) -> None:
        self.folder, self._target = folder_of(target), target
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / LOCK)
            self._lock.acquire(blocking=False)
            self._journal = _Journal(self.folder / JOURNAL)
        except Timeout as error:
            raise OutputError(f"Another run is writing {target}.", "Wait for it to end.") from error
        except OSError as error:
            raise self._failure(error) from error
        lines = self._journal.lines
        self.resumed = bool(lines) and lines[0].settings == settings
        if not self.resumed:
            self._journal.clear()
            for path in self.folder.iterdir():
                if path.name not in (LOCK, JOURNAL):
                    path.unlink()
            self._journal.add(_Line(settings=settings))

    @property
    def tiles(self) -> int:
        """How many finished tiles the journal knew when it was opened."""
        return sum(len(line.tiles) for line in self._journal.lines)

    def step(self, name: str, shape: Sequence[int], dtype: DTypeLike) -> Step:
        """See ``Storage``."""
        lines = [line for line in self._journal.lines if line.name == name]
        path, kind = self.folder / name, np.dtype(dtype)
        known = bool(lines) and (lines[0].shape, lines[0].dtype) == (list(shape), kind.str) and path.exists()
        try:
            if not known:
                _allocate(path, math.prod(shape) * kind.itemsize)
                self._journal.add(_Line(name, list(shape), kind.str))
            step = _FileStep(name, np.memmap(path, kind, "r+", shape=tuple(shape)), self._journal)
        except OSError as error:
            raise self._failure(error) from error
        step.restore(lines if known else ())
        return step

    def changeable(self, name: str, pixels: Pixels) -> Step:
        """See ``Storage``."""
        step = self.step(name, pixels.shape, pixels.dtype)
        if not step.complete:
            step.pixels[...] = pixels
        return step

    def require_room(self, needed: int) -> None:
        """See ``Storage``."""
        there = sum(path.stat().st_size for path in self.folder.iterdir())
        free = shutil.disk_usage(self.folder).free
        if needed - there > free:
            if not self.resumed:
                self.remove()
            reason = f"{self._target} needs {_gigabytes(needed - there)} of disk space on the way, and"
            hint = f"Make room, or choose another place with -o, for {self.folder} too."
            raise OutputError(f"{reason} {_gigabytes(free)} are free.", hint)

    def remove(self) -> None:
        """See ``Storage``."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _failure(self, error: OSError) -> OutputError:
        message = f"Cannot write {self.folder}: {error.strerror or error}."
        return OutputError(message, "Make room and run the same command: it goes on.")


def folder_of(target: Path) -> Path:
    """Return the hidden folder that holds the arrays of ``target``."""
    return target.with_name(f".{target.name}.upscale")


def _allocate(path: Path, size: int) -> None:
    """Make a file of ``size`` bytes that have their place on the disk: a full one would end the process later."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"

"""What inputs mean: files, folders and patterns, listed only as far as they are wanted."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from upscale_cli.addresses import Address, Entry, place
from upscale_cli.errors import InputError, UsageError
from upscale_cli.images import formats

LARGEST_SORTED = 10_000  # entries of a folder; a larger one is listed in parts, each in order


@dataclass(frozen=True)
class Found:
    """A picture, the folder in which it was found (None where it was named), and whether a pattern found it."""

    path: Path
    root: Path | None = None
    by_pattern: bool = False


@dataclass
class Part:
    """Pictures that were found together, the number of files that are none, and folders that cannot be read.

    ``whole``: False where they are not all of their folder.
    """

    found: list[Found] = field(default_factory=list)
    ignored: int = 0
    unreadable: list[InputError] = field(default_factory=list)
    whole: bool = True

    def add(self, other: Part) -> None:
        """Take in what ``other`` has."""
        self.found += other.found
        self.ignored += other.ignored
        self.unreadable += other.unreadable
        self.whole &= other.whole


def named(inputs: Sequence[str]) -> list[Found]:
    """Return the files and folders that ``inputs`` name. Raises InputError, UsageError."""
    return [item for text in inputs for item in _expand(text)]


def parts(items: Sequence[Found], recursive: bool, output_of: Callable[[Path], Path]) -> Iterator[Part]:
    """Yield what ``items`` hold: of a folder, whose results go to ``output_of`` it, one part for each subfolder."""
    files = Part()
    for item in items:
        if not item.path.is_dir():
            files.found.append(item)
            continue
        if files.found:
            yield files
            files = Part()
        yield from _walk(item.path, recursive, output_of(item.path).resolve())
    if files.found:
        yield files


def _walk(root: Path, recursive: bool, avoided: Path) -> Iterator[Part]:
    """Yield visible pictures in a stable order, without those of the output folder, which may lie inside."""
    waiting = [root]
    while waiting:
        place = waiting.pop()
        folders: list[Path] = []
        try:
            with _entries(place) as entries:
                whole = True
                while entries_here := list(islice(entries, LARGEST_SORTED)):
                    whole &= len(entries_here) < LARGEST_SORTED
                    yield _part(place, entries_here, root, folders, whole)
        except OSError as error:
            text = f"Cannot read the folder {error.filename}: {error.strerror}."
            yield Part(unreadable=[InputError(text, "Check its permissions.")])
        except InputError as error:
            yield Part(unreadable=[error])
        if recursive:
            waiting += sorted((folder for folder in folders if folder.resolve() != avoided), reverse=True)


def _entries(place: Path) -> AbstractContextManager[Iterator[os.DirEntry[str] | Entry]]:
    """Return what is in the folder ``place``; of a store it is listed as a whole."""
    return nullcontext(iter(place.entries())) if isinstance(place, Address) else os.scandir(place)


def _part(
    place: Path, entries: Sequence[os.DirEntry[str] | Entry], root: Path, folders: list[Path], whole: bool
) -> Part:
    """Return the pictures among ``entries``, and add folders that may be walked to ``folders``."""
    part = Part(whole=whole)
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name.startswith(".") or "/" in entry.name:  # hidden; and no store's names lead elsewhere
            continue
        path = place / entry.name
        if _is_folder(entry):
            folders += [path] if not entry.is_symlink() else []
        elif path.suffix.lower() in formats.EXTENSIONS:
            part.found.append(Found(path, root))
        else:
            part.ignored += 1
    return part


def _is_folder(entry: os.DirEntry[str] | Entry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _expand(text: str) -> list[Found]:
    """Return what ``text`` names: a file, a folder, or all that match a pattern."""
    if not text.strip():
        raise UsageError("An empty path is no picture.", "Name a picture or folder; . is the current folder.")
    path = place(text)
    if isinstance(path, Address):
        return _expand_address(path)
    try:
        path.stat()
        return [Found(path)]
    except (FileNotFoundError, NotADirectoryError):
        pass  # it may be a pattern
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Cannot read {text}: {reason}.", "Check the path and its permissions.") from error
    if glob.has_magic(text):
        pattern = _with_real_folders_escaped(path)
        matches = glob.glob(pattern, recursive=True)  # noqa: PTH207  (absolute patterns too)
        if matches:
            return [Found(match, by_pattern=True) for match in sorted(map(Path, matches))]
        raise InputError(f"No file matches {text}.", "Check the pattern.")
    raise InputError(f"There is no file or folder {text}.", "Check the path.")


def _expand_address(address: Address) -> list[Found]:
    """Return the file or folder at ``address``, or all that match it as a pattern. Raises InputError."""
    if address.exists():
        return [Found(address)]
    if glob.has_magic(str(address)) and (matches := address.matches()):
        return [Found(match, by_pattern=True) for match in matches]
    raise InputError(f"There is no file or folder {address}.", "Check the address.")


def _with_real_folders_escaped(path: Path) -> str:
    """Return the pattern ``path``, the brackets of folders that exist by that name taken as they are."""
    there = next(folder for folder in (*path.parents, Path()) if folder == Path() or folder.is_dir())
    return str(Path(glob.escape(str(there))) / path.relative_to(there))

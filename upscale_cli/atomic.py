"""Write beside the target, flush to disk, rename: no reader ever sees a half-written file."""

from __future__ import annotations

import errno
import filecmp
import os
import platform
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from upscale_cli.errors import OutputError

HOST = f"{zlib.crc32(platform.node().encode()):08x}"
TEMPORARY = re.compile(rf"\.upscale-{HOST}-(\d+)-[0-9a-f]{{8}}\.tmp(\..*)?")
ELSEWHERE = "Choose another place with -o."
# Errors of a disk, from which its next file suffers too. Windows has not all of them.
BY_PLACE = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ENODEV") if hasattr(errno, name)
)


@contextmanager
def replacing(target: Path, former: Path | None = None, replaces: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes ``target``, on any error it vanishes.

    The temporary file keeps the target's suffix, so that libraries that look at it choose the same format; its name
    tells which process writes it. A file that was ``target`` before becomes ``former`` where that is given: at every
    moment ``target`` is there and complete; on a file system without links one of the two is. Without ``replaces`` a
    file that another program has made is kept.
    Raises OutputError where the folder cannot be written, the disk is full, or a file is kept that differs.
    """
    _clean_once(target.parent)
    temporary = temporary_of(target)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if former is not None and target.exists():
            _keep_as(former, target)
        if replaces:
            temporary.replace(target)
        else:
            _make_new(temporary, target)
    except OSError as error:
        raise unwritten(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def unwritten(target: Path, error: OSError, hint: str = ELSEWHERE) -> OutputError:
    """Return what is said where ``error`` kept ``target`` from being written."""
    text = f"Cannot write {target}: {error.strerror or error}."
    return OutputError(text, hint, by_place=error.errno in BY_PLACE)


def temporary_of(target: Path) -> Path:
    """Return a new name beside ``target``, with its suffix, by which ``remove_leftovers`` knows who writes it."""
    return target.with_name(f".upscale-{HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp{target.suffix}")


def _keep_as(former: Path, target: Path) -> None:
    """Give the file ``target`` the name ``former`` too; on a file system without links, instead."""
    former.unlink(missing_ok=True)
    try:
        os.link(target, former)
    except OSError:
        target.replace(former)


def _make_new(temporary: Path, target: Path) -> None:
    """Give ``temporary`` the name ``target``, unless a file has it. Raises OutputError where that file differs."""
    try:
        os.link(temporary, target)  # which, unlike renaming, never replaces
    except OSError as error:
        if not isinstance(error, FileExistsError) and not target.exists():
            temporary.replace(target)  # on a file system without links
        elif not (target.is_file() and filecmp.cmp(temporary, target, shallow=False)):
            text = f"{target} was made by another program in the meantime, and is kept."
            raise OutputError(text, "Add --overwrite, or choose another name with -o.") from error


def require_possible(target: Path) -> None:
    """Raise OutputError where ``target`` is a folder, or no file can be made there; its folder need not exist yet."""
    try:
        is_folder = target.is_dir()
    except OSError as error:
        raise OutputError(f"Cannot write {target}: {error.strerror}.", "Choose another name with -o.") from error
    if is_folder:
        raise OutputError(f"{target} is a folder.", "Choose another name with -o.")
    require_folder(target.parent)


def require_folder(folder: Path) -> None:
    """Raise OutputError where no file can be made in ``folder``, which need not exist yet."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise OutputError(f"{existing} is a file, not a folder for results.", ELSEWHERE)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {existing} cannot be written.", ELSEWHERE)


def write_bytes(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target``, whole or not at all."""
    with replacing(target) as temporary:
        temporary.write_bytes(data)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files in ``folder`` that killed processes of this machine left."""
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  (a list of names costs least, and this runs before every run)
            match = TEMPORARY.fullmatch(name)
            if match and not is_running(int(match[1])):
                (folder / name).unlink(missing_ok=True)


_clean_once = cache(remove_leftovers)  # per folder


def is_running(process: int) -> bool:
    """Return whether this machine runs a process of that number, or may do so."""
    if os.name == "nt":  # there, signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

"""Write beside the target, flush to disk, rename: no reader ever sees a half-written file."""

from __future__ import annotations

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


@contextmanager
def replacing(target: Path, former: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes ``target``, on any error it vanishes.

    The temporary file keeps the target's suffix, so that libraries that look at it choose the same format; its name
    tells which process writes it. A file that was ``target`` before becomes ``former`` where that is given: at every
    moment one of the two is there and complete. Raises OutputError where the folder cannot be written or the disk is
    full.
    """
    _clean_once(target.parent)
    name = f".upscale-{HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp{target.suffix}"
    temporary = target.with_name(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if former is not None and target.exists():
            target.replace(former)
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"Cannot write {target}: {reason}.", "Choose another place with -o.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target``, whole or not at all."""
    with replacing(target) as temporary:
        temporary.write_bytes(data)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files in ``folder`` that killed processes of this machine left."""
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  (a list of names costs least, and this runs before every run)
            match = TEMPORARY.fullmatch(name)
            if match and not _is_running(int(match[1])):
                (folder / name).unlink(missing_ok=True)


_clean_once = cache(remove_leftovers)  # per folder


def _is_running(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

"""Write beside the target, flush to disk, rename: nobody ever sees a half-written file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from upscale_cli.errors import OutputError


@contextmanager
def replacing(target: Path, former: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes ``target``, on any error it vanishes.

    The temporary file keeps the target's suffix, so that libraries that look at it choose the same format. A file that
    was ``target`` before becomes ``former`` where that is given: at every moment one of the two is there and complete.
    Raises OutputError where the folder cannot be written or the disk is full.
    """
    temporary = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(4)}.tmp{target.suffix}")
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
    """Remove temporary files of killed processes from ``folder``, which no other process may be writing to."""
    for path in folder.glob(".*.????????.tmp*"):
        path.unlink(missing_ok=True)

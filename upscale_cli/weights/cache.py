"""The cache of downloaded weights: where files are kept, and which of them were verified.

``verified.json`` in the cache remembers what each verified file looked like. It spares hashing unchanged files again,
and it holds the pins of files without a published hash.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import platformdirs
from filelock import FileLock

from upscale_cli import atomic
from upscale_cli.errors import DownloadError, OutputError
from upscale_cli.weights.manifest import WeightsRecord


class Seen(msgspec.Struct, frozen=True):
    """A file's state when it was verified; while size and time are unchanged, it is not hashed again."""

    sha256: str
    bytes: int
    modified_ns: int


def cache_folder() -> Path:
    """Return the folder of the cache: ``UPSCALE_CACHE``, or the platform's place for caches."""
    chosen = os.environ.get("UPSCALE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("upscale")


def cached_path(record: WeightsRecord, cache: Path) -> Path:
    """Return where the record's file is, or would be, in ``cache``."""
    return cache / record.file


def partial_path(record: WeightsRecord, cache: Path) -> Path:
    """Return where an unfinished download of the record's file is kept."""
    return cache / f"{record.file}.partial"


def lock_of(record: WeightsRecord, cache: Path) -> FileLock:
    """Return the lock that whoever changes the record's file in ``cache`` must hold."""
    return FileLock(cache / f".{record.file}.lock")


def sha256_of(path: Path) -> str:
    """Return the file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seen_files(cache: Path) -> dict[str, Seen]:
    """Return what was verified in ``cache``, by record name. Raises DownloadError where the list is damaged."""
    path = cache / "verified.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Seen])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "Delete it: files are then verified again, and those without a published hash pinned anew."
        raise DownloadError(f"The list of verified files {path} is damaged.", hint) from error


def remember(record: WeightsRecord, path: Path, digest: str) -> None:
    """Record that the file at ``path`` has the sha256 ``digest``."""
    state = path.stat()
    with FileLock(path.with_name(".verified.lock")):
        seen = seen_files(path.parent) | {record.name: Seen(digest, state.st_size, state.st_mtime_ns)}
        atomic.write_bytes(path.with_name("verified.json"), msgspec.json.encode(seen))


def expected_sha256(record: WeightsRecord, cache: Path) -> str:
    """Return the published sha256, or the first download's where that agrees with it; "" where nothing is known."""
    published = record.sha256 or record.sha256_prefix or ""
    first = seen_files(cache).get(record.name, Seen("", 0, 0)).sha256
    return first if first.startswith(published) else published


def is_trusted(record: WeightsRecord, path: Path) -> bool:
    """Return True if the cached file is the right one, hashing it if it changed since it was verified.

    A file that was put there by hand is verified as a download would be. Raises DownloadError if it is a wrong one.
    """
    state = path.stat()
    expected = expected_sha256(record, path.parent)
    if seen_files(path.parent).get(record.name) != Seen(expected, state.st_size, state.st_mtime_ns):
        verify(record, path)
    return True


def verify(record: WeightsRecord, path: Path) -> None:
    """Hash the file whatever is remembered of it. Raises DownloadError where it is not the right one."""
    expected = expected_sha256(record, path.parent)
    digest = require_hash(record, path, expected)
    try:
        with explained(record, path.parent):
            remember(record, path, digest)
    except DownloadError:
        if not expected:  # a pin that cannot be kept protects nobody; all else is only hashed again next time
            raise


def require_hash(record: WeightsRecord, path: Path, expected: str) -> str:
    """Return the file's sha256. Raises DownloadError where it does not begin with ``expected``."""
    digest = sha256_of(path)
    if not digest.startswith(expected):
        again = f"Run `upscale models remove {record.name}` and download it again."
        raise DownloadError(
            f"{path} has sha256 {digest[:16]}… instead of {expected[:16]}…: it is damaged or was changed.",
            "Install upscale again." if record.embedded else again,
        )
    return digest


def remove(record: WeightsRecord, cache: Path) -> bool:
    """Delete the record's file, its unfinished download and its pin. Returns whether any of them was there."""
    with explained(record, cache):
        files = [path for path in (cached_path(record, cache), partial_path(record, cache)) if path.is_file()]
        if not files and record.name not in seen_files(cache):
            return False
        with lock_of(record, cache), FileLock(cache / ".verified.lock"):
            for path in files:
                path.unlink(missing_ok=True)
            seen = {name: entry for name, entry in seen_files(cache).items() if name != record.name}
            atomic.write_bytes(cache / "verified.json", msgspec.json.encode(seen))
    return True


@contextmanager
def explained(record: WeightsRecord, cache: Path) -> Iterator[None]:
    """Turn errors of the file system into a DownloadError that says what to do."""
    hint = "Set UPSCALE_CACHE to a folder that can be written."
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(f"Cannot keep {record.name} in the cache {cache}: {reason}.", hint) from error
    except OutputError as error:
        raise DownloadError(error.message, hint) from error

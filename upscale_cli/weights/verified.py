"""What was verified in a cache: it spares hashing files again, and it is where pins are kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
from filelock import FileLock

from upscale_cli import atomic
from upscale_cli.errors import DownloadError
from upscale_cli.weights.manifest import WeightsRecord


class Seen(msgspec.Struct, frozen=True):
    """What a file looked like when it was verified: unchanged size and time spare hashing it again."""

    sha256: str
    bytes: int
    modified_ns: int


def seen_files(cache: Path) -> dict[str, Seen]:
    """What was verified in ``cache``, by the names of records. Raises DownloadError where the list is damaged."""
    path = cache / "verified.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Seen])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except msgspec.DecodeError as error:
        hint = "Delete it: files are then verified again, and those without a published hash pinned anew."
        raise DownloadError(f"The list of verified files {path} is damaged.", hint) from error


def remember(record: WeightsRecord, path: Path, digest: str) -> None:
    """Note that the record's file at ``path`` was found to have the sha256 ``digest``."""
    state = path.stat()
    with FileLock(path.with_name(".verified.lock")):
        seen = seen_files(path.parent) | {record.name: Seen(digest, state.st_size, state.st_mtime_ns)}
        atomic.write_bytes(path.with_name("verified.json"), msgspec.json.encode(seen))


def forget(record: WeightsRecord, cache: Path) -> None:
    """Drop what is remembered of the record's file, its pin included."""
    with FileLock(cache / ".verified.lock"):
        seen = {name: entry for name, entry in seen_files(cache).items() if name != record.name}
        atomic.write_bytes(cache / "verified.json", msgspec.json.encode(seen))


def expected_sha256(record: WeightsRecord, cache: Path) -> str:
    """The published sha256, or that of the first download where it fits what was published; "" where there is none."""
    published = record.sha256 or record.sha256_prefix or ""
    first = seen_files(cache).get(record.name, Seen("", 0, 0)).sha256
    return first if first.startswith(published) else published

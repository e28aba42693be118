"""Downloads into the cache: limited, resumed, verified before a file gets its final name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from filelock import Timeout as LockTimeout

from upscale_cli.errors import DownloadError
from upscale_cli.notices import Notify, ignore, note
from upscale_cli.weights.cache import (
    cached_path,
    expected_sha256,
    explained,
    is_trusted,
    lock_of,
    partial_path,
    remember,
    sha256_of,
)
from upscale_cli.weights.http import PATIENT, Connection, Refusal, Transfer
from upscale_cli.weights.manifest import WeightsRecord
from upscale_cli.weights.progress import Progress, silent


def fetch(
    record: WeightsRecord,
    cache: Path,
    progress: Progress = silent,
    notify: Notify = ignore,
    connection: Connection = PATIENT,
) -> Path:
    """Return the path of the record's verified file, downloaded where the cache lacks it.

    Processes that ask at once wait for each other. ``UPSCALE_MIRROR`` is an address prefix that is tried first,
    ``UPSCALE_OFFLINE`` forbids downloads. Raises DownloadError; nothing unverified ever bears the final name.
    """
    target = cached_path(record, cache)
    with explained(record, cache):
        if target.is_file() and is_trusted(record, target):  # before any lock: a full cache may be read-only
            return target
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(record, cache, notify):
            if not (target.is_file() and is_trusted(record, target)):
                _download_from_any(record, target, Transfer(record, progress, notify, connection))
    return target


@contextmanager
def _locked(record: WeightsRecord, cache: Path, notify: Notify) -> Iterator[None]:
    lock = lock_of(record, cache)
    try:
        lock.acquire(timeout=0)
    except LockTimeout:
        notify(note(f"Another process is downloading {record.name}; waiting for it."))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download_from_any(record: WeightsRecord, target: Path, transfer: Transfer) -> None:
    """Put the right file at ``target``, from the mirror or else an address of the manifest. Raises DownloadError."""
    if os.environ.get("UPSCALE_OFFLINE", "") not in ("", "0"):
        raise DownloadError(f"{record.name} is not in the cache and UPSCALE_OFFLINE forbids downloads.", "Unset it.")
    mirror = os.environ.get("UPSCALE_MIRROR", "").rstrip("/")
    addresses = [f"{mirror}/{quote(record.file)}", *record.urls] if mirror else record.urls
    partial = partial_path(record, target.parent)
    reasons = []
    for url in addresses:
        try:
            digest = _download_verified(url, partial, transfer)
            partial.replace(target)
            remember(record, target, digest)
            return
        except Refusal as refusal:
            reasons.append(str(refusal))
    raise DownloadError(
        f"Cannot download {record.name}: {'; '.join(reasons) or 'it has no address'}.",
        f"Check the connection, or put the file at {target}.",
    )


def _download_verified(url: str, partial: Path, transfer: Transfer) -> str:
    """Fill ``partial`` with the right file, and return its sha256."""
    record = transfer.record
    expected = expected_sha256(record, partial.parent)
    if not expected or partial.is_symlink():
        partial.unlink(missing_ok=True)  # it may be of another file, and no hash would tell
    resumed = partial.exists()
    transfer.download(url, partial)
    digest = sha256_of(partial)
    if resumed and not digest.startswith(expected):  # the beginning was of another file
        partial.unlink()
        transfer.download(url, partial)
        digest = sha256_of(partial)
    if not digest.startswith(expected):
        partial.unlink()
        pin = f" of its first download (`upscale models remove {record.name}` forgets that)" if record.pinned else ""
        raise Refusal(f"{url} gave a file with sha256 {digest[:16]}… instead of {expected[:16]}…{pin}")
    return digest

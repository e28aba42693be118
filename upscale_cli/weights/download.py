"""Weights from the network into the cache: limited, resumed, verified before they get their final name."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import platformdirs
import requests
from filelock import FileLock

from upscale_cli.errors import DownloadError, OutputError
from upscale_cli.weights.manifest import WeightsRecord
from upscale_cli.weights.verified import Seen, expected_sha256, forget, remember, seen_files

Progress = Callable[[str, int, int | None], None]  # file name, bytes done, bytes in total

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
ATTEMPTS = 4
LARGEST_FILE = 2 * 2**30
CHUNK = 2**15  # what a connection that breaks off can lose
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def silent(name: str, done: int, total: int | None) -> None:
    """A Progress that tells nobody."""


def cache_folder() -> Path:
    """Where weights are kept: ``UPSCALE_CACHE``, or the platform's place for caches."""
    chosen = os.environ.get("UPSCALE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("upscale")


def cached_path(record: WeightsRecord, cache: Path) -> Path:
    """Where the record's file is, or would be, in ``cache``."""
    return cache / record.file


@dataclass(frozen=True)
class Connection:
    """How patient to be with a server; tests are less so."""

    connect_timeout: float = CONNECT_TIMEOUT
    read_timeout: float = READ_TIMEOUT
    attempts: int = ATTEMPTS
    sleep: Callable[[float], None] = time.sleep


def fetch(
    record: WeightsRecord, cache: Path, progress: Progress = silent, connection: Connection | None = None
) -> Path:
    """The path of the record's verified file, downloaded where the cache lacks it.

    Two processes that ask at once wait for each other. ``UPSCALE_MIRROR`` is an address prefix that is tried first,
    ``UPSCALE_OFFLINE`` forbids downloads. Raises DownloadError; nothing unverified ever bears the final name.
    """
    target = cached_path(record, cache)
    with _explained(record, cache):
        if target.is_file() and is_trusted(record, target):  # before any lock: a full cache may be read-only
            return target
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(record, cache):
            if not (target.is_file() and is_trusted(record, target)):
                _require_online(record)
                _download_from_any(record, target, progress, connection or Connection())
    return target


@contextmanager
def _explained(record: WeightsRecord, cache: Path) -> Iterator[None]:
    """Turns errors of the file system into a DownloadError that says what to do."""
    hint = "Set UPSCALE_CACHE to a folder that can be written."
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(f"Cannot keep {record.name} in the cache {cache}: {reason}.", hint) from error
    except OutputError as error:
        raise DownloadError(error.message, hint) from error


def _locked(record: WeightsRecord, cache: Path) -> FileLock:
    return FileLock(cache / f".{record.file}.lock")


def _partial(record: WeightsRecord, cache: Path) -> Path:
    return cache / f"{record.file}.partial"


def _require_online(record: WeightsRecord) -> None:
    if os.environ.get("UPSCALE_OFFLINE", "") not in ("", "0"):
        raise DownloadError(f"{record.name} is not in the cache and UPSCALE_OFFLINE forbids downloads.", "Unset it.")


def addresses(record: WeightsRecord) -> list[str]:
    """Where to ask for the file, in order: the mirror, then the manifest's addresses."""
    mirror = os.environ.get("UPSCALE_MIRROR", "").rstrip("/")
    first = [f"{mirror}/{quote(record.file)}"] if mirror else []
    return [*first, *record.urls]


def _download_from_any(record: WeightsRecord, target: Path, progress: Progress, connection: Connection) -> None:
    reasons = []
    for url in addresses(record):
        try:
            _require_safe(url)
            partial = _partial(record, target.parent)
            digest = _download_verified(url, record, partial, progress, connection)
            partial.replace(target)
            remember(record, target, digest)
            return
        except _Refusal as refusal:
            reasons.append(str(refusal))
    raise DownloadError(
        f"Cannot download {record.name}: {'; '.join(reasons) or 'it has no address'}.",
        f"Check the connection, or put the file at {target}.",
    )


class _Refusal(Exception):
    """One address did not give the file; the next may."""


def _require_safe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise _Refusal(f"{url} is not https")


def _refuse_unsafe_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    """A hook of requests: it is called before a redirect is followed."""
    if response.is_redirect:
        try:
            _require_safe(urljoin(response.url, response.headers["location"]))
        except _Refusal:
            response.close()
            raise


def _download_verified(
    url: str, record: WeightsRecord, partial: Path, progress: Progress, connection: Connection
) -> str:
    """Fill ``partial`` with the right file, and give its sha256."""
    expected = expected_sha256(record, partial.parent)
    if not expected:
        partial.unlink(missing_ok=True)  # it may be of another file, and no hash would tell
    resumed = partial.exists()
    _download(url, record, partial, progress, connection)
    if resumed and not sha256_of(partial).startswith(expected):  # it was of another file
        partial.unlink()
        _download(url, record, partial, progress, connection)
    return _verify(record, partial, url)


def _download(url: str, record: WeightsRecord, partial: Path, progress: Progress, connection: Connection) -> None:
    """Fill ``partial``, going on where an earlier attempt, of this run or another, was cut."""
    reason = ""
    for attempt in range(connection.attempts):
        if attempt:
            connection.sleep(2.0 ** (attempt - 1))
        try:
            _request(url, record, partial, progress, connection)
            return
        except requests.HTTPError as error:
            status = error.response.status_code
            reason = f"{url} answers {status}"
            if status < 500 and status not in (408, 429):
                raise _Refusal(reason) from error
        except requests.Timeout:
            reason = f"{url} does not answer in time"
        except requests.RequestException:
            reason = f"{url} cannot be reached or broke off"
    raise _Refusal(f"{reason} (tried {connection.attempts} times)")


def _request(url: str, record: WeightsRecord, partial: Path, progress: Progress, connection: Connection) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    if record.bytes is not None and have >= record.bytes:
        if have == record.bytes:
            return
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    timeouts = (connection.connect_timeout, connection.read_timeout)
    hooks = {"response": _refuse_unsafe_redirect}
    with requests.get(url, headers=headers, stream=True, timeout=timeouts, hooks=hooks) as response:
        is_part = response.status_code == requests.codes.partial_content
        fits = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status_code == requests.codes.requested_range_not_satisfiable or (is_part and not fits):
            partial.unlink(missing_ok=True)
            raise requests.ConnectionError("the partial file does not fit the server's: starting anew")
        response.raise_for_status()
        _store(response, record, partial, have if is_part else 0, progress)


def _store(response: requests.Response, record: WeightsRecord, partial: Path, have: int, progress: Progress) -> None:
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else record.bytes
    limit = record.bytes or LARGEST_FILE
    if total is not None and (total > limit or (record.bytes is not None and total != record.bytes)):
        partial.unlink(missing_ok=True)
        raise _Refusal(f"{response.url} offers {total} bytes where {limit} are right")
    with partial.open("ab" if have else "wb") as file:
        for chunk in response.iter_content(CHUNK):
            have += len(chunk)
            if have > limit:
                break
            file.write(chunk)
            progress(record.file, have, total)
        file.flush()
        os.fsync(file.fileno())
    if have > limit:
        partial.unlink()
        raise _Refusal(f"{response.url} sends more than {limit} bytes")
    if total is not None and have != total:
        raise requests.ConnectionError("the connection broke off")


def _verify(record: WeightsRecord, path: Path, url: str) -> str:
    """The file's sha256, if it is the right one; otherwise the file is removed."""
    digest = sha256_of(path)
    expected = expected_sha256(record, path.parent)
    if not digest.startswith(expected):
        path.unlink()
        pin = f" of its first download (`upscale models remove {record.name}` forgets that)" if record.pinned else ""
        raise _Refusal(f"{url} gave a file with sha256 {digest[:16]}… instead of {expected[:16]}…{pin}")
    return digest


def sha256_of(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(record: WeightsRecord, cache: Path) -> bool:
    """Delete the record's file, what is left of its download, and its pin. Whether there was any of them."""
    with _explained(record, cache):
        files = [path for path in (cached_path(record, cache), _partial(record, cache)) if path.is_file()]
        if not files and record.name not in seen_files(cache):
            return False
        with _locked(record, cache):
            for path in files:
                path.unlink(missing_ok=True)
            forget(record, cache)
    return True


def is_trusted(record: WeightsRecord, path: Path) -> bool:
    """Whether the cached file is the verified one; hashed only if it changed since. Raises DownloadError if it is not.

    A file that was put there by hand is verified as a download would be.
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
        with _explained(record, path.parent):
            remember(record, path, digest)
    except DownloadError:
        if not expected:  # a pin that cannot be kept protects nobody; all else is only hashed again next time
            raise


def require_hash(record: WeightsRecord, path: Path, expected: str) -> str:
    """The file's sha256, which begins with ``expected``. Raises DownloadError where it does not."""
    digest = sha256_of(path)
    if not digest.startswith(expected):
        again = f"Run `upscale models remove {record.name}` and download it again."
        raise DownloadError(
            f"{path} has sha256 {digest[:16]}… instead of {expected[:16]}…: it is damaged or was changed.",
            "Install upscale again." if record.embedded else again,
        )
    return digest

"""Weights from the network into the cache: limited, resumed, verified before they get their final name."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec
import platformdirs
import requests
from filelock import FileLock

from upscale_cli import atomic
from upscale_cli.errors import DownloadError, OutputError
from upscale_cli.weights.manifest import WeightsRecord

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
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{record.file}.lock"):
            if target.is_file() and is_trusted(record, target):
                return target
            _require_online(record)
            _download_from_any(record, target, progress, connection or Connection())
    except OSError as error:
        raise DownloadError(
            f"Cannot keep {record.name} in the cache {cache}: {error.strerror or error}.",
            "Set UPSCALE_CACHE to a folder that can be written.",
        ) from error
    except OutputError as error:
        raise DownloadError(error.message, "Set UPSCALE_CACHE to a folder that can be written.") from error
    return target


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
            partial = _download(url, record, target.with_name(target.name + ".partial"), progress, connection)
            digest = _verify(record, partial, url)
            partial.replace(target)
            _remember(record, target, digest)
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


def _download(url: str, record: WeightsRecord, partial: Path, progress: Progress, connection: Connection) -> Path:
    """Fill ``partial``, going on where an earlier attempt, of this run or another, was cut."""
    reason = ""
    for attempt in range(connection.attempts):
        if attempt:
            connection.sleep(2.0 ** (attempt - 1))
        try:
            _request(url, record, partial, progress, connection)
            return partial
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
    with requests.get(url, headers=headers, stream=True, timeout=timeouts) as response:
        _require_safe(response.url)
        for step in response.history:
            _require_safe(step.url)
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            partial.unlink()
            raise requests.ConnectionError("the partial file does not fit the server's: starting anew")
        response.raise_for_status()
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-") and response.status_code == 206
        _store(response, record, partial, have if resumed else 0, progress)


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
                raise _Refusal(f"{response.url} sends more than {limit} bytes")
            file.write(chunk)
            progress(record.file, have, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have != total:
        raise requests.ConnectionError("the connection broke off")


def _verify(record: WeightsRecord, path: Path, url: str) -> str:
    """The file's sha256, if it is the right one; otherwise the file is removed."""
    digest = sha256_of(path)
    expected = expected_sha256(record, path.parent)
    if not digest.startswith(expected):
        path.unlink()
        raise _Refusal(f"{url} gave a file with sha256 {digest[:16]}… instead of {expected[:16]}…")
    return digest


def expected_sha256(record: WeightsRecord, cache: Path) -> str:
    """The published sha256 or its prefix; else the pinned one; "" where there is neither yet."""
    return record.sha256 or record.sha256_prefix or _seen(cache).get(record.name, _Seen("", 0, 0)).sha256


def sha256_of(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Seen(msgspec.Struct, frozen=True):
    """What a file looked like when it was verified: unchanged size and time spare hashing it again."""

    sha256: str
    bytes: int
    modified_ns: int


def _seen(cache: Path) -> dict[str, _Seen]:
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((cache / "verified.json").read_bytes(), type=dict[str, _Seen])
    return {}


def _remember(record: WeightsRecord, path: Path, digest: str) -> None:
    state = path.stat()
    with FileLock(path.with_name(".verified.lock")):
        seen = _seen(path.parent) | {record.name: _Seen(digest, state.st_size, state.st_mtime_ns)}
        atomic.write_bytes(path.with_name("verified.json"), msgspec.json.encode(seen))


def forget(record: WeightsRecord, cache: Path) -> None:
    """Drop what is remembered of the record's file, its pin included."""
    with FileLock(cache / ".verified.lock"):
        seen = {name: entry for name, entry in _seen(cache).items() if name != record.name}
        atomic.write_bytes(cache / "verified.json", msgspec.json.encode(seen))


def is_trusted(record: WeightsRecord, path: Path) -> bool:
    """Whether the cached file is the verified one; hashed only if it changed since. Raises DownloadError if it is not.

    A file that was put there by hand is verified as a download would be.
    """
    state = path.stat()
    if _seen(path.parent).get(record.name) == _Seen(
        expected_sha256(record, path.parent), state.st_size, state.st_mtime_ns
    ):
        return True
    return verify(record, path)


def verify(record: WeightsRecord, path: Path) -> bool:
    """Hash the file whatever is remembered of it. Raises DownloadError where it is not the right one."""
    digest, expected = sha256_of(path), expected_sha256(record, path.parent)
    if not digest.startswith(expected):
        raise DownloadError(
            f"{path} has sha256 {digest[:16]}… instead of {expected[:16]}…: it is damaged or was changed.",
            f"Run `upscale models remove {record.name}` and download it again.",
        )
    _remember(record, path, digest)
    return True

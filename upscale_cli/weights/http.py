"""One download over HTTP: from an address into a partial file, resumed, limited in size, and retried."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from urllib3.util import Retry

from upscale_cli.notices import Notify, note
from upscale_cli.weights.manifest import WeightsRecord
from upscale_cli.weights.progress import Progress

LARGEST_FILE = 2 * 2**30
CHUNK = 2**16
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PASSING = frozenset({408, 425, 429, *range(500, 600)})  # answers that another try may change


@dataclass(frozen=True)
class Connection:
    """How patient to be with a server: seconds, attempts, and bytes per second."""

    connect_timeout: float = 10
    read_timeout: float = 30
    attempts: int = 4
    longest_wait: float = 60
    least_rate: float = 1024
    sleep: Callable[[float], None] = time.sleep


PATIENT = Connection()


class Refusal(Exception):
    """An address did not give the file; another one may."""


class Interruption(Exception):
    """An attempt failed, and another one may succeed; ``response`` may say when."""

    def __init__(self, reason: str, response: urllib3.BaseHTTPResponse | None = None) -> None:
        super().__init__(reason)
        self.response = response


class SafeSession(requests.Session):
    """A session that refuses all but https, on every redirect too; http only where ``url`` itself is this machine."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._is_local = urlsplit(url).hostname in LOOPBACK

    def get_adapter(self, url: str | bytes) -> requests.adapters.BaseAdapter:
        """Return what sends the next request. Raises Refusal where ``url`` is not safe."""
        parts = urlsplit(str(url))
        is_safe = parts.scheme == "https" or (self._is_local and parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not is_safe:
            raise Refusal(f"{url!s} is not https")
        return super().get_adapter(str(url))


@dataclass(frozen=True)
class Transfer:
    """The download of one record's file: how it reports, and how patient it is."""

    record: WeightsRecord
    progress: Progress
    notify: Notify
    connection: Connection

    def download(self, url: str, partial: Path) -> None:
        """Fill ``partial``, continuing what an earlier attempt, of this run or another, left. Raises Refusal."""
        attempts = self.connection.attempts
        retries = Retry(total=attempts - 1, backoff_factor=1)
        while True:
            try:
                with _network_errors_in_words(url):
                    return self._request(url, partial)
            except Interruption as cut:
                try:
                    retries = retries.increment("GET", url, error=cut)
                except urllib3.exceptions.MaxRetryError:
                    raise Refusal(f"{url} {cut} (tried {attempts} times)") from cut
                self._wait(retries, url, cut)

    def _wait(self, retries: Retry, url: str, cut: Interruption) -> None:
        """Notify the user, then wait as long as the server asks, or longer after each attempt."""
        try:
            asked = None if cut.response is None else retries.get_retry_after(cut.response)
        except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):  # not by the standard
            asked = None
        seconds = retries.get_backoff_time() if asked is None else asked
        if seconds > self.connection.longest_wait:
            raise Refusal(f"{url} {cut} and asks to wait {seconds:.0f} s")
        when = f"in {seconds:.0f} s" if seconds else "now"
        self.notify(note(f"{urlsplit(url).hostname} {cut}; trying {self.record.name} again {when}."))
        self.connection.sleep(seconds)

    def _request(self, url: str, partial: Path) -> None:
        right = self.record.bytes
        have = partial.stat().st_size if partial.exists() else 0
        if right is not None and have >= right:
            if have == right:
                return
            have = 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        timeouts = (self.connection.connect_timeout, self.connection.read_timeout)
        with SafeSession(url) as session, session.get(url, headers=headers, stream=True, timeout=timeouts) as response:
            self._store(response, partial, _start_of(response, have, partial))

    def _store(self, response: requests.Response, partial: Path, have: int) -> None:
        """Append the answer's bytes to the ``have`` that are there. Raises Refusal where it has too many."""
        remaining = response.raw.length_remaining
        total = self.record.bytes if remaining is None else have + remaining
        limit = self.record.bytes or LARGEST_FILE
        if total is not None and (total > limit or (self.record.bytes is not None and total != limit)):
            partial.unlink(missing_ok=True)
            raise Refusal(f"{response.url} offers {total} bytes where {limit} are right")
        with partial.open("ab" if have else "wb") as file:
            for chunk in self._chunks(response):
                have += len(chunk)
                if have > limit:
                    break
                file.write(chunk)
                self.progress(self.record.file, have, total)
            file.flush()
            os.fsync(file.fileno())
        if have > limit:
            partial.unlink()
            raise Refusal(f"{response.url} sends more than {limit} bytes")
        if total is not None and have != total:
            raise Interruption("broke off")

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        """Yield bytes as they arrive. Raises Interruption where they arrive too slowly."""
        started, received = time.monotonic(), 0
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
            received += len(chunk)
            seconds = time.monotonic() - started
            if seconds > self.connection.read_timeout and received < seconds * self.connection.least_rate:
                raise Interruption("sends too slowly")


def _start_of(response: requests.Response, have: int, partial: Path) -> int:
    """Return the position of the answer's first byte: 0, or ``have``.

    Raises Interruption where another attempt may go better, Refusal where it will not.
    """
    status = response.status_code
    is_part = status == requests.codes.partial_content
    fits = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    if status == requests.codes.requested_range_not_satisfiable or (is_part and not fits):
        partial.unlink(missing_ok=True)
        raise Interruption("cannot continue the partial file")
    if status in PASSING:
        raise Interruption(f"answers {status}", response.raw)
    if status not in (200, 206):
        raise Refusal(f"{response.url} answers {status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal(f"{response.url} answers in another encoding than it was asked for")
    return have if is_part else 0


@contextmanager
def _network_errors_in_words(url: str) -> Iterator[None]:
    """Turn the libraries' errors into an Interruption, or, where another attempt would fail too, a Refusal."""
    try:
        yield
    except (requests.TooManyRedirects, ValueError) as error:  # addresses that cannot be parsed are ValueErrors
        raise Refusal(f"{url} leads nowhere") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise Interruption("does not answer in time") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Interruption("cannot be reached or broke off") from error

"""Downloads against a server on this machine: whole, cut, wrong, slow, twice at once."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import msgspec
import pytest

from upscale_cli.errors import DownloadError
from upscale_cli.notices import Notice
from upscale_cli.weights import http as client
from upscale_cli.weights.cache import cached_path, is_trusted, lock_of, remove, seen_files, sha256_of, verify
from upscale_cli.weights.download import fetch
from upscale_cli.weights.http import Connection
from upscale_cli.weights.manifest import WeightsRecord

SYNTHETIC = os.urandom(300_000)
IMPATIENT = Connection(connect_timeout=1, read_timeout=0.5, attempts=3, sleep=lambda seconds: None)


class Server:
    """A web server with a few bad habits, each to be switched on."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.cut_after: list[int] = []  # bytes after which the next answers break off
        self.status = 200
        self.ignore_range = False
        self.tell_range = True
        self.tell_length = True
        self.delay = 0.0
        self.redirect = ""
        self.headers: dict[str, str] = {}
        self.at_a_time = 0  # bytes that are sent before each pause; 0: all
        self.ranges: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):  # the client may be gone by now
                    outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        time.sleep(self.delay)
        if self.redirect:
            request.send_response(302)
            request.send_header("Location", self.redirect)
            request.end_headers()
            return
        first = int(re.findall(r"\d+", wanted)[0]) if wanted and not self.ignore_range else 0
        request.send_response(self.status if self.status != 200 else 206 if first else 200)
        body = self.content[first:]
        if self.tell_length:
            request.send_header("Content-Length", str(len(body)))
        if first and self.tell_range:
            request.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()
        if self.status == 200:
            body = body[: self.cut_after.pop(0)] if self.cut_after else body
            for start in range(0, len(body), self.at_a_time or len(body)):
                request.wfile.write(body[start : start + (self.at_a_time or len(body))])
                time.sleep(0.05 if self.at_a_time else 0)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=["synthetic", pytest.param("srgan-x4", marks=pytest.mark.shared)])
def server(request: pytest.FixtureRequest, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    content = SYNTHETIC if request.param == "synthetic" else (shared / "weights" / "srgan_x4.pth").read_bytes()
    running = Server(content)
    monkeypatch.delenv("UPSCALE_OFFLINE")
    yield running
    running.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def record_of(server: Server, **changes: object) -> WeightsRecord:
    record = WeightsRecord(
        name="thing",
        file="thing.pth",
        architecture="srresnet",
        licence="MIT",
        purpose="tests",
        scale=4,
        urls=(f"{server.address}/thing.pth",),
        bytes=len(server.content),
        sha256=hashlib.sha256(server.content).hexdigest(),
    )
    return msgspec.structs.replace(record, **changes)


def get(record: WeightsRecord, cache: Path) -> Path:
    return fetch(record, cache, connection=IMPATIENT)


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if not path.name.endswith(".lock")}


def test_a_whole_file_is_verified_and_then_taken_from_the_cache(server: Server, cache: Path) -> None:
    record = record_of(server)
    steps: list[tuple[str, int, int | None]] = []
    path = fetch(record, cache, lambda *step: steps.append(step), connection=IMPATIENT)
    assert path.read_bytes() == server.content
    assert steps[-1] == ("thing.pth", len(server.content), len(server.content))
    assert names(cache) == {"thing.pth", "verified.json"}
    get(record, cache)
    assert len(server.ranges) == 1


def test_a_cut_download_is_resumed_where_it_broke_off(server: Server, cache: Path) -> None:
    server.cut_after = [100_000]
    assert get(record_of(server), cache).read_bytes() == server.content
    first, second = server.ranges
    assert first is None
    assert second is not None
    assert 60_000 < int(re.findall(r"\d+", second)[0]) <= 100_000


def test_a_later_process_resumes_what_an_earlier_one_left(server: Server, cache: Path) -> None:
    server.cut_after = [50_000, 0, 0]
    with pytest.raises(DownloadError, match="broke off"):
        get(record_of(server), cache)
    assert names(cache) == {"thing.pth.partial"}
    assert get(record_of(server), cache).read_bytes() == server.content
    assert server.ranges[-1] == "bytes=50000-"


def test_a_server_without_ranges_is_asked_for_the_whole_file_again(server: Server, cache: Path) -> None:
    server.cut_after, server.ignore_range = [70_000], True
    assert get(record_of(server), cache).read_bytes() == server.content


def leave_partial(cache: Path, content: bytes) -> None:
    cache.mkdir()
    (cache / "thing.pth.partial").write_bytes(content)


def test_the_beginning_of_another_file_is_not_gone_on_with(server: Server, cache: Path) -> None:
    leave_partial(cache, b"another file")
    assert get(record_of(server), cache).read_bytes() == server.content
    assert server.ranges == ["bytes=12-", None]


def test_where_no_hash_would_tell_an_earlier_beginning_is_not_gone_on_with(server: Server, cache: Path) -> None:
    leave_partial(cache, b"another file")
    assert get(record_of(server, sha256=None, bytes=None), cache).read_bytes() == server.content
    assert server.ranges == [None]


def test_a_part_that_is_not_said_to_be_the_wanted_one_is_not_stored(server: Server, cache: Path) -> None:
    leave_partial(cache, server.content[:1000])
    server.tell_range = False
    assert get(record_of(server), cache).read_bytes() == server.content
    assert server.ranges == ["bytes=1000-", None]


@pytest.mark.parametrize("size_known", [True, False])
def test_a_server_that_does_not_stop_is_stopped(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, size_known: bool
) -> None:
    limit = len(server.content) - 10
    monkeypatch.setattr(client, "LARGEST_FILE", limit)
    server.tell_length = False
    stored: list[int] = []
    record = record_of(server, sha256=None, bytes=limit if size_known else None)
    with pytest.raises(DownloadError, match=f"sends more than {limit} bytes"):
        fetch(record, cache, lambda name, done, total: stored.append(done), connection=IMPATIENT)
    assert max(stored) <= limit
    assert names(cache) == set()


def test_a_wrong_hash_is_refused_and_nothing_is_kept(server: Server, cache: Path) -> None:
    with pytest.raises(DownloadError, match=r"sha256 [0-9a-f]{16}… instead of 0000"):
        get(record_of(server, sha256="0" * 64), cache)
    assert names(cache) == set()


def test_a_wrong_hash_prefix_is_refused(server: Server, cache: Path) -> None:
    prefix = hashlib.sha256(server.content).hexdigest()[:8]
    get(record_of(server, sha256=None, sha256_prefix=prefix), cache)
    cached_path(record_of(server), cache).unlink()
    with pytest.raises(DownloadError, match="instead of deadbeef"):
        get(record_of(server, sha256=None, sha256_prefix="deadbeef"), cache)


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_wrong_size_is_refused_before_anything_is_stored(server: Server, cache: Path, wrong: int) -> None:
    with pytest.raises(DownloadError, match=f"offers {len(server.content)} bytes"):
        get(record_of(server, bytes=len(server.content) + wrong), cache)
    assert names(cache) == set()


def test_a_missing_file_is_not_asked_for_again(server: Server, cache: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="answers 404"):
        get(record_of(server), cache)
    assert len(server.ranges) == 1


def test_an_overloaded_server_is_asked_again_with_longer_pauses(server: Server, cache: Path) -> None:
    server.status = 503
    pauses: list[float] = []
    told: list[Notice] = []
    with pytest.raises(DownloadError, match=r"answers 503 \(tried 4 times\)"):
        fetch(record_of(server), cache, notify=told.append, connection=Connection(1, 1, 4, sleep=pauses.append))
    assert pauses == [0, 2, 4]
    assert [notice.text for notice in told] == [
        f"127.0.0.1 answers 503; trying thing again {when}." for when in ("now", "in 2 s", "in 4 s")
    ]


def test_the_user_is_told_before_each_wait_and_the_download_then_succeeds(server: Server, cache: Path) -> None:
    server.status, events = 503, []

    def recover(seconds: float) -> None:
        events.append(f"{seconds:g} s")
        server.status = 200

    connection = Connection(1, 1, 4, sleep=recover)
    server.headers = {"Retry-After": "7"}
    path = fetch(record_of(server), cache, notify=lambda n: events.append(n.text), connection=connection)
    assert path.read_bytes() == server.content
    assert events == ["127.0.0.1 answers 503; trying thing again in 7 s.", "7 s"]


@pytest.mark.parametrize("asked", ["soon", "-5", "9" * 5000, "Fri, 99 Nov 9999999 00:00:00 GMT"])
def test_a_wait_that_cannot_be_understood_is_ignored(server: Server, cache: Path, asked: str) -> None:
    server.status, server.headers, pauses = 429, {"Retry-After": asked}, list[float]()
    with pytest.raises(DownloadError, match="answers 429"):
        fetch(record_of(server), cache, connection=Connection(1, 1, 3, sleep=pauses.append))
    assert pauses == [0, 2]


def test_a_server_that_asks_to_wait_for_long_is_given_up(server: Server, cache: Path) -> None:
    server.status, server.headers = 503, {"Retry-After": "3600"}
    with pytest.raises(DownloadError, match="answers 503 and asks to wait 3600 s"):
        get(record_of(server), cache)
    assert len(server.ranges) == 1


def test_a_server_that_sends_too_slowly_is_given_up(server: Server, cache: Path) -> None:
    server.at_a_time = 10
    impatient = Connection(1, read_timeout=0.3, attempts=2, sleep=lambda seconds: None)
    started = time.monotonic()
    with pytest.raises(DownloadError, match="sends too slowly"):
        fetch(record_of(server), cache, connection=impatient)
    assert time.monotonic() - started < 5


def test_an_answer_in_another_encoding_is_refused(server: Server, cache: Path) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(DownloadError, match="answers in another encoding"):
        get(record_of(server), cache)
    assert names(cache) == set()


def test_a_length_of_thousands_of_digits_is_no_length(server: Server, cache: Path) -> None:
    server.tell_length, server.headers = False, {"Content-Length": "9" * 5000}
    assert get(record_of(server), cache).read_bytes() == server.content


@pytest.mark.parametrize("where", ["/thing.pth", "http://[", "https://\xff\xfe/"])
def test_a_redirect_that_leads_nowhere_is_refused(server: Server, cache: Path, where: str) -> None:
    server.redirect = where
    with pytest.raises(DownloadError, match="Cannot download thing"):
        get(record_of(server), cache)


def test_a_distant_server_cannot_lead_to_this_machine() -> None:
    with pytest.raises(client.Refusal, match=r"http://127\.0\.0\.1/admin is not https"):
        client.SafeSession("https://example.org/thing.pth").get_adapter("http://127.0.0.1/admin")


def test_a_partial_file_that_is_a_link_is_not_written_through(server: Server, cache: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(server.content[:10])
    cache.mkdir()
    (cache / "thing.pth.partial").symlink_to(precious)
    assert get(record_of(server), cache).read_bytes() == server.content
    assert precious.read_bytes() == server.content[:10]


def test_a_cached_file_that_was_replaced_by_a_link_is_verified_again(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    path = get(record_of(server), cache)
    path.rename(tmp_path / "kept")
    path.symlink_to(tmp_path / "kept")
    assert get(record_of(server), cache) == path
    (tmp_path / "other").write_bytes(server.content[::-1])
    path.unlink()
    path.symlink_to(tmp_path / "other")
    with pytest.raises(DownloadError, match="damaged or was changed"):
        get(record_of(server), cache)


def test_a_server_that_does_not_answer_is_given_up(server: Server, cache: Path) -> None:
    server.delay = 1.0
    impatient = Connection(connect_timeout=1, read_timeout=0.2, attempts=2, sleep=lambda seconds: None)
    with pytest.raises(DownloadError, match=r"does not answer in time \(tried 2 times\)"):
        fetch(record_of(server), cache, connection=impatient)


def test_the_next_address_is_tried(server: Server, cache: Path) -> None:
    urls = ("http://127.0.0.1:9/thing.pth", f"{server.address}/thing.pth")
    assert get(record_of(server, urls=urls), cache).exists()


@pytest.mark.parametrize("url", ["http://example.org/thing.pth", "ftp://127.0.0.1/thing.pth"])
def test_other_addresses_than_https_are_refused(server: Server, cache: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="is not https"):
        get(record_of(server, urls=(url,)), cache)


def test_a_redirect_to_plain_http_is_refused(server: Server, cache: Path) -> None:
    server.redirect = "http://example.invalid/elsewhere"
    with pytest.raises(DownloadError, match=r"http://example\.invalid/elsewhere is not https"):
        get(record_of(server), cache)
    assert names(cache) == set()


def test_a_mirror_is_asked_first_and_held_to_the_hash(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSCALE_MIRROR", server.address + "/")
    assert get(record_of(server, urls=("https://127.0.0.1:9/nowhere",)), cache).exists()
    cached_path(record_of(server), cache).unlink()
    with pytest.raises(DownloadError, match="instead of 0000"):
        get(record_of(server, urls=(), sha256="0" * 64), cache)


def test_offline_means_offline(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")
    with pytest.raises(DownloadError, match="UPSCALE_OFFLINE"):
        get(record_of(server), cache)
    assert server.ranges == []


def test_a_cache_that_cannot_be_written_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="Cannot keep thing in the cache") as caught:
        get(record_of(server), tmp_path / "file" / "cache")
    assert "UPSCALE_CACHE" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for this user")
def test_a_read_only_cache_is_told(server: Server, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(DownloadError, match="Cannot keep thing in the cache"):
        get(record_of(server), cache)


def forbid_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("upscale_cli.weights.cache.FileLock", refuse)


@pytest.mark.parametrize("known", [True, False])
def test_a_read_only_cache_gives_what_is_in_it(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    record = record_of(server)
    path = get(record, cache)
    if not known:
        (cache / "verified.json").unlink()
    forbid_writing(monkeypatch)
    assert get(record, cache) == path
    verify(record, path)
    path.write_bytes(b"x" + server.content[1:])
    with pytest.raises(DownloadError, match="damaged or was changed"):
        get(record, cache)


def test_a_pin_that_cannot_be_kept_is_told(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_of(server, sha256=None)
    cache.mkdir()
    cached_path(record, cache).write_bytes(server.content)
    forbid_writing(monkeypatch)
    with pytest.raises(DownloadError, match="Read-only file system"):
        verify(record, cached_path(record, cache))


@pytest.mark.parametrize("content", [b"{", b'{"a\xff": 1}', b"[" * 50_000, b""])
def test_a_damaged_list_of_verified_files_does_not_drop_pins_silently(
    server: Server, cache: Path, content: bytes
) -> None:
    record = record_of(server, sha256=None)
    get(record, cache)
    (cache / "verified.json").write_bytes(content)
    with pytest.raises(DownloadError, match=r"verified\.json is damaged"):
        get(record, cache)


def test_an_unchanged_file_is_hashed_once(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    digest_of = hashlib.file_digest

    def counted(file: BufferedReader, kind: str) -> hashlib._Hash:
        hashed.append(file.name)
        return digest_of(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    digest = hashlib.sha256(server.content).hexdigest()
    for changes in ({}, {"name": "b", "file": "b.pth", "sha256": None, "sha256_prefix": digest[:8]}):
        hashed.clear()
        for _ in range(3):
            get(record_of(server, **changes), cache)
        assert len(hashed) == 1


def test_a_changed_file_in_the_cache_is_noticed(server: Server, cache: Path) -> None:
    record = record_of(server)
    path = get(record, cache)
    path.write_bytes(b"x" + server.content[1:])
    with pytest.raises(DownloadError, match="damaged or was changed"):
        get(record, cache)


def test_a_file_put_there_by_hand_is_verified(server: Server, cache: Path) -> None:
    record = record_of(server)
    cache.mkdir()
    cached_path(record, cache).write_bytes(server.content)
    assert get(record, cache).exists()
    assert server.ranges == []


def test_a_record_without_hash_is_pinned_to_its_first_download(server: Server, cache: Path) -> None:
    record = record_of(server, sha256=None, bytes=None)
    path = get(record, cache)
    assert is_trusted(record, path)
    path.unlink()
    server.content = server.content[::-1]
    with pytest.raises(DownloadError, match="`upscale models remove thing` forgets that"):
        get(record, cache)
    assert remove(record, cache)
    assert not remove(record, cache)
    assert sha256_of(get(record, cache)) == hashlib.sha256(server.content).hexdigest()


def test_verifying_hashes_even_what_looks_unchanged(server: Server, cache: Path) -> None:
    record = record_of(server)
    path = get(record, cache)
    state = path.stat()
    path.write_bytes(b"x" + server.content[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert is_trusted(record, path)  # the shortcut, which `models verify` does not take
    with pytest.raises(DownloadError, match="damaged"):
        verify(record, path)


ANOTHER_PROCESS = """
import json, sys, pathlib
from upscale_cli.weights.download import fetch
from upscale_cli.weights.manifest import WeightsRecord
record = WeightsRecord(**json.loads(sys.argv[1]))  # not checked: the server of this test speaks http
print(fetch(record, pathlib.Path(sys.argv[2])).stat().st_size)
"""


def test_eight_processes_that_ask_at_once_share_one_download_of_each_file(server: Server, cache: Path) -> None:
    server.delay = 1.0
    records = [record_of(server, name=name, file=f"{name}.pth") for name in ("a", "b")]

    def start(record: WeightsRecord) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", ANOTHER_PROCESS, msgspec.json.encode(record).decode(), str(cache)]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    for process in [start(record) for record in records * 4]:
        assert process.communicate(timeout=300)[0].splitlines()[-1] == str(len(server.content))
        assert process.returncode == 0
    assert len(server.ranges) == 2
    assert names(cache) == {"a.pth", "b.pth", "verified.json"}
    assert set(seen_files(cache)) == {"a", "b"}


def test_a_process_that_waits_for_another_ones_download_says_so(server: Server, cache: Path) -> None:
    cache.mkdir()
    held, told = lock_of(record_of(server), cache), list[str]()
    held.acquire()

    def release(notice: Notice) -> None:
        told.append(notice.text)
        held.release()

    fetch(record_of(server), cache, notify=release, connection=IMPATIENT)
    assert told == ["Another process is downloading thing; waiting for it."]

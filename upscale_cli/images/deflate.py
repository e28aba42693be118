"""zlib's compression on several threads: of one stream, or of strips that stand alone.

Most of the time that a large PNG or TIFF file takes is this, and zlib works without Python's lock.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

LEVEL = 4  # of zlib
MOST_THREADS = 8
_HEADER = b"\x78\x5e"  # RFC 1950: a window of 32 KiB, a fast level
_WINDOW = 2**15
_EMPTY_LAST_BLOCK = b"\x03\0"  # RFC 1951, 3.2.3
T = TypeVar("T")
R = TypeVar("R")


def stream(blocks: Iterable[memoryview], threads: int | None = None) -> Iterator[bytes]:
    """Yield the parts of one zlib stream of ``blocks`` of bytes, compressed on ``threads`` (None: one for each core).

    Each block may refer to the end of the one before, so that little is lost; the bytes do not depend on the threads.
    """
    checksum = 1

    def with_window() -> Iterator[tuple[memoryview, memoryview]]:
        nonlocal checksum
        before = memoryview(b"")
        for block in blocks:
            checksum = zlib.adler32(block, checksum)
            yield block, before
            before = block[-_WINDOW:]

    yield _HEADER
    yield from in_order(_deflated, with_window(), threads)
    yield _EMPTY_LAST_BLOCK + checksum.to_bytes(4, "big")


def strip(data: memoryview) -> bytes:
    """Return a zlib stream of its own."""
    return zlib.compress(data, LEVEL)


def _deflated(block_and_window: tuple[memoryview, memoryview]) -> bytes:
    block, window = block_and_window
    raw = -zlib.MAX_WBITS
    compressor = zlib.compressobj(LEVEL, wbits=raw, zdict=window) if window else zlib.compressobj(LEVEL, wbits=raw)
    return compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH)


def in_order(function: Callable[[T], R], items: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """Yield ``function`` of each item, in their order, on ``threads``; no more are taken than keep them busy."""
    threads = threads or min(MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, "deflate") as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

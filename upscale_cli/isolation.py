"""Work in processes that may die of it: messages and pixels through pipes, limits of time and memory.

A worker reads requests from its standard input and answers on its standard output. Pipes, unlike shared memory, leave
nothing behind when a process is killed and need no room in a container's /dev/shm. A worker ends when its parent does.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar, cast

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

SECONDS, PIXELS_PER_SECOND = 30, 1_000_000  # of time for one picture
_REASONS = {9: "takes too much memory to decode", 14: "takes too long to decode"}  # by signal

T = TypeVar("T")


def started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a worker, which ends with its standard input and not by the terminal's Ctrl-C."""
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}  # less address space
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, env=environment, start_new_session=True)


def reason_of_death(worker: subprocess.Popen[bytes]) -> str:
    """Return what the file did to its decoder, by how ``worker`` ended."""
    return _REASONS.get(-worker.wait(), "crashes its decoder")


def send(stream: IO[bytes], message: object, enc_hook: Callable[[Any], Any] | None = None) -> None:
    """Write a message for ``receive``."""
    encoded = msgspec.msgpack.encode(message, enc_hook=enc_hook)
    stream.write(struct.pack("<Q", len(encoded)) + encoded)
    stream.flush()


def receive(stream: IO[bytes], kind: type[T], dec_hook: Callable[[type, Any], Any] | None = None) -> T:
    """Return the next message. Raises EOFError where there is none."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return msgspec.msgpack.decode(stream.read(struct.unpack("<Q", head)[0]), type=kind, dec_hook=dec_hook)


def receive_array(stream: IO[bytes], shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Return the array whose bytes come next. Raises EOFError where they end too soon."""
    array = np.empty(shape, dtype)
    if cast(BufferedReader, stream).readinto(array.data.cast("B")) < array.nbytes:
        raise EOFError
    return array


def pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return where a worker reads requests and writes replies; what libraries print does not come between."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return sys.stdin.buffer, replies


def allow(seconds: int, memory: int | None = None) -> None:
    """Bound what this process takes from now on, where the system can; 0 seconds and None are without bound.

    SIGALRM ends it when the time is over; what needs more memory raises MemoryError.
    """
    allow_seconds(seconds)
    if sys.platform == "linux":
        import resource

        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        most = resource.RLIM_INFINITY if memory is None else held + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def allow_seconds(seconds: int) -> None:
    """Bound the time alone."""
    if sys.platform == "linux":
        signal.alarm(seconds)

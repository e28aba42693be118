"""Clips decoded in a worker process: what crashes, stalls or bloats a decoder ends its clip and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from upscale_cli import isolation
from upscale_cli.errors import InputError
from upscale_cli.video.clip import ClipReader
from upscale_cli.video.info import ClipInfo, Frame, Wanted

MEMORY = 2**32  # bytes: 16 reference frames of 8192 x 4320 pixels in 10 bits take half of it
COMMAND = (sys.executable, "-P", "-m", "upscale_cli.video.isolated")
HINT = "Convert it with another program, or leave it out."

T = TypeVar("T")


class Request(msgspec.Struct):
    """Which clip is read, from which folder, and what of it."""

    path: bytes
    folder: bytes
    wanted: Wanted


class Begin(msgspec.Struct):
    """Frames with timestamps greater than ``after`` are to come; None for all."""

    after: int | None


class Reply(msgspec.Struct):
    """A refusal (message and hint), what is known of the clip, or a frame, whose pixels follow; else the end."""

    refusal: tuple[bytes, bytes] | None = None
    info: ClipInfo | None = None
    shape: tuple[int, ...] = ()
    dtype: str = ""
    timing: tuple[int, int, bool] = (0, 0, False)


class IsolatedReader:
    """Reads the picture stream of the clip ``path`` as ``ClipReader`` does. Raises InputError."""

    def __init__(self, path: Path, wanted: Wanted, command: Sequence[str] = COMMAND) -> None:
        self._path, self._wanted, self._command = path, wanted, command
        self._workers: list[subprocess.Popen[bytes]] = []
        self._waiting: subprocess.Popen[bytes] | None = None
        self.info = self._opened()

    def _opened(self) -> ClipInfo:
        """Start a worker that waits to send frames, and return what it knows of the clip."""
        self._waiting = isolation.started(self._command)
        self._workers.append(self._waiting)
        request = Request(os.fsencode(self._path), os.fsencode(Path.cwd()), self._wanted)
        try:
            reply = self._reply(self._waiting, request)
        except InputError:
            self.close()
            raise
        assert reply.info is not None
        return replace(reply.info, path=self._path)

    def _reply(self, worker: subprocess.Popen[bytes], request: msgspec.Struct | None = None) -> Reply:
        """Return the answer to ``request``, or the next one. Raises InputError for a refusal, and where it died."""
        assert worker.stdin
        assert worker.stdout
        try:
            if request is not None:
                isolation.send(worker.stdin, request)
            reply = isolation.receive(worker.stdout, Reply, _from_text)
        except (EOFError, BrokenPipeError) as error:
            raise InputError(f"{self._path} {isolation.reason_of_death(worker)}.", HINT) from error
        if reply.refusal:
            raise InputError(*map(os.fsdecode, reply.refusal))
        return reply

    def frames(self, after: int | None = None) -> Iterator[Frame]:
        """Yield the frames wanted, of those with timestamps greater than ``after``. Raises InputError."""
        if self._waiting is None:
            self._opened()
        worker, self._waiting = self._waiting, None
        assert worker is not None
        assert worker.stdout
        try:
            reply = self._reply(worker, Begin(after))
            while reply.shape:
                yield Frame(isolation.receive_array(worker.stdout, reply.shape, reply.dtype), *reply.timing)
                reply = self._reply(worker)
        except EOFError as error:
            raise InputError(f"{self._path} {isolation.reason_of_death(worker)}.", HINT) from error
        finally:
            _end(worker)

    def close(self) -> None:
        """End the workers."""
        while self._workers:
            _end(self._workers.pop())


def _end(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin
    assert worker.stdout
    worker.kill()
    with suppress(BrokenPipeError):
        worker.stdin.close()
    worker.stdout.close()
    worker.wait()


def main() -> None:
    """Describe the clip of the request, then send its frames."""
    requests, replies = isolation.pipes()
    with suppress(EOFError, BrokenPipeError):
        request = isolation.receive(requests, Request)
        os.chdir(request.folder)
        path = Path(os.fsdecode(request.path))
        try:
            _serve(path, request.wanted, requests, replies)
        except InputError as error:
            isolation.send(replies, Reply((os.fsencode(error.message), os.fsencode(error.hint))))
        except MemoryError:
            text = f"{path} takes too much memory to decode."
            isolation.send(replies, Reply((os.fsencode(text), os.fsencode(HINT))))


def _serve(path: Path, wanted: Wanted, requests: BinaryIO, replies: BinaryIO) -> None:
    isolation.allow(isolation.SECONDS, MEMORY)
    reader = ClipReader(path, wanted)
    isolation.allow_seconds(0)
    isolation.send(replies, Reply(info=replace(reader.info, path=Path())), _to_text)
    limit = isolation.SECONDS + reader.info.width * reader.info.height // isolation.PIXELS_PER_SECOND
    frames = reader.frames(isolation.receive(requests, Begin).after)
    frame = next(frames, None)  # which may lie far from the beginning, so that its time is not bounded
    while frame is not None:
        timing = frame.pts, frame.duration, frame.repeated
        isolation.send(replies, Reply(shape=frame.pixels.shape, dtype=frame.pixels.dtype.str, timing=timing))
        replies.write(frame.pixels.data)
        isolation.allow_seconds(limit)
        frame = next(frames, None)
        isolation.allow_seconds(0)
    isolation.send(replies, Reply())


def _to_text(value: Fraction | Path) -> str:
    return str(value)


def _from_text(kind: type[T], value: str) -> T:
    """Return a Fraction or Path from its text."""
    assert kind in (Fraction, Path)
    return kind(value)  # type: ignore[call-arg]


if __name__ == "__main__":
    main()

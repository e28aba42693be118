"""Pictures decoded in worker processes: what crashes, stalls or bloats a decoder costs its picture and nothing else.

A worker's answer is a message, then the pixels, which the parent reads straight into its arrays. A worker that died is
replaced.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Self

import msgspec
import numpy as np

from upscale_cli import isolation
from upscale_cli.errors import InputError
from upscale_cli.images.picture import Animation, Image, Light, Metadata, Pages, Picture
from upscale_cli.images.read import DEFAULT_MAX_MEGAPIXELS, read_image

MEMORY, MEMORY_PER_PIXEL = 2**29, 24  # bytes for one picture: 16-bit RGBA is held three times on the way
COMMAND = (sys.executable, "-P", "-m", "upscale_cli.images.isolated")
HINT = "Save it anew in another program."

FrameShape = tuple[int, int, int, int, bool]


class Request(msgspec.Struct):
    """What is to be read, from which folder, and how large it may be."""

    path: bytes
    folder: bytes
    max_megapixels: float


class Reply(msgspec.Struct):
    """A refusal (message and hint), or what an image consists of beside its pixels, which follow.

    ``frames``: of each height, width, channels of colour, bytes per sample, and whether it has alpha.
    """

    refusal: tuple[bytes, bytes] | None = None
    frames: tuple[FrameShape, ...] = ()
    metadata: tuple[Metadata, ...] = ()
    lights: tuple[Light | None, ...] = ()
    jpeg_quality: float | None = None
    durations_ms: tuple[int, ...] = ()
    loop_count: int = 0


class Decoders:
    """A pool of ``count`` workers, each decoding one picture at a time, for any number of threads."""

    def __init__(self, count: int = 1, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for _ in range(count):
            self._idle.put(isolation.started(self._command))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while not self._idle.empty():
            self._idle.get().communicate()

    def read_image(self, path: Path, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Image:
        """Return what ``read.read_image`` does. Raises InputError also where the worker dies of the file."""
        worker, reply, frames = self._idle.get(), None, []
        assert worker.stdin
        assert worker.stdout
        try:
            isolation.send(worker.stdin, Request(os.fsencode(path), os.fsencode(Path.cwd()), max_megapixels))
            answer = isolation.receive(worker.stdout, Reply)
            frames = [_receive_frame(worker.stdout, shape) for shape in answer.frames]
            reply = answer
        except (EOFError, BrokenPipeError) as error:
            raise InputError(f"{path} {isolation.reason_of_death(worker)}.", HINT) from error
        finally:
            if reply is None:
                worker.kill()
                worker.communicate()
            self._idle.put(worker if reply else isolation.started(self._command))
        if reply.refusal:
            raise InputError(*map(os.fsdecode, reply.refusal))
        told = zip(frames, reply.metadata, reply.lights, strict=True)
        frames = [replace(frame, metadata=found, light=light) for frame, found, light in told]
        if len(frames) == 1:
            return replace(frames[0], jpeg_quality=reply.jpeg_quality)
        moves = reply.durations_ms
        return Animation(tuple(frames), moves, reply.loop_count) if moves else Pages(tuple(frames))


def _receive_frame(stream: IO[bytes], shape: FrameShape) -> Picture:
    height, width, channels, size, has_alpha = shape
    color = isolation.receive_array(stream, (height, width, channels), np.uint8 if size == 1 else np.uint16)
    return Picture(color, isolation.receive_array(stream, (height, width), color.dtype) if has_alpha else None)


def main() -> None:
    """Answer requests until there are no more."""
    requests, replies = isolation.pipes()
    with suppress(EOFError):
        while True:
            request = isolation.receive(requests, Request)
            try:
                image = _limited(request)
            except InputError as error:
                isolation.send(replies, Reply((os.fsencode(error.message), os.fsencode(error.hint))))
            else:
                _send_image(replies, image)


def _limited(request: Request) -> Image:
    """Read the picture, within bounds of time and memory. SIGALRM ends the process."""
    path = Path(os.fsdecode(request.path))
    os.chdir(request.folder)
    isolation.allow(isolation.SECONDS)
    try:
        return read_image(path, request.max_megapixels, _allow_pixels)
    except MemoryError as error:
        raise InputError(f"{path} takes too much memory to decode.", HINT) from error
    finally:
        isolation.allow(0)


def _allow_pixels(pixels: int) -> None:
    isolation.allow(isolation.SECONDS + pixels // isolation.PIXELS_PER_SECOND, MEMORY + MEMORY_PER_PIXEL * pixels)


def _send_image(stream: IO[bytes], image: Image) -> None:
    frames, reply = image.frames, Reply()
    if isinstance(image, Animation):
        reply.durations_ms, reply.loop_count = image.durations_ms, image.loop_count
    reply.metadata, reply.jpeg_quality = tuple(frame.metadata for frame in frames), frames[0].jpeg_quality
    reply.lights = tuple(frame.light for frame in frames)
    reply.frames = tuple((*frame.color.shape, frame.color.itemsize, frame.alpha is not None) for frame in frames)
    isolation.send(stream, reply)
    for frame in frames:
        stream.write(frame.color.data)
        if frame.alpha is not None:
            stream.write(frame.alpha.data)
    stream.flush()


if __name__ == "__main__":
    main()

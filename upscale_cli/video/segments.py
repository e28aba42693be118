"""Finished parts of a clip, kept in a hidden folder beside the target until the last one is there.

Segments lie on a grid of timestamps, so that each can be made alone, by any process that sees the folder. A segment is
a file of packets, named by its number; beside it stands a record of what it holds, written last. A part without its
record does not exist, whatever a killed process left.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import msgspec
from filelock import FileLock, Timeout

from upscale_cli import atomic
from upscale_cli.errors import OutputError

if TYPE_CHECKING:
    from av.packet import Packet

    from upscale_cli.video.info import ClipInfo

SECONDS = 10.0  # of a segment
HEAD = struct.Struct("<qqqBI")  # timestamp, decoding timestamp, duration, key frame, bytes
SETTINGS, LOCK = "settings.json", "lock"

Settings = dict[str, str]


class Segment(msgspec.Struct, frozen=True):
    """What a segment holds: its frames, the first and last timestamp, the duration of the last frame.

    ``following``: timestamp of the frame that comes after it, None at the end of the clip. ``repeated``: frames in
    place of damaged ones; ``reused``: input pixels that were taken over.
    """

    number: int
    frames: int
    first: int
    last: int
    last_duration: int
    following: int | None
    repeated: int = 0
    reused: int = 0


@dataclass(frozen=True)
class Grid:
    """Where segments begin: the first at timestamp ``start``, each of the others ``ticks`` after the one before."""

    start: int
    ticks: int

    @classmethod
    def of(cls, info: ClipInfo) -> Grid:
        """Return the grid of a clip."""
        return cls(info.start, max(1, round(SECONDS / info.time_base)))

    def first(self, number: int) -> int:
        """Return the least timestamp that lies in segment ``number``."""
        return self.start + number * self.ticks

    def number(self, pts: int) -> int:
        """Return the segment that ``pts`` lies in."""
        return (pts - self.start) // self.ticks

    def joined(self, segments: Mapping[int, Segment]) -> tuple[list[Segment], int | None]:
        """Return those of ``segments`` that follow each other from the first one on, and the one that is missing next.

        None is missing where the last one is that of the clip's end. Segments without a frame are left out.
        """
        found: list[Segment] = []
        number: int | None = 0
        while number is not None and (segment := segments.get(number)) is not None:
            found += [segment] if segment.frames else []
            number = None if segment.following is None else self.number(segment.following)
        return found, number


def are_consistent(segments: Sequence[Segment]) -> bool:
    """Return whether each begins with the frame that was to follow the one before: not where time jumps back."""
    return all(before.following == after.first for before, after in pairwise(segments))


@dataclass(frozen=True)
class StoredPacket:
    """A packet as it was encoded."""

    pts: int
    dts: int
    duration: int
    is_keyframe: bool
    data: bytes


class SegmentFolder:
    """The hidden folder of ``target``, for the work that ``settings`` describe; that of other settings is thrown away.

    A context manager: one process at a time works in it. Raises OutputError where it cannot be written, or another
    run is in it.
    """

    def __init__(self, target: Path, settings: Settings) -> None:
        self.path, self.target, self._removed = folder_of(target), target, False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / LOCK)
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise OutputError(f"Another run is writing {target}.", "Wait for it to end.") from error
        except OSError as error:
            message = f"Cannot write {self.path}: {error.strerror}."
            raise OutputError(message, "Choose another place with -o.") from error
        before = self._settings()
        self.discarded = before is not None and before != settings
        if before != settings:
            for path in self.path.iterdir():
                if path.name != LOCK:
                    path.unlink(missing_ok=True)
            atomic.write_bytes(self.path / SETTINGS, msgspec.json.encode(settings))
        atomic.remove_leftovers(self.path)
        self.settings = (self.path / SETTINGS).read_bytes()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other runs in."""
        self._lock.release()
        if self._removed:
            shutil.rmtree(self.path, ignore_errors=True)

    def _settings(self) -> Settings | None:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((self.path / SETTINGS).read_bytes(), type=Settings)
        return None

    def finished(self) -> dict[int, Segment]:
        """Return the segments that are whole, by number."""
        found = {}
        for path in self.path.glob("[0-9]*.json"):
            with suppress(OSError, msgspec.MsgspecError):
                segment = msgspec.json.decode(path.read_bytes(), type=Segment)
                found[segment.number] = segment
        return found

    def timestamps(self, segments: Iterable[Segment]) -> list[int]:
        """Return the timestamps of the packets of ``segments`` in the order of decoding. Raises OutputError."""
        stamps = []
        for segment in segments:
            with self._reading(segment) as file:
                while head := file.read(HEAD.size):
                    pts, _, _, _, size = HEAD.unpack(head)
                    stamps.append(pts)
                    file.seek(size, os.SEEK_CUR)
        return stamps

    def packets(self, segments: Iterable[Segment]) -> Iterator[StoredPacket]:
        """Yield the packets of ``segments`` in the order of decoding. Raises OutputError where one was changed."""
        for segment in segments:
            with self._reading(segment) as file:
                while head := file.read(HEAD.size):
                    pts, dts, duration, key, size = HEAD.unpack(head)
                    yield StoredPacket(pts, dts, duration, bool(key), file.read(size))

    @contextmanager
    def _reading(self, segment: Segment) -> Iterator[BinaryIO]:
        path = file_of(self.path, segment.number)
        try:
            with path.open("rb") as file:
                yield file
        except (OSError, struct.error) as error:
            raise OutputError(f"{path} cannot be read back.", f"Delete {self.path}, and run it again.") from error

    def remove(self) -> None:
        """Delete the folder once nothing works in it any more."""
        self._removed = True


class SegmentWriter:
    """Writes segment ``number`` of ``folder`` under another name; ``finish`` makes it count.

    ``settings``: those that the folder is for, as they are kept in it; the work of another run is left alone.
    """

    def __init__(self, folder: Path, number: int, settings: bytes) -> None:
        self._folder, self._settings = folder, settings
        self._target, self._record = file_of(folder, number), folder / f"{number:05}.json"
        self._path = atomic.temporary_of(self._target)
        try:
            self._file: BinaryIO = self._path.open("wb")
        except OSError as error:
            raise self._failure(error) from error

    def write(self, packets: Iterable[Packet[Any]]) -> None:
        """Append ``packets``. Raises OutputError."""
        try:
            for packet in packets:
                dts = packet.pts if packet.dts is None else packet.dts
                assert packet.pts is not None
                assert dts is not None
                self._file.write(HEAD.pack(packet.pts, dts, packet.duration or 0, packet.is_keyframe, packet.size))
                self._file.write(bytes(packet))
        except OSError as error:
            raise self._failure(error) from error

    def finish(self, segment: Segment) -> None:
        """Bring all to disk, then write the record. Raises OutputError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if (self._folder / SETTINGS).read_bytes() != self._settings:
                raise OutputError(f"Another run has begun in {self._folder}.", "Let one of them work.")
            self._path.replace(self._target)
        except OSError as error:
            raise self._failure(error) from error
        atomic.write_bytes(self._record, msgspec.json.encode(segment))

    def abandon(self) -> None:
        """Close and delete what was written."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(
            f"Cannot write {self._target}: {error.strerror or error}.",
            "Make room and run the same command: it goes on with this segment.",
        )


def folder_of(target: Path) -> Path:
    """Return the hidden folder that holds the segments of ``target``."""
    return target.with_name(f".{target.name}.upscale")


def file_of(folder: Path, number: int) -> Path:
    """Return the file of the packets of segment ``number``."""
    return folder / f"{number:05}.packets"

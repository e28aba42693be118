"""Finished parts of a clip, kept in a hidden folder beside the target until the last one is there.

A segment is a file of packets, named by its number; beside it stands a record of what it holds, written last. A part
without its record does not exist, whatever a killed process left.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import msgspec
from filelock import FileLock, Timeout

from upscale_cli import atomic
from upscale_cli.errors import OutputError

if TYPE_CHECKING:
    from av.packet import Packet

SECONDS = 10.0  # of a segment
HEAD = struct.Struct("<qqqBI")  # timestamp, decoding timestamp, duration, key frame, bytes
SETTINGS, LOCK = "settings.json", "lock"

Settings = dict[str, str]


class Segment(msgspec.Struct, frozen=True):
    """What a segment holds: its frames, the first and last timestamp, the duration of the last frame.

    ``repeated``: frames in place of damaged ones; ``reused``: input pixels that were taken over.
    """

    number: int
    frames: int
    first: int
    last: int
    last_duration: int
    repeated: int = 0
    reused: int = 0


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
                    path.unlink()
            atomic.write_bytes(self.path / SETTINGS, msgspec.json.encode(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._removed:
            shutil.rmtree(self.path, ignore_errors=True)

    def _settings(self) -> Settings | None:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((self.path / SETTINGS).read_bytes(), type=Settings)
        return None

    def finished(self) -> list[Segment]:
        """Return the segments that are whole, from the first one on."""
        found: list[Segment] = []
        with suppress(OSError, msgspec.MsgspecError):
            while True:
                found.append(msgspec.json.decode(self._record(len(found)).read_bytes(), type=Segment))
        return found

    def begin(self, number: int) -> SegmentWriter:
        """Return the writer of segment ``number``, in place of what may be left of it."""
        return SegmentWriter(self._file(number), self._record(number))

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
        path = self._file(segment.number)
        try:
            with path.open("rb") as file:
                yield file
        except (OSError, struct.error) as error:
            raise OutputError(f"{path} cannot be read back.", f"Delete {self.path}, and run it again.") from error

    def remove(self) -> None:
        """Delete the folder once nothing works in it any more."""
        self._removed = True

    def _file(self, number: int) -> Path:
        return self.path / f"{number:05}.packets"

    def _record(self, number: int) -> Path:
        return self.path / f"{number:05}.json"


class SegmentWriter:
    """Writes one segment; ``finish`` makes it count."""

    def __init__(self, path: Path, record: Path) -> None:
        self._path, self._record = path, record
        try:
            self._file: BinaryIO = path.open("wb")
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
            f"Cannot write {self._path}: {error.strerror or error}.",
            "Make room and run the same command: it goes on with this segment.",
        )


def folder_of(target: Path) -> Path:
    """Return the hidden folder that holds the segments of ``target``."""
    return target.with_name(f".{target.name}.upscale")

"""Pictures that are read while others are computed: a few, and many only while they are small."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor, Future
from itertools import islice
from threading import Condition

from upscale_cli.images.picture import Image
from upscale_cli.upscaling.job import Job, Outcome

MOST_PIXELS = 4_000_000  # that wait decoded, beside the fewest pictures

Group = list[tuple[Job, Image | Outcome]]


class ReadAhead:
    """Reads the pictures of ``jobs``, the ``fewest`` ahead or more; ``reader_for`` gives the threads for each.

    Beyond the fewest a picture is read only while those that wait have less than MOST_PIXELS together, or where it is
    the next.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        read: Callable[[Job], Image | Outcome],
        reader_for: Callable[[Job], Executor],
        fewest: int,
    ) -> None:
        self._coming, self._read, self._reader_for, self._fewest = iter(jobs), read, reader_for, fewest
        self._waiting: deque[tuple[Job, Future[Image | Outcome]]] = deque()
        self._changed, self._read_count, self._pixels, self._closed = Condition(), 0, 0, False
        self.expect(fewest)

    def expect(self, count: int) -> None:
        """Have ``count`` pictures read, or as many as there are."""
        for job in islice(self._coming, max(0, count - len(self._waiting))):
            self._waiting.append((job, self._reader_for(job).submit(self._read_in_turn, job)))

    def first(self) -> tuple[Job, Image | Outcome] | None:
        """Return the next picture once it is read, without taking it; None where there is none."""
        if not self._waiting:
            self.expect(self._fewest)
        return (self._waiting[0][0], self._waiting[0][1].result()) if self._waiting else None

    def take(self) -> tuple[Job, Image | Outcome]:
        """Return the next picture once it is read."""
        job, reading = self._waiting.popleft()
        image = reading.result()
        self._count(image, -1)
        return job, image

    def close(self) -> None:
        """Read no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _read_in_turn(self, job: Job) -> Image | Outcome:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._may_read(job))
            if self._closed:
                raise CancelledError
        image = self._read(job)
        self._count(image, 1)
        return image

    def _may_read(self, job: Job) -> bool:
        is_next = bool(self._waiting) and self._waiting[0][0] is job
        return is_next or self._read_count < self._fewest or self._pixels < MOST_PIXELS

    def _count(self, image: Image | Outcome, sign: int) -> None:
        frames = () if isinstance(image, Outcome) else image.frames
        with self._changed:
            self._read_count += sign
            self._pixels += sign * sum(frame.height * frame.width for frame in frames)
            self._changed.notify_all()

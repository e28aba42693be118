"""Errors that a user can mend, with the exit code of each."""

from __future__ import annotations

from typing import Self


class UpscaleError(Exception):
    """``message``: one sentence on what went wrong with which file; ``hint``: what to do.

    ``by_place``: a disk is full, or a store out of reach, so that the next files there would fail too.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, by_place: bool = False) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint
        self.by_place = by_place

    def saying(self, message: str) -> Self:
        """Return an error of the same kind, in other words."""
        return type(self)(message, self.hint, by_place=self.by_place)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageError(UpscaleError):
    """Options that are wrong or cannot work together."""

    exit_code = 2


class InputError(UpscaleError):
    """A picture or folder that cannot be read."""

    exit_code = 3


class OutputError(UpscaleError):
    """A place that cannot be written."""

    exit_code = 4


class WeightsError(UpscaleError):
    """A weights file that cannot be used, or an unknown model."""

    exit_code = 5


class DownloadError(WeightsError):
    """Weights that could not be fetched or verified."""

    exit_code = 6


class DeviceError(UpscaleError):
    """A device that is missing, or whose memory does not suffice."""

    exit_code = 7

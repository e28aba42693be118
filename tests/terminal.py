"""The command line, run in this process, and a terminal for its progress bars."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from unittest import mock

import pytest

from upscale_cli import cli


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


def in_this_process(*arguments: str) -> int:
    """Run the command line and return its exit code."""
    with mock.patch.object(sys, "argv", ["upscale", *arguments]), pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


class Terminal:
    """Runs the command line in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capture = capfd

    def __call__(self, *arguments: str) -> Said:
        code = in_this_process(*arguments)
        captured = self._capture.readouterr()
        return Said(code, captured.out, captured.err)


class Screen:
    """A terminal of ``columns`` in place of stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
        import pty
        import termios
        import tty

        master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        termios.tcsetwinsize(self._slave, (24, columns))
        self._written = bytearray()
        self._reader = Thread(target=self._read, args=(master,), daemon=True)
        self._reader.start()
        self._stream = os.fdopen(self._slave, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", self._stream)

    def _read(self, master: int) -> None:
        with suppress(OSError):  # the other end was closed
            while read := os.read(master, 65536):
                self._written += read
        os.close(master)

    def close(self) -> str:
        """Return all that was written."""
        self._stream.close()
        self._reader.join()
        return self._written.decode()

    def frames(self) -> list[str]:
        """Return what a progress bar showed, one line after another."""
        return [shown.rstrip() for shown in re.split(r"[\r\n]", self.close()) if "%|" in shown]

"""The command line, run in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from upscale_cli import cli


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


class Terminal:
    """Runs the command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capture = monkeypatch, capfd

    def __call__(self, *arguments: str) -> Said:
        self._monkeypatch.setattr(sys, "argv", ["upscale", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = self._capture.readouterr()
        assert isinstance(end.value.code, int)
        return Said(end.value.code, captured.out, captured.err)

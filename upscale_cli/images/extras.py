"""Libraries of formats that few need, imported when such a file is read or written."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

_MODULES = {"jxl": "pillow_jxl", "heif": "pillow_heif", "raw": "rawpy", "exr": "OpenEXR"}
_LOCK = threading.Lock()


def is_installed(extra: str) -> bool:
    """Return whether the library of that extra is there."""
    return find_spec(_MODULES[extra]) is not None


def install(extra: str) -> str:
    """Return how to get the library of that extra, as a hint."""
    return f"Run: pip install 'upscale-cli[{extra}]'"


@contextmanager
def silenced() -> Iterator[None]:
    """Keep what a library prints away, from both outputs of the whole process; one thread at a time."""
    with _LOCK, Path(os.devnull).open("wb") as nowhere, redirect_stdout(StringIO()):
        kept = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in kept:
            os.dup2(nowhere.fileno(), number)
        try:
            yield
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)


def library(extra: str) -> Any:
    """Return the module of that extra, which must be installed."""
    return import_module(_MODULES[extra])

"""How downloads report; apart from what downloads, which takes long to load and is seldom needed."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]  # file name, bytes done, bytes in total


def silent(name: str, done: int, total: int | None) -> None:
    """Show no progress."""

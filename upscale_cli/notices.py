"""What a user should know although nothing failed: sentences with a severity, handed to whoever reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning"]


@dataclass(frozen=True)
class Notice:
    """One sentence for the user; ``warning`` where the result may not be what was wanted."""

    text: str
    severity: Severity = "note"


Notify = Callable[[Notice], None]


def note(text: str) -> Notice:
    """Return ``text`` as something good to know."""
    return Notice(text)


def warning(text: str) -> Notice:
    """Return ``text`` as something that may need action."""
    return Notice(text, "warning")


def ignore(notice: Notice) -> None:
    """Drop ``notice``: the callback of those who report nothing."""

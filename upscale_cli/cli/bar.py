"""A progress bar that stays readable: on a narrow terminal its names and details give way, not the bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from threading import RLock
from typing import NoReturn

from tqdm import tqdm
from tqdm.utils import disp_len

OPEN: list[Bar] = []
LOCK = RLock()  # of all that is written to the terminal
tqdm.set_lock(LOCK)
FEWEST_COLUMNS = 10  # of the bar itself
NAME_COLUMNS = 12  # that a name has before details are shown
SHARED_COLUMNS = 22  # that each of several names has, before it gives way to the others' number
FIXED_COLUMNS = len(" 100%||  [1:00:00<1:00:00]")


class Bar:
    """One line on stderr: names, percentage, bar, count, time spent and left, details. ``hidden``: nothing at all."""

    def __init__(self, total: int | None, hidden: bool = False, initial: int = 0) -> None:
        self._bar: tqdm[NoReturn] = tqdm(
            total=total,
            initial=initial,
            disable=hidden,
            file=sys.stderr,
            dynamic_ncols=True,
            leave=False,
            miniters=0,
            delay=1e-9,  # nothing is shown before the first ``show``
        )
        self._shown = False
        OPEN.append(self)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar from the terminal."""
        self._bar.close()
        if self in OPEN:
            OPEN.remove(self)

    def extend(self, total: int) -> None:
        """Take ``total`` in place of the total that was known before."""
        self._bar.total = total

    def show(self, done: int, count: str, names: Sequence[str], details: Sequence[str] = (), now: bool = False) -> None:
        """Show ``done`` of the total; ``now``: though the last change is a moment ago.

        ``names`` are shortened to the room there is, and of ``details`` as many are shown as find room.
        """
        if self._bar.disable:
            return
        room = (self._bar.format_dict["ncols"] or 80) - FIXED_COLUMNS - FEWEST_COLUMNS - disp_len(count)
        shown, taken = [], NAME_COLUMNS
        for detail in details:
            taken += len(detail) + 2
            if taken > room:
                break
            shown.append(detail)
        postfix = ", ".join(shown)
        name = listed(names, max(1, room - (len(postfix) + 2 if postfix else 0)))
        counted = f" {count}" if count else ""
        self._bar.bar_format = f"{{desc}} {{percentage:3.0f}}%|{{bar}}|{counted} [{{elapsed}}<{{remaining}}{{postfix}}]"
        self._bar.set_description_str(name, refresh=False)
        self._bar.set_postfix_str(postfix, refresh=False)
        self._bar.update(done - self._bar.n)
        if now or not self._shown:
            self._bar.refresh()
        self._shown = True


def close_all() -> None:
    """Remove all bars, the lowest first, so that the cursor ends at the top."""
    for bar in OPEN[::-1]:
        bar.close()


def listed(names: Sequence[str], columns: int) -> str:
    """Return as many ``names`` as are readable in ``columns``, and how many more there are."""
    shown = names[: max(1, columns // SHARED_COLUMNS)]
    more = f" +{len(names) - len(shown)}" if len(names) > len(shown) else ""
    each = (columns - len(more) - 2 * (len(shown) - 1)) // max(1, len(shown))
    return ", ".join(shortened(name, each) for name in shown) + more


def shortened(name: str, columns: int) -> str:
    """Return ``name``, if need be without its middle, in at most ``columns`` (at least 1) of the terminal."""
    short, kept = name, len(name)
    while disp_len(short) > columns and kept:
        kept -= 1
        short = f"{name[: kept - kept // 2]}…{name[len(name) - kept // 2 :]}"
    return short

"""Which networks of the manifest suit what a user asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from upscale_cli.errors import UsageError
from upscale_cli.weights.manifest import WeightsRecord

SORTS: dict[str, Callable[[WeightsRecord], str | int]] = {
    "name": lambda record: record.name.lower(),
    "scale": lambda record: record.scale or 0,
    "size": lambda record: record.bytes or 0,
    "licence": lambda record: licence_of(record).lower(),
    "architecture": lambda record: record.architecture,
}


@dataclass(frozen=True)
class Query:
    """What a network must be like; None where it does not matter.

    ``licence`` may have wildcards, "none" are those without one; ``text`` is looked for in name, purpose and note.
    """

    architecture: str | None = None
    scale: int | None = None
    licence: str | None = None
    tag: str | None = None
    text: str | None = None


def search(records: Sequence[WeightsRecord], query: Query) -> list[WeightsRecord]:
    """Return the records that fit, in their order. Raises UsageError for a value that no record has."""
    known: dict[str, set[str | int]] = {
        "architecture": {record.architecture for record in records},
        "scale": {record.scale for record in records if record.scale},
        "licence": {licence_of(record) for record in records},
        "tag": {label for record in records for label in record.labels if " " not in label},
    }
    for what, values in known.items():
        asked = getattr(query, what)
        if asked is not None and not any(_matches(value, asked) for value in values):
            listed = ", ".join(map(str, sorted(values, key=lambda value: (isinstance(value, str), value))))
            raise UsageError(f"No network has the {what} {asked}.", f"There are: {listed}.")
    return [record for record in records if _fits(record, query)]


def licence_of(record: WeightsRecord) -> str:
    """Return the licence, "none" where none is stated."""
    return record.licence or "none"


def _matches(value: str | int | None, asked: str | int | None) -> bool:
    return asked is None or fnmatchcase(str(value).lower(), str(asked).lower())


def _fits(record: WeightsRecord, query: Query) -> bool:
    text = f"{record.name} {record.purpose} {record.note} {' '.join(record.labels)}".lower()
    return (
        _matches(record.architecture, query.architecture)
        and _matches(record.scale, query.scale)
        and _matches(licence_of(record), query.licence)
        and (query.tag is None or any(_matches(label, query.tag) for label in record.labels))
        and (query.text or "").lower() in text
    )


def sort(records: Iterable[WeightsRecord], by: str) -> list[WeightsRecord]:
    """Return the records by one of ``SORTS``, equal ones by name."""
    by_name = sorted(records, key=SORTS["name"])
    return sorted(by_name, key=SORTS[by])

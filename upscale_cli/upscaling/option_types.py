"""Options of a wrong type, as Python code may give them: refused in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from numbers import Integral, Real
from os import PathLike
from types import NoneType
from typing import Any

from upscale_cli.errors import UsageError

TYPES: dict[str, type] = {
    "int": Integral,
    "float": Real,
    "bool": bool,
    "str": str,
    "Path": PathLike,
    "None": NoneType,
}
WORDS = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "a name", "Path": "a path"}


def require_types(options: Mapping[Field[Any], Any]) -> None:
    """Raise UsageError for the first value that is of no type of its field's annotation, such as ``int | None``.

    Fields with an annotation of another form are left to the checks of their values.
    """
    for field, value in options.items():
        names = str(field.type).split(" | ")
        if set(names) <= TYPES.keys() and not any(_is(value, name) for name in names):
            wanted = " or ".join(WORDS[name] for name in names if name in WORDS)
            raise UsageError(f"{field.name} is {value!r}.", f"Give {wanted}.")


def is_number(value: object) -> bool:
    """Return whether ``value`` is a number; True and False are none, though Python's are."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _is(value: object, name: str) -> bool:
    """Return whether ``value`` is of the type ``name``."""
    return isinstance(value, TYPES[name]) and (name not in ("int", "float") or is_number(value))

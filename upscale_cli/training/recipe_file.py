"""Recipes as TOML: the package's own, a user's, and what ``--set`` changes.

A file may name a ``base``, a recipe or a file beside it, and hold only what differs.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from upscale_cli.errors import UsageError
from upscale_cli.training.recipe import Recipe
from upscale_cli.training.recipe_checks import checked

FOLDER = Path(__file__).with_name("recipes")
LARGEST = 2**15  # bytes; reading takes time in proportion to the square of the depth of keys
# Tables that are one value: a file that gives one means all of it.
WHOLE = ("layers",)
PATHS = ("hr", "lr", "kernels", "start", "weights")


def names() -> list[str]:
    """Return the names of the package's own recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe:
    """Return the package's recipe ``name``, or that of a file, with ``settings`` ("table.key=value") applied.

    Raises UsageError.
    """
    return checked(changed(_table(name), settings), str(name))


def changed(table: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return a recipe's table with ``settings`` ("table.key=value") applied. Raises UsageError."""
    changes: dict[str, Any] = {}
    for setting in settings:
        changes = _merged(changes, _setting(setting))
    return _merged(table, changes)


def to_table(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain values, without the tables it does not have."""
    table: dict[str, Any] = msgspec.to_builtins(recipe)
    sizes = table["network"].pop("sizes")
    table["network"] = _stated(table["network"] | sizes)
    return _stated(table)


def _stated(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


def to_toml(recipe: Recipe) -> str:
    """Return the whole recipe as the text of a file that ``load_recipe`` reads."""
    return tomli_w.dumps(to_table(recipe))


def public_toml(recipe: Recipe) -> str:
    """Return the recipe as it may be published with the weights: names of files and folders instead of paths."""
    return tomli_w.dumps(_public(to_table(recipe)))


def _public(table: Mapping[str, Any]) -> dict[str, Any]:
    public = dict(table)
    for key, value in table.items():
        if isinstance(value, Mapping):
            public[key] = _public(value)
        elif key in PATHS:
            public[key] = Path(value).name if isinstance(value, str) else [Path(path).name for path in value]
    return public


def _table(name: str | Path) -> dict[str, Any]:
    """Return the table of a recipe, merged with those of its bases."""
    path: Path | None = _path(name)
    tables: dict[Path, dict[str, Any]] = {}
    while path is not None:
        if path.resolve() in tables:
            raise UsageError(f"The recipe {path} is its own base.", "Change or delete its line `base = ...`.")
        table = tables[path.resolve()] = {"name": path.stem} | _parsed(path)
        base = table.pop("base", None)
        if not isinstance(base, str | None):
            raise UsageError(f"The recipe {path}: its base is no text.", "Give the name of a recipe or a file.")
        path = None if base is None else path.parent / base if base.endswith(".toml") else _path(base)
    merged: dict[str, Any] = {}
    for table in reversed(tables.values()):
        merged = _merged(merged, table)
    return merged


def _path(name: str | Path) -> Path:
    if str(name) in names():
        return FOLDER / f"{name}.toml"
    path = Path(name)
    if path.suffix == ".toml" or os.path.isfile(path):  # noqa: PTH113  (False, not an error, for too long a name)
        return path
    near = difflib.get_close_matches(str(name).lower(), names(), n=2, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"There is no recipe {str(name)!r}.", f"{hint}See `upscale train --list`, or give a .toml file.")


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST // 1024} KiB")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"Cannot read the recipe {path}: {error.strerror or error}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"The recipe {path} is no TOML: {error}.", "See `upscale train NAME --show` for one."
        ) from error


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(table)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping) and key not in WHOLE:
            merged[key] = _merged(_without_sizes(before, value), value)
        else:
            merged[key] = value
    return merged


def _without_sizes(network: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``network`` with its scale alone where ``changes`` give it another architecture; other tables as are."""
    if "architecture" not in network or changes.get("architecture", network["architecture"]) == network["architecture"]:
        return network
    return {key: value for key, value in network.items() if key == "scale"}


def _setting(text: str) -> dict[str, Any]:
    """Return ``table.key=value`` as nested tables; a value that is no TOML is a text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{text!r} sets nothing.", "Write --set table.key=value, e.g. --set data.batch=8.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value
    for name in reversed(key.strip().split(".")):
        parsed = {name: parsed}
    return dict(parsed)

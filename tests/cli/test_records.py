"""JSON records: each as docs/json.md describes it, and valid whatever the values are."""

from __future__ import annotations

import json
import math
import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from upscale_cli.cli import records
from upscale_cli.cli.records import MeanRecord, PictureRecord, Record, ScoreRecord, StepRecord

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"
KINDS = {
    kind.__name__.removesuffix("Record").lower(): kind
    for kind in vars(records).values()
    if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
}


def documented() -> dict[str, list[tuple[str, str]]]:
    """Field names and types by kind of record, as the document's tables have them."""
    tables: dict[str, list[tuple[str, str]]] = {}
    rows: list[tuple[str, str]] = []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            rows = tables.setdefault(line.removeprefix("## "), [])
        elif line.startswith("| ") and not line.startswith(("| field", "| ---")):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert cells[2], f"{cells[0]} has no meaning"
            rows.append((cells[0], cells[1]))
    return tables


def in_words(annotation: object, optional: bool) -> str:
    """What the document calls a type."""
    parts = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    names: dict[object, str] = {str: "text", typing.Literal: "text", int: "whole number", float: "number"}
    names |= {bool: "true or false", tuple: "list", dict: "object"}
    (kind,) = [names[typing.get_origin(part) or part] for part in parts if part is not type(None)]
    missing = ", optional" if optional else " or null"
    return kind + (missing if type(None) in parts else "")


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_field_of_a_record_is_documented_with_its_type(name: str) -> None:
    hints = typing.get_type_hints(KINDS[name])
    expected = [(f.name, in_words(hints[f.name], f.default is not MISSING)) for f in fields(KINDS[name])]
    assert documented()[name] == expected


def test_no_other_record_is_documented() -> None:
    assert set(documented()) == set(KINDS)


def test_a_record_says_its_kind_and_leaves_out_what_does_not_apply() -> None:
    skipped = PictureRecord("a.png", "b.png", "skipped", None)
    assert json.loads(skipped.to_json()) == {
        "record": "picture",
        "source": "a.png",
        "target": "b.png",
        "status": "skipped",
        "model": None,
    }


def test_numbers_that_json_does_not_know_are_null_at_any_depth() -> None:
    row = json.loads(StepRecord(1, math.inf, {"pixel": math.nan, "other": 0.5}).to_json())
    assert row["iterations_per_second"] is None
    assert row["losses"] == {"pixel": None, "other": 0.5}


def test_a_mean_is_told_from_a_score() -> None:
    values = ("a", 30.0, 0.9, 29.0, 0.8)
    assert [json.loads(kind(*values).to_json())["record"] for kind in (ScoreRecord, MeanRecord)] == ["score", "mean"]


def test_names_that_are_no_text_are_valid_json() -> None:
    line = PictureRecord("caf\udce9.png", "\x1b]0;a\x07.png", "skipped", None).to_json()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["target"] == "\x1b]0;a\x07.png"

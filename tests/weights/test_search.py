"""Finding networks in the manifest by what they are and what they are for."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from terminal import Terminal

from upscale_cli.cli.models import ORDERS
from upscale_cli.errors import UsageError
from upscale_cli.weights.manifest import WeightsRecord, load_manifest
from upscale_cli.weights.search import SORTS, Query, licence_of, search, sort

RECORDS = load_manifest().records()


def found(**asked: str | int) -> set[str]:
    return {record.name for record in search(RECORDS, Query(**asked))}  # type: ignore[arg-type]


def test_nothing_asked_finds_all_in_their_order() -> None:
    assert search(RECORDS, Query()) == list(RECORDS)


def test_each_filter_keeps_what_fits_and_drops_the_rest() -> None:
    cases: list[tuple[Query, Callable[[WeightsRecord], bool]]] = [
        (Query(architecture="SPAN"), lambda r: r.architecture == "span"),
        (Query(scale=2), lambda r: r.scale == 2),
        (Query(licence="cc-by-nc*"), lambda r: licence_of(r).startswith("CC-BY-NC")),
        (Query(licence="none"), lambda r: r.licence is None),
        (Query(tag="anime"), lambda r: "anime" in r.labels),
        (Query(tag="anime", scale=4), lambda r: "anime" in r.labels and r.scale == 4),
    ]
    for query, fits in cases:
        records = search(RECORDS, query)
        assert records, query
        assert records == [record for record in RECORDS if fits(record)], query


def test_text_is_found_in_name_purpose_note_and_tags_in_any_case() -> None:
    assert "realesr-animevideov3" in found(text="ANIMEvideo")
    assert "esrgan-x4" in found(text="basicsr key layout")
    assert "lite-x4-restore" in found(text="compression-removal")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"architecture": "rrdnet"}, "No network has the architecture rrdnet. There are: .*rrdbnet"),
        ({"scale": 5}, "No network has the scale 5. There are: 1, 2, 3, 4, 8, 16"),
        ({"licence": "ODbL*"}, r"No network has the licence ODbL\*. There are: .*MIT"),
        ({"tag": "aniem"}, "No network has the tag aniem. There are: .*anime"),
    ],
)
def test_what_no_network_has_is_answered_with_what_there_is(asked: dict[str, str | int], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        found(**asked)


def test_the_command_offers_every_order() -> None:
    assert set(ORDERS) == set(SORTS)


@pytest.mark.parametrize("by", SORTS)
def test_every_order_is_one_and_keeps_all(by: str) -> None:
    ordered = sort(RECORDS, by)
    assert set(ordered) == set(RECORDS)
    keys = [(SORTS[by](record), record.name.lower()) for record in ordered]
    assert keys == sorted(keys)


def test_the_list_takes_filters_and_orders(terminal: Terminal) -> None:
    said = terminal(
        "models", "list", "--tag", "photo", "--scale", "4", "--licence", "CC-BY-4*", "--sort", "size", "--json"
    )
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert len(rows) > 1
    assert {(row["scale"], row["licence"]) for row in rows} == {(4, "CC-BY-4.0")}
    assert [row["bytes"] for row in rows] == sorted(row["bytes"] for row in rows)
    assert all("photo" in row["tags"] for row in rows)


def test_the_list_says_which_networks_need_the_extra_and_when_none_fits(terminal: Terminal) -> None:
    rows = terminal("models", "list", "--architecture", "hma").out.splitlines()
    assert "needs the extra spandrel" in rows[1]
    none = terminal("models", "list", "--architecture", "hma", "--scale", "2")
    assert (none.code, none.out) == (0, "")
    assert "No network is all of that" in none.err
    unknown = terminal("models", "list", "--tag", "aniem")
    assert unknown.code == 2
    assert "anime" in unknown.err

"""The manifest: complete, consistent, and refused with reasons when it is not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from terminal import Terminal

from upscale_cli.errors import WeightsError
from upscale_cli.networks import ARCHITECTURES
from upscale_cli.weights.cache import sha256_of
from upscale_cli.weights.load import EMBEDDED_FOLDER
from upscale_cli.weights.manifest import PLACES, WeightsRecord, load_manifest, problems, read_manifest


def test_the_manifest_is_valid_and_has_all_sections() -> None:
    manifest = load_manifest()
    assert problems(manifest) == []
    assert (len(manifest.curated), len(manifest.openmodeldb)) == (27, 277)


def test_generators_of_architectures_that_are_not_ours_need_the_extra() -> None:
    known = {architecture.name for architecture in ARCHITECTURES}
    for record in load_manifest().records():
        needs = record.kind == "generator" and record.architecture not in known
        assert record.extra == ("spandrel" if needs else None), record.name


def test_every_record_tells_its_purpose_and_source() -> None:
    manifest = load_manifest()
    assert all(record.purpose and record.source for record in manifest.records())
    assert all(record.licence for record in manifest.embedded + manifest.curated)


def test_embedded_files_are_there_with_their_training_record() -> None:
    for record in load_manifest().embedded:
        path = EMBEDDED_FOLDER / record.file
        assert (path.stat().st_size, sha256_of(path)) == (record.bytes, record.sha256)
        assert path.stat().st_size <= 900_000
        training = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert training["name"] == record.name
        assert training["figures"]
        assert {"from", "seed", "iterations", "minutes"} <= training["stages"][-1].keys()
        log = EMBEDDED_FOLDER / training["log"].split(" ")[0]
        assert log.read_text(encoding="utf-8").startswith("step,seconds,rate,pixel")
    assert sum(record.bytes or 0 for record in load_manifest().embedded) <= 6_300_000  # seven of 900 KB each


@pytest.mark.shared
def test_the_facts_are_carried_over(shared: Path) -> None:
    facts = json.loads((shared / "manifest_facts.json").read_text(encoding="utf-8"))
    manifest = load_manifest()
    for fact in facts["curated"]:
        record = manifest.find(fact["name"])
        assert fact["url"] in record.urls
        assert (record.licence, record.bytes, record.sha256) == (fact["licence"], fact.get("size"), fact.get("sha256"))
        assert (record.sha256_prefix, record.partner) == (fact.get("sha256_prefix"), fact.get("partner"))
    more = json.loads((shared / "manifest_facts_more.json").read_text(encoding="utf-8"))["openmodeldb_more"]
    for fact in facts["openmodeldb"] + more:
        record = manifest.find(fact["id"])
        assert (record.sha256, record.bytes, record.scale) == (fact["sha256"], fact["bytes"], fact["scale"])
        assert (record.licence, list(record.urls)) == (fact["licence"], fact["urls"])


def test_names_are_found_in_any_case_and_near_ones_suggested() -> None:
    manifest = load_manifest()
    assert manifest.find("RealESRGAN-X4plus").name == "realesrgan-x4plus"
    with pytest.raises(WeightsError, match="There is no model 'realesrgan-x4plu'") as caught:
        manifest.find("realesrgan-x4plu")
    assert "realesrgan-x4plus" in caught.value.hint


def test_a_pair_is_found_from_either_side() -> None:
    manifest = load_manifest()
    pair = manifest.pair(manifest.find("realesrgan-x4plus"))
    assert pair is not None
    assert [record.name for record in pair] == ["realesrnet-x4plus", "realesrgan-x4plus"]
    assert manifest.pair(manifest.find("realesrnet-x4plus")) == pair
    assert manifest.pair(manifest.find("srgan-x4")) is None


def test_the_installed_manifest_is_read_before_the_checkouts(tmp_path: Path) -> None:
    content = PLACES[1].read_bytes() if PLACES[1].is_file() else PLACES[0].read_bytes()
    installed, checkout = tmp_path / "wheel.json", tmp_path / "checkout.json"
    checkout.write_bytes(content)
    assert read_manifest((installed, checkout)) == load_manifest()
    installed.write_text('{"schema": 1, "embedded": [], "curated": [], "openmodeldb": []}')
    assert read_manifest((installed, checkout)).records() == ()
    with pytest.raises(WeightsError, match="lacks weights_manifest"):
        read_manifest((tmp_path / "nowhere.json",))


EMPTY: dict[str, Any] = {"openmodeldb": []}
GOOD: dict[str, Any] = {
    "name": "a",
    "file": "a.pth",
    "architecture": "compact",
    "licence": "MIT",
    "purpose": "p",
    "scale": 2,
    "urls": ["https://example.org/a"],
}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"licens": "MIT"}, "unknown field `licens`"),
        ({"scale": "two"}, "Expected `int"),
        ({"scale": 0}, r"Expected `int` >= 1 - at `\$\.curated\[0\]\.scale`"),
        ({"scale": 10**30}, "scale"),
        ({"bytes": -1}, "bytes"),
        ({"urls": ["http://example.org/a"]}, r"https.*urls\[0\]"),
        ({"urls": ["https:///a"]}, r"https.*urls\[0\]"),
        ({"urls": ["https://example.org@evil/a"]}, r"https.*urls\[0\]"),
        ({"urls": []}, "a has no address"),
        ({"file": "../a.pth"}, r"\$\.curated\[0\]\.file"),
        ({"file": "b\\a.pth"}, r"\$\.curated\[0\]\.file"),
        ({"file": "c:a.pth"}, r"\$\.curated\[0\]\.file"),
        ({"file": ".a.pth"}, r"\$\.curated\[0\]\.file"),
        ({"file": ""}, r"\$\.curated\[0\]\.file"),
        ({"name": "../../x"}, r"\$\.curated\[0\]\.name"),
        ({"name": "a\n"}, r"\$\.curated\[0\]\.name"),
        ({"note": "\x1b[2J"}, r"\$\.curated\[0\]\.note"),
        ({"partner": "b"}, "unknown partner"),
        ({"partner": "a"}, "unknown partner"),
        ({"sha256": "xyz"}, r"\$\.curated\[0\]\.sha256"),
        ({"scale": None}, "no scale"),
    ],
)
def test_bad_records_are_refused_with_the_file_and_the_fault(
    tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    path = tmp_path / "manifest.json"
    content = {"schema": 1, "embedded": [], "curated": [GOOD | changes], "openmodeldb": []}
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=complaint) as caught:
        read_manifest((path,))
    assert str(path) in caught.value.message


def test_a_partner_of_another_kind_and_another_schema_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    larger = GOOD | {"name": "b", "file": "b.pth", "scale": 4, "partner": "a"}
    path.write_text(json.dumps({"schema": 1, "embedded": [], "curated": [GOOD, larger], "openmodeldb": []}))
    with pytest.raises(WeightsError, match="b cannot be mixed with its partner a"):
        read_manifest((path,))
    path.write_text(json.dumps({"schema": 2, "embedded": [], "curated": [], "openmodeldb": []}))
    with pytest.raises(WeightsError, match=r"schema"):
        read_manifest((path,))


def test_a_misspelt_field_is_answered_with_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"schema": 1, "embedded": [], "curated": [GOOD | {"licens": "x"}], "openmodeldb": []}))
    with pytest.raises(WeightsError, match="Did you mean `licence`"):
        read_manifest((path,))


def test_doubled_names_and_files_are_found() -> None:
    record = msgspec.convert(GOOD, WeightsRecord)
    doubled = msgspec.structs.replace(load_manifest(), embedded=(), curated=(record, record), openmodeldb=())
    assert problems(doubled) == ["the name 'a' is there twice", "the file name 'a.pth' is there twice"]


HOSTILE = (
    b"[" * 50_000,
    b"{",
    b"null",
    b"\xff\xfe",
    b"-1",
    b"1e400",
    b'"../../x"',
    b'"\\u001b[2J"',
    b'"\\ud800"',
    b"\x00",
)


def refusal(path: Path) -> str | None:
    try:
        read_manifest((path,))
    except WeightsError as error:
        return str(error)
    return None


def test_two_hundred_hostile_manifests_are_refused_in_a_sentence_or_read(tmp_path: Path) -> None:
    path, refused = tmp_path / "manifest.json", 0
    right = json.dumps({"schema": 1, "embedded": [], "curated": [GOOD, GOOD | {"name": "b", "file": "b.pth"}]} | EMPTY)
    for number in range(200):
        draw = random.Random(number)
        content = bytearray(right.encode())
        for _ in range(draw.choice([1, 1, 5])):
            place = draw.randrange(len(content))
            insert = draw.choice([draw.randbytes(1), draw.choice(HOSTILE)])
            content[place : place + draw.choice([0, 1, 8])] = insert
        path.write_bytes(content)
        message = refusal(path)
        refused += message is not None
        assert message is None or (message.isprintable() and len(message) < 1000), message
    assert refused > 150


@pytest.mark.parametrize("command", ["info", "path", "download", "verify", "remove"])
@pytest.mark.parametrize("name", ["../../x", "..", "\x1b[2J", "a" * 5000])
def test_names_that_are_no_models_are_refused(terminal: Terminal, command: str, name: str) -> None:
    said = terminal("models", command, name)
    assert said.code == 5
    assert said.err.startswith(("Error: There is no model", "Error: Cannot read the weights"))
    assert said.err.strip().isprintable()
    assert said.out == ""

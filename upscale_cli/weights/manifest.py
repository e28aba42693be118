"""The list of all weights that can be had by name: ``weights_manifest.json``, its schema and its reading.

docs/weights.md describes every field.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PureWindowsPath
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from upscale_cli.errors import WeightsError

# In a wheel the manifest lies beside this file, in a checkout at its top level.
PLACES = (
    Path(__file__).with_name("weights_manifest.json"),
    Path(__file__).resolve().parents[2] / "weights_manifest.json",
)


class WeightsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of weights: where it is, how it is verified, what it is for."""

    name: str
    file: str
    architecture: str
    licence: str | None
    purpose: str
    kind: Literal["generator", "discriminator", "features"] = "generator"
    scale: int | None = None
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    source: str = ""
    partner: str | None = None
    note: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the file comes with the package."""
        return not self.urls

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return self.licence is not None and "-NC" in self.licence

    @property
    def pinned(self) -> bool:
        """Whether nobody published a hash, so that the first download is what later ones are held to."""
        return self.sha256 is None and self.sha256_prefix is None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All records: what the package carries, what we vouch for, and OpenModelDB's."""

    schema: Literal[1]
    embedded: tuple[WeightsRecord, ...]
    curated: tuple[WeightsRecord, ...]
    openmodeldb: tuple[WeightsRecord, ...]

    def records(self) -> tuple[WeightsRecord, ...]:
        """Return the records of all three lists."""
        return self.embedded + self.curated + self.openmodeldb

    def get(self, name: str) -> WeightsRecord | None:
        """Return the record of that name or else file name without suffix, in any case of letters; None without one."""
        records, wanted = self.records(), name.lower()
        by_name = (record for record in records if record.name.lower() == wanted)
        by_file = (record for record in records if Path(record.file).stem.lower() == wanted)
        return next(by_name, None) or next(by_file, None)

    def find(self, name: str) -> WeightsRecord:
        """Return the record as ``get`` does. Raises WeightsError with the nearest names."""
        record = self.get(name)
        if record is None:
            near = difflib.get_close_matches(name.lower(), [r.name.lower() for r in self.records()], n=3, cutoff=0.5)
            names = [r.name for r in self.records() if r.name.lower() in near]
            hint = f"Did you mean {' or '.join(names)}? " if names else ""
            raise WeightsError(f"There is no model {name!r}.", f"{hint}See `upscale models list --all`.")
        return record

    def pair(self, record: WeightsRecord) -> tuple[WeightsRecord, WeightsRecord] | None:
        """Return the (PSNR-trained, GAN-trained) pair that ``record`` belongs to, whichever of the two it is."""
        if record.partner:
            return self.find(record.partner), record
        other = next((r for r in self.records() if r.partner == record.name), None)
        return (record, other) if other else None


@cache
def load_manifest() -> Manifest:
    """The manifest of this installation."""
    return read_manifest(PLACES)


def read_manifest(places: Sequence[Path]) -> Manifest:
    """The first manifest of ``places`` that exists, checked. Raises WeightsError naming the file and the fault."""
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise WeightsError("The installation lacks weights_manifest.json.", "Install upscale again.")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise WeightsError(f"{path} is no valid manifest: {error}.", _nearest_field(str(error))) from error
    for problem in problems(manifest):
        raise WeightsError(f"{path} is no valid manifest: {problem}.", "Correct the record.")
    return manifest


def _nearest_field(message: str) -> str:
    quoted = message.split("`")
    if "unknown field" in message and len(quoted) > 1:
        near = difflib.get_close_matches(quoted[1], WeightsRecord.__struct_fields__, n=1)
        return f"Did you mean `{near[0]}`?" if near else "Remove it."
    return "Correct the record."


def problems(manifest: Manifest) -> list[str]:
    """What the types cannot say: unique names, https, safe file names, partners that exist, hashes that are hashes."""
    found = []
    names = [record.name.lower() for record in manifest.records()]
    found += [f"the name {name!r} is there twice" for name in {n for n in names if names.count(n) > 1}]
    files = [record.file.lower() for record in manifest.records()]
    found += [f"the file name {file!r} is there twice" for file in {f for f in files if files.count(f) > 1}]
    for record in manifest.records():
        if any(urlsplit(url).scheme != "https" or not urlsplit(url).hostname for url in record.urls):
            found.append(f"{record.name} has an address that is not https")
        if PureWindowsPath(record.file).name != record.file or record.file[:1] in ("", "."):
            found.append(f"{record.name} has an unsafe file name {record.file!r}")
        if record.partner and record.partner.lower() not in names:
            found.append(f"{record.name} has the unknown partner {record.partner!r}")
        partner = manifest.get(record.partner) if record.partner else None
        if partner and (partner.architecture, partner.scale) != (record.architecture, record.scale):
            found.append(f"{record.name} cannot be mixed with its partner {partner.name}")
        digest = record.sha256 or record.sha256_prefix or ""
        if set(digest) - set("0123456789abcdef") or (record.sha256 and len(record.sha256) != 64):
            found.append(f"{record.name} has a sha256 that is none")
        if record.kind == "generator" and record.scale is None:
            found.append(f"{record.name} has no scale")
    return found

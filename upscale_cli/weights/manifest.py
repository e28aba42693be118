"""The list of all weights that can be had by name: ``weights_manifest.json``, its schema and how it is read.

docs/weights.md describes every field.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from upscale_cli.errors import WeightsError

NETWORKS = Path(__file__).resolve().parents[1] / "networks"
# In a wheel the manifest lies beside this file, in a checkout at its top level.
PLACES = (
    Path(__file__).with_name("weights_manifest.json"),
    Path(__file__).resolve().parents[2] / "weights_manifest.json",
)

Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]  # no control characters
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=100)]  # no folders
Address = Annotated[str, msgspec.Meta(pattern=r"^https://[A-Za-z0-9.-]+/[\x21-\x7e]+\Z")]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
HashPrefix = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8,63}\Z")]


class WeightsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of weights: where it is, how it is verified, what it is for.

    ``for_degraded``: the conditioned network that takes its place for compressed and noisy pictures. ``for_sharp``: of
    a conditioned network the plain one that takes its place for pictures that are neither degraded nor blurred.
    """

    name: Name
    file: Name
    architecture: Name
    licence: Text | None
    purpose: Text
    tags: tuple[Name, ...] = ()
    kind: Literal["generator", "discriminator", "features"] = "generator"
    scale: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    urls: tuple[Address, ...] = ()
    bytes: Annotated[int, msgspec.Meta(ge=1, le=2**33)] | None = None
    sha256: Hash | None = None
    sha256_prefix: HashPrefix | None = None
    source: Text = ""
    partner: Name | None = None
    for_degraded: Name | None = None
    for_sharp: Name | None = None
    note: Text = ""

    @property
    def embedded(self) -> bool:
        """Whether the file comes with the package."""
        return not self.urls

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags, or, where there are none, the parts of the purpose, which is OpenModelDB's tags."""
        return self.tags or tuple(self.purpose.split(", "))

    @property
    def extra(self) -> str | None:
        """The optional dependency without which the network does not open: its architecture has no file of ours."""
        native = (NETWORKS / f"{self.architecture}.py").is_file()
        return "spandrel" if self.kind == "generator" and not native else None

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return self.licence is not None and "-NC" in self.licence

    @property
    def pinned(self) -> bool:
        """Whether no hash was published: later downloads must then equal the first."""
        return self.sha256 is None and self.sha256_prefix is None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All records: those in the package, those checked by us, and OpenModelDB's."""

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
    """Return the manifest of this installation."""
    return read_manifest(PLACES)


def read_manifest(places: Sequence[Path]) -> Manifest:
    """Return the first manifest of ``places`` that exists. Raises WeightsError naming the file and the fault."""
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise WeightsError("The installation lacks weights_manifest.json.", "Install upscale again.")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fault = ascii(str(error))[1:-1]  # it may quote the file
        field = str(error).split("`")[1] if "unknown field" in str(error) else ""
        near = difflib.get_close_matches(field, WeightsRecord.__struct_fields__, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else "Correct the record."
        raise WeightsError(f"{path} is no valid manifest: {fault:.300}.", hint) from error
    except OSError as error:
        raise WeightsError(f"Cannot read {path}: {error.strerror or error}.", "Install upscale again.") from error
    for problem in problems(manifest):
        raise WeightsError(f"{path} is no valid manifest: {problem}.", "Correct the record.")
    return manifest


def problems(manifest: Manifest) -> list[str]:
    """Return what the types cannot say: doubled names, addresses that are missing, partners that do not fit."""
    records = manifest.records()
    by_name = {record.name.lower(): record for record in records}
    found = []
    for kind, names in (("name", [r.name for r in records]), ("file name", [r.file for r in records])):
        times = Counter(name.lower() for name in names)
        found += [f"the {kind} {name!r} is there twice" for name, count in times.items() if count > 1]
    for record in records:
        if record.embedded != (record in manifest.embedded):
            found.append(f"{record.name} has {'no' if record.embedded else 'an'} address")
        if record.kind == "generator" and record.scale is None:
            found.append(f"{record.name} has no scale")
        partner = by_name.get((record.partner or "").lower())
        if record.partner and (partner is None or partner is record):
            found.append(f"{record.name} has the unknown partner {record.partner!r}")
        elif partner and (partner.architecture, partner.scale) != (record.architecture, record.scale):
            found.append(f"{record.name} cannot be mixed with its partner {partner.name}")
        degraded = by_name.get((record.for_degraded or "").lower())
        if record.for_degraded and (degraded is None or degraded.scale != record.scale):
            found.append(f"{record.name} cannot be replaced by {record.for_degraded} for degraded pictures")
        sharp = by_name.get((record.for_sharp or "").lower())
        if record.for_sharp and (sharp is None or sharp.scale != record.scale):
            found.append(f"{record.name} cannot be replaced by {record.for_sharp} for sharp pictures")
    return found

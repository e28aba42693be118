"""What ``--json`` prints: one dataclass for each kind of record. docs/json.md describes every field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from upscale_cli.upscaling.clip import ClipOutcome
    from upscale_cli.upscaling.job import Outcome

Status = Literal["done", "skipped", "failed", "planned"]


@dataclass(frozen=True)
class Record:
    """One line of JSON. Its kind is the name of its class without ``Record``.

    A field that has no value is null; where it has a default, it is left out instead.
    """

    def to_json(self) -> str:
        """Return the record as JSON. Numbers that are not finite, which JSON does not know, are null."""
        known: dict[str, object] = {"record": type(self).__name__.removesuffix("Record").lower()}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is MISSING:
                known[field.name] = value
        return json.dumps(_finite(known))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class PictureRecord(Record):
    """A picture of ``upscale run`` or ``upscale kernel --upscale``."""

    source: str
    target: str
    status: Status
    model: str | None
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    seconds: float | None = None
    notices: tuple[str, ...] | None = None
    error: str | None = None
    code: int | None = None
    pages: int | None = None
    passes: int | None = None
    estimated_seconds: float | None = None
    kernel: tuple[float, float] | None = None

    @classmethod
    def of(cls, outcome: Outcome) -> PictureRecord:
        """Return the record of ``outcome``."""
        source, target, error = str(outcome.job.source), str(outcome.job.target), outcome.error
        if error is not None:
            return cls(source, target, "failed", outcome.model, error=str(error), code=error.exit_code)
        notices = tuple(notice.text for notice in outcome.notices)
        sizes = outcome.before, outcome.after
        record = cls(source, target, "done", outcome.model, *sizes, round(outcome.seconds, 3), notices)
        return replace(record, kernel=outcome.kernel)


@dataclass(frozen=True)
class ClipRecord(Record):
    """A clip of ``upscale run``."""

    source: str
    target: str
    status: Status
    model: str | None
    codec: str | None = None
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    frames: int | None = None
    computed: int | None = None
    repeated: int | None = None
    reused: float | None = None
    seconds: float | None = None
    error: str | None = None
    code: int | None = None
    passes: int | None = None
    estimated_seconds: float | None = None
    estimated_bytes: int | None = None

    @classmethod
    def of(cls, outcome: ClipOutcome) -> ClipRecord:
        """Return the record of ``outcome``."""
        return cls(
            str(outcome.job.source),
            str(outcome.job.target),
            "done",
            outcome.model,
            outcome.codec,
            outcome.before,
            outcome.after,
            outcome.frames,
            outcome.computed,
            outcome.repeated,
            round(outcome.reused, 4),
            round(outcome.seconds, 3),
        )


@dataclass(frozen=True)
class KernelRecord(Record):
    """A picture of ``upscale kernel estimate``."""

    source: str
    target: str
    status: Status
    agreement: float | None
    scale: int | None = None
    size: int | None = None
    covariance: tuple[tuple[float, ...], ...] | None = None
    deviations: tuple[float, float] | None = None
    angle: float | None = None
    bicubic_similarity: float | None = None
    seconds: float | None = None
    error: str | None = None
    code: int | None = None


@dataclass(frozen=True)
class ScoreRecord(Record):
    """How close one result of ``upscale eval`` comes to the HR picture; with --model, which network made it."""

    name: str
    psnr_y: float | None = None
    ssim_y: float | None = None
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    model: str | None = None
    ms_ssim: float | None = None
    lpips: float | None = None
    dists: float | None = None
    niqe: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class MeanRecord(ScoreRecord):
    """The mean over all pictures of ``upscale eval``, of one network with --model."""


@dataclass(frozen=True)
class PageRecord(Record):
    """The page that ``upscale compare`` wrote."""

    target: str
    comparisons: int
    pictures: int
    quality: int
    bytes: int


@dataclass(frozen=True)
class StepRecord(Record):
    """The state of ``upscale train`` after an iteration."""

    step: int
    iterations_per_second: float
    losses: dict[str, float]


@dataclass(frozen=True)
class ValidationRecord(Record):
    """A validation of ``upscale train``."""

    step: int
    psnr_y: float
    ssim_y: float
    best: bool


@dataclass(frozen=True)
class BenchmarkRecord(Record):
    """One way of running a network in ``upscale benchmark``."""

    network: str
    size: str
    how: str
    seconds: float
    megapixels_per_second: float
    speed_up: float | None
    share_of_peak: float
    psnr_to_fp32: float | None
    peak_memory: int


@dataclass(frozen=True)
class ModelRecord(Record):
    """A network of ``upscale models list``."""

    name: str
    file: str
    kind: str
    architecture: str
    scale: int | None
    licence: str | None
    non_commercial: bool
    purpose: str
    tags: tuple[str, ...]
    extra: str | None
    note: str
    partner: str | None
    for_degraded: str | None
    for_sharp: str | None
    source: str
    urls: tuple[str, ...]
    bytes: int | None
    sha256: str | None
    sha256_prefix: str | None
    path: str | None


@dataclass(frozen=True)
class ConfigRecord(Record):
    """A default of ``upscale config``."""

    option: str
    value: str
    source: str


@dataclass(frozen=True)
class RecommendationRecord(Record):
    """A network that ``upscale models recommend`` names for a picture."""

    picture: str
    kind: str
    because: str
    model: str
    reason: str

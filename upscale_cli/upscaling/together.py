"""Small pictures of one shape, enlarged at once: several keep a GPU busy, one does not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from upscale_cli.images.picture import Image, Picture
from upscale_cli.images.storage import MEMORY
from upscale_cli.upscaling import job as steps
from upscale_cli.upscaling.job import ONE_PICTURES_FAULT, Enlarged, Job, Outcome, PictureUpscaler, UpscalerFor
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.size import Size


@runtime_checkable
class Together(PictureUpscaler, Protocol):
    """An upscaler that takes several pictures at once."""

    def upscale_pictures(
        self, pictures: Sequence[Picture], size: Size, on_share: OnShare, batch: int | None
    ) -> list[Picture]:
        """Return ``pictures``, of one shape, at ``size``, ``batch`` at a time; None: as many as suit the device."""

    def pictures_at_once(self, height: int, width: int) -> int:
        """Return how many pictures of that size are best done together."""


def shape_of(job: Job, image: Image | Outcome) -> Any:
    """Return what pictures that are enlarged together have in common, None for one that is enlarged alone."""
    if not isinstance(image, Picture) or job.reuses_result or image.storage is not MEMORY:
        return None
    return image.color.shape, image.color.dtype, image.alpha is None


class Grouping:
    """Says how many pictures are enlarged at once: ``together``, or else what their upscaler says."""

    def __init__(self, options: UpscaleOptions, upscaler_for: UpscalerFor, together: int | None = None) -> None:
        self._upscaler_for, self._together = upscaler_for, together
        self._alone = options.kernel is not None or options.zero_shot or options.auto  # each has a network of its own

    def at_once(self, image: Picture) -> int:
        """Return how many pictures like ``image`` are best enlarged at once."""
        if self._alone:
            return 1
        try:
            upscaler = self._upscaler_for(image, lambda share, detail: None)
        except ONE_PICTURES_FAULT:  # of which its pictures are told when they are enlarged
            self._alone = True
            return 1
        self._alone = not isinstance(upscaler, Together)
        if not isinstance(upscaler, Together):
            return 1
        return self._together or upscaler.pictures_at_once(image.height, image.width)


def enlarge_together(
    group: Sequence[tuple[Job, Picture]],
    size: Size,
    upscaler_for: UpscalerFor,
    reports: Sequence[OnShare],
    batch: int | None = None,
) -> list[Enlarged | Outcome]:
    """Return pictures of one ``shape_of`` at ``size``, or the outcomes where that fails; ``reports`` get their shares.

    Where it fails for all, they are enlarged one by one, so that none suffers from another.
    """

    def on_share(share: float, detail: str) -> None:
        for report in reports:
            report(share, detail)

    start, pictures = time.perf_counter(), [picture for _, picture in group]
    try:
        for job, picture in group:
            job.require_size(*size.pixels(picture.height, picture.width))
        upscaler = upscaler_for(pictures[0], on_share)
        assert isinstance(upscaler, Together)
        results = upscaler.upscale_pictures(pictures, size, on_share, batch)
        seconds = (time.perf_counter() - start) / len(group)
        return [
            steps.enlarged_by(upscaler, job, picture, result, size, seconds)
            for (job, picture), result in zip(group, results, strict=True)
        ]
    except ONE_PICTURES_FAULT:
        return [
            steps.enlarge(job, picture, size, upscaler_for, report)
            for (job, picture), report in zip(group, reports, strict=True)
        ]

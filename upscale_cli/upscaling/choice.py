"""Which embedded network suits a picture, and why."""

from __future__ import annotations

from upscale_cli.images.picture import Picture
from upscale_cli.picture_kind import BLOCKED, Kind, Measures, kind_of, measured_picture
from upscale_cli.upscaling.job import POOR_QUALITY
from upscale_cli.upscaling.options import RESTORING
from upscale_cli.upscaling.size import Size
from upscale_cli.weights.defaults import CLEAN, LARGEST_SCALE_BY_X2

LOSSY_DRAWING = 95  # JPEG quality below which lines have visible ringing around them


def choice(picture: Picture, size: Size) -> tuple[str, str]:
    """Return the network for ``picture`` at ``size``, and a sentence that says why."""
    measures = measured_picture(picture)
    kind, because = kind_of(measures)
    twice = size.factor(picture.height, picture.width) <= LARGEST_SCALE_BY_X2
    network = RESTORING if needs_restoring(kind, measures) else CLEAN[twice]
    return network, f"{kind} ({because}): {network}."


def needs_restoring(kind: Kind, measures: Measures) -> bool:
    """Return whether the network for degraded pictures suits better than those that know of compression and noise.

    Those do what a file's quality and the measured noise ask for; this is for what they leave.
    """
    quality = 100 if measures.jpeg_quality is None else measures.jpeg_quality
    if kind in ("line art", "animation") and quality < LOSSY_DRAWING:
        return True
    return quality < POOR_QUALITY or measures.blocking > BLOCKED

"""Which networks suit a picture or clip of the kind that it is (docs/models.md)."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median

from upscale_cli.errors import InputError
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.picture_kind import Kind, Measures, measured_picture
from upscale_cli.video.kinds import is_clip, require_pyav


@dataclass(frozen=True)
class Suggestion:
    """A network of the manifest, and why it suits."""

    model: str
    reason: str


SUGGESTIONS: dict[Kind, tuple[Suggestion, Suggestion, Suggestion]] = {
    "line art": (
        Suggestion("4x-eula-digimanga-bw-v1", "trained on black and white manga"),
        Suggestion("4x-Manga109Attempt", "trained on scanned manga, free for commercial use"),
        Suggestion("realesr-animevideov3", "small and fast, keeps lines thin"),
    ),
    "animation": (
        Suggestion("realesr-animevideov3", "small and fast, removes compression, made for frames"),
        Suggestion("realesrgan-x4plus-anime", "for illustrations, sharper and slower"),
        Suggestion("2x-AnimeSharpV4", "for twice the size, keeps soft shading"),
    ),
    "degraded photograph": (
        Suggestion("lite-x4-restore", "embedded and the fastest: removes noise and compression"),
        Suggestion("realesr-general-x4v3", "small; -dn sets how much noise it removes"),
        Suggestion("realesrgan-x4plus", "invents detail, best on a GPU"),
    ),
    "clean photograph": (
        Suggestion("lite-x4", "embedded and the fastest: adds nothing that is not there"),
        Suggestion("4x-classicalSR-DF2K-s64w8-SwinIR-M", "the closest to the original, slow"),
        Suggestion("esrgan-x4", "sharper texture, invented; --alpha sets how much"),
    ),
}

_OF_DRAWN_CLIPS = (
    Suggestion("realesr-animevideov3", "made for frames: small and fast, removes compression"),
    Suggestion("2x-HFA2kAVCCompact", "for twice the size, trained on compressed video"),
    Suggestion("2x-AnimeJaNai-HD-V3-UltraCompact", "for HD, the fastest of the three"),
)
CLIP_SUGGESTIONS: dict[Kind, tuple[Suggestion, Suggestion, Suggestion]] = {
    "line art": _OF_DRAWN_CLIPS,
    "animation": _OF_DRAWN_CLIPS,
    "degraded photograph": (
        Suggestion("lite-x4-restore", "embedded and the fastest: removes noise and compression"),
        Suggestion("realesr-general-x4v3", "small; -dn sets how much noise it removes"),
        Suggestion("realesrgan-x2plus", "invents detail, for a GPU; detail may flicker"),
    ),
    "clean photograph": (
        Suggestion("lite-x2", "embedded and the fastest: adds nothing that is not there, so nothing flickers"),
        Suggestion("lite-x4", "the same for four times the size"),
        Suggestion("realesr-general-x4v3", "sharper, and still small; -dn 0 keeps the most grain"),
    ),
}
CLIP_MOMENTS = (Fraction(1, 10), Fraction(1, 2), Fraction(9, 10))  # of a clip's length, at which a frame is measured


def measured(path: Path) -> Measures:
    """Return the measures of the picture ``path``, or the medians of a clip's frames. Raises what reading raises."""
    if not is_clip(path):
        return measured_picture(read_picture(path))
    require_pyav()
    from upscale_cli.video.clip import ClipReader
    from upscale_cli.video.info import Wanted

    found: list[Measures] = []
    for share in CLIP_MOMENTS:
        with closing(ClipReader(path, Wanted(deinterlace=True, skip_damaged=True))) as reader:
            info = reader.info
            frame = next(reader.frames(info.start + round(info.frames / info.rate * share / info.time_base) - 1), None)
        found += [measured_picture(Picture(frame.pixels))] if frame is not None else []
    if not found:
        raise InputError(f"{path} has no frame that can be decoded.", "Is the file damaged?")
    return Measures(
        saturation=median(one.saturation for one in found),
        flatness=median(one.flatness for one in found),
        edges=median(one.edges for one in found),
        extremes=median(one.extremes for one in found),
        noise=median(one.noise for one in found),
        blocking=median(one.blocking for one in found),
        jpeg_quality=None,
    )


def suggestions_for(path: Path, kind: Kind) -> tuple[Suggestion, Suggestion, Suggestion]:
    """Return three networks for the picture or clip ``path`` of that kind."""
    return (CLIP_SUGGESTIONS if is_clip(path) else SUGGESTIONS)[kind]

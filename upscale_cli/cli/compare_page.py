"""The page of ``upscale compare``: pictures as data URLs, sliders over them, and nothing from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template

import numpy as np

from upscale_cli.images.convert import StoredPixels
from upscale_cli.images.encode import encode
from upscale_cli.images.formats import by_name
from upscale_cli.images.metadata import icc_fits
from upscale_cli.images.picture import Metadata, Picture
from upscale_cli.resize import resize_pixels

FORMAT = by_name("webp")


@dataclass(frozen=True)
class Shown:
    """A picture of a comparison, and what stands beside it."""

    label: str
    picture: Picture


@dataclass(frozen=True)
class Comparison:
    """Pictures of one scene: the first and the second are shown at the beginning."""

    title: str
    pictures: tuple[Shown, ...]


def bounded(picture: Picture, most: int) -> Picture:
    """Return ``picture`` with no side longer than ``most`` pixels."""
    factor = most / max(picture.height, picture.width)
    if factor >= 1:
        return picture
    size = max(1, round(picture.height * factor)), max(1, round(picture.width * factor))
    color = resize_pixels(picture.color, size, "area", picture.color.dtype)
    alpha = picture.alpha
    if alpha is not None:
        alpha = resize_pixels(alpha[..., None], size, "area", alpha.dtype)[..., 0]
    return Picture(color, alpha, picture.metadata, light=picture.light)


def encoded(picture: Picture, quality: int) -> bytes:
    """Return ``picture`` as WebP with its profile, as displays show it."""
    icc = picture.metadata.icc
    kept = icc if icc and icc_fits(icc, 3) and picture.light is None else None
    content = BytesIO()
    stored = StoredPixels(picture, 8, 3 + (picture.alpha is not None))
    encode(stored, Metadata(icc=kept), content, FORMAT, quality)
    return content.getvalue()


def page(title: str, comparisons: Sequence[Comparison], encoding: Sequence[Sequence[bytes]], footer: str) -> str:
    """Return the page; ``encoding``: the files of the comparisons' pictures."""
    template = Template(files("upscale_cli.cli").joinpath("compare.html").read_text(encoding="utf-8"))
    viewers = [
        _viewer(comparison, pictures, len(comparisons) > 1)
        for comparison, pictures in zip(comparisons, encoding, strict=True)
    ]
    return template.substitute(title=escape(title), viewers="\n".join(viewers), footer=escape(footer))


def _viewer(comparison: Comparison, encoding: Sequence[bytes], titled: bool) -> str:
    shown = comparison.pictures
    height, width = np.max([(each.picture.height, each.picture.width) for each in shown], axis=0)
    figures = [_figure(each, data, number) for number, (each, data) in enumerate(zip(shown, encoding, strict=True))]
    heading = f"<h2>{escape(comparison.title)}</h2>" if titled else ""
    choices = [_choice(side, shown, number) for number, side in enumerate(("left", "right"))]
    return f"""<section class="viewer slider" style="--at: 50%; --width: {width}; --height: {height}">
{heading}
<div class="controls">{" ".join(choices)}
<button type="button" class="swap of-slider">Swap</button>
<label class="of-slider"><input type="checkbox" class="size"> actual pixels</label>
<label><input type="checkbox" class="all"> side by side</label></div>
<div class="frame"><div class="pictures">
{"".join(figures)}
<span class="name of-left"></span><span class="name of-right"></span><span class="line"></span></div></div>
<input type="range" class="range" min="0" max="100" step="0.5" value="50" aria-label="{escape(comparison.title)}">
</section>"""


def _figure(shown: Shown, data: bytes, number: int) -> str:
    side = {0: ' class="left"', 1: ' class="right"'}.get(number, "")
    label = escape(shown.label)
    source = f"data:image/{FORMAT.name};base64,{b64encode(data).decode('ascii')}"
    return f'<figure{side}><img alt="{label}" src="{source}"><figcaption>{label}</figcaption></figure>\n'


def _choice(side: str, shown: Sequence[Shown], chosen: int) -> str:
    options = "".join(
        f'<option value="{number}"{" selected" * (number == chosen)}>{escape(each.label)}</option>'
        for number, each in enumerate(shown)
    )
    return f'<label class="of-slider">{side} <select class="{side}-of">{options}</select></label>'

"""How an enlarged clip is written: codec, pixel format, size and colour, from the input and the options."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from upscale_cli.errors import InputError
from upscale_cli.notices import Notify, note
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video import codecs
from upscale_cli.video.encoder import Encoding
from upscale_cli.video.info import ClipInfo

ENCODER_SHARE = 4  # one thread of so many encodes where the network runs on the CPU


def encoding_of(
    info: ClipInfo, target: Path, size: tuple[int, int], options: UpscaleOptions, clip: ClipOptions, notify: Notify
) -> Encoding:
    """Return how frames of ``size`` (height, width) are written. Raises UsageError where the codec cannot."""
    container = target.suffix.lower()
    name = codecs.choose(clip.codec, container, codecs.depth_of(clip.pix_fmt) if clip.pix_fmt else info.depth)
    rates = codecs.rate_options(name, options.quality, clip.preset)
    pix_fmt = codecs.pixel_format(name, clip.pix_fmt, info.pix_fmt, info.depth)
    if info.width * info.height > options.max_megapixels * 1e6:
        raise InputError(f"{info.path} has more than {options.max_megapixels:g} megapixels.", "Use --max-megapixels.")
    height, width = size
    across, down = codecs.subsampling(pix_fmt)
    even = -(-height // down) * down, -(-width // across) * across
    if even != (height, width):
        notify(note(f"{pix_fmt} holds even sizes only: the last pixels of {width}x{height} are doubled."))
    codecs.require_size(name, even[1], even[0])
    if info.alpha:
        notify(note(f"The transparency of {info.path} is left out."))
    if (info.mastering or info.light) and not codecs.CODECS[name].hdr10:
        notify(note(f"The HDR10 mastering data of {info.path} is left out: {name} does not take it here."))
    oblong = info.sample_aspect not in (None, 1)
    if oblong and container in (".mkv", ".webm") and not codecs.CODECS[name].aspect:
        notify(
            note(f"The pixel aspect {info.sample_aspect} is left out: {container} files do not hold it with {name}.")
        )
    colour = info.colour.as_yuv()
    if (across, down) == (2, 2):
        colour = replace(colour, place=colour.place or "left")
    return Encoding(
        codec=name,
        options=tuple(rates.items()),
        pix_fmt=pix_fmt,
        width=even[1],
        height=even[0],
        rate=info.rate,
        time_base=info.time_base,
        colour=colour,
        sample_aspect=info.sample_aspect,
        threads=max(1, (os.cpu_count() or 1) // ENCODER_SHARE),
        mastering=info.mastering,
        light=info.light,
    )

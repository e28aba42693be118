"""The options of clips, and which inputs they are for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import click

from upscale_cli.cli.options import as_one
from upscale_cli.errors import UsageError
from upscale_cli.upscaling.clip_options import ClipOptions
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.video.kinds import is_clip


def parse_time(text: str) -> float:
    """Return the seconds of ``80``, ``1:20`` or ``1:02:03.5``. Raises UsageError."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise UsageError(f"{text!r} is no time.", "Write it as 80, 1:20 or 1:02:03.5.")
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


_OPTIONS = {
    "start": click.option("--start", type=parse_time, default="0", metavar="TIME", help="Begin here: 80 or 1:20."),
    "duration": click.option("--duration", type=parse_time, metavar="TIME", help="End after so long."),
    "codec": click.option(
        "--codec",
        help="h264, hevc, av1, vp9, prores, ffv1, h264_nvenc, hevc_nvenc or av1_nvenc."
        "  [default: h264; 10-bit: hevc; webm: vp9]",
    ),
    "preset": click.option("--preset", help="The encoder's: ultrafast to veryslow, 0 to 13, p1 to p7."),
    "pix_fmt": click.option("--pix-fmt", help="Pixel format, such as yuv420p10le.  [default: near the input's]"),
    "fps": click.option(
        "--fps", type=float, help="A folder of numbered pictures is a clip of so many frames per second."
    ),
    "stream": click.option("--stream", type=click.IntRange(0), default=0, help="Which picture stream, from 0."),
    "deinterlace": click.option("--deinterlace", is_flag=True, help="Make frames of fields (bwdif)."),
    "skip_damaged": click.option(
        "--skip-damaged", is_flag=True, help="Repeat the last good frame where one is damaged."
    ),
    "reuse": click.option(
        "--no-reuse", "reuse", is_flag=True, flag_value=False, default=True, help="Compute what has not changed, too."
    ),
}
NAMES = tuple(_OPTIONS)
OF_PICTURES = (
    *("auto", "kernel", "depth", "max_bytes", "alpha_upsampler", "tileable", "print_size", "dpi"),
    *("strength", "keep_colors", "sharpen", "grain"),
)
clip_options = as_one("clip", ClipOptions, _OPTIONS)


def are_clips(paths: Sequence[str], clip: ClipOptions) -> bool:
    """Return whether ``paths`` are clips: folders too, with --fps. Raises UsageError where some are pictures."""
    if clip.fps is not None:
        for path in paths:
            if not Path(path).is_dir():
                raise UsageError(f"--fps is for folders of numbered pictures, and {path} is none.", "Leave it out.")
        return True
    clips = [is_clip(Path(path)) for path in paths]
    if any(clips) and not all(clips):
        known, other = paths[clips.index(True)], paths[clips.index(False)]
        raise UsageError(f"{known} is a clip, and {other} is not.", "Do them in two runs.")
    return any(clips)


def refuse_for_pictures(clip: ClipOptions) -> None:
    """Raise UsageError where options of clips are given for pictures."""
    plain = ClipOptions()
    for field in fields(clip):
        if getattr(clip, field.name) != getattr(plain, field.name):
            name = "no-reuse" if field.name == "reuse" else field.name.replace("_", "-")
            raise UsageError(f"--{name} is for clips.", "Leave it out for pictures.")


def refuse_for_clips(options: UpscaleOptions, of_pictures: Mapping[str, object]) -> None:
    """Raise UsageError where options of pictures are given for clips; ``of_pictures`` are those beside ``options``."""
    plain = UpscaleOptions()
    own = {
        f"--{name.removesuffix('_size').replace('_', '-')}": getattr(options, name) != getattr(plain, name)
        for name in OF_PICTURES
    }
    for name, given in {**own, **of_pictures}.items():
        if given:
            hints = {"--format": "Name the container with -o.", "--depth": "Choose it by --pix-fmt."}
            raise UsageError(f"{name} is for pictures.", hints.get(name, "Leave it out for clips."))

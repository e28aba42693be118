"""Options that several commands share, each defined once, and delivered as what the program works with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from upscale_cli.cli.console import Style, on_terminal
from upscale_cli.errors import UsageError
from upscale_cli.upscaling.options import SMALLEST_TILE, InputQuality, Noise, UpscaleOptions

if TYPE_CHECKING:
    from upscale_cli.device import Precision
    from upscale_cli.upscaling.runner import TileChoice

Function = TypeVar("Function", bound=Callable[..., object])
Decorator = Callable[[Function], Function]


def parse_width_height(text: str) -> tuple[int, int]:
    """Return (width, height) of ``1920x1080``. Raises UsageError."""
    match = re.fullmatch(r"(\d+)\s*[xX×]\s*(\d+)", text.strip())
    if not match:
        raise UsageError(f"{text!r} is no size.", "Write it as 1920x1080.")
    return int(match[1]), int(match[2])


def parse_paper(text: str) -> tuple[float, float]:
    """Return (width, height) in centimetres of ``30x20cm``, ``300x200mm``, ``12x8in`` or ``A4``. Raises UsageError."""
    if name := re.fullmatch(r"a([0-6])", text.strip().lower()):  # A0 has a square metre, each further one half of that
        long, short = (math.floor(1000 * 2 ** ((1 - 2 * int(name[1])) / 4 - shorter / 2) + 0.2) for shorter in (0, 1))
        return long / 10, short / 10
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*x\s*(\d+(?:\.\d+)?)\s*(cm|mm|in|inch|\")", text.strip().lower())
    if not match:
        raise UsageError(f"{text!r} is no size of paper.", "Write it as 30x20cm, 12x8in or A4.")
    unit = {"cm": 1.0, "mm": 0.1}.get(match[3], 2.54)
    return float(match[1]) * unit, float(match[2]) * unit


def parse_tile(text: str) -> TileChoice:
    """Return ``auto``, or the side of a tile in input pixels, 0 for none. Raises UsageError."""
    if text == "auto":
        return "auto"
    if not text.isdigit() or 0 < int(text) < SMALLEST_TILE:
        raise UsageError(f"{text!r} is no tile size.", f"Use auto, 0 (no tiles), or {SMALLEST_TILE} and more pixels.")
    return int(text)


def parse_input_quality(text: str) -> InputQuality:
    """Return ``auto``, ``none`` or a number. Raises UsageError."""
    if text == "auto":
        return "auto"
    if text == "none":
        return "none"
    if not text.isdigit():
        raise UsageError(f"{text!r} is no JPEG quality.", "Use auto, none, or 1 to 100.")
    return int(text)


def parse_bytes(text: str) -> int:
    """Return the bytes of ``2MB``, ``500 kB``, ``1.5MiB`` or ``200000``. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmg])(i?)b?|b)?", text.strip().lower())
    if not match:
        raise UsageError(f"{text!r} is no size of a file.", "Write it as 2MB, 500kB or 1.5MiB.")
    unit = (1024 if match[3] else 1000) ** (" kmg".index(match[2]) if match[2] else 0)
    return int(float(match[1]) * unit)


def parse_noise(text: str) -> Noise:
    """Return ``auto`` or a number. Raises UsageError."""
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no number of levels.", "Use auto, or 0 to 50.") from error


def parse_kernel(text: str) -> Path | Literal["auto"]:
    """Return ``auto`` or a path."""
    return "auto" if text == "auto" else Path(text)


path = partial(click.Path, path_type=Path)
threads_option = click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")


def precision_options(function: Function) -> Function:
    """Add --half, --bf16 and --fp32, of which at most one may be given, as ``precision``."""

    def choose(context: click.Context, option: click.Parameter, given: bool) -> None:
        precision: Precision = context.params.setdefault("precision", "auto")
        if given and precision != "auto":
            raise UsageError(f"--{option.name} and --{precision} exclude each other.", "Give one of them, or none.")
        if given:
            context.params["precision"] = option.name

    flag = partial(click.option, is_flag=True, expose_value=False, callback=choose)
    full = flag("--fp32", help="Full precision.  [default elsewhere]")(function)
    brain = flag("--bf16", help="bf16, whose range is that of fp32, where the device has it.")(full)
    return flag("--half", help="Half precision: fp16, on a CPU bf16.  [default on CUDA]")(brain)


UPSCALE_OPTIONS: dict[str, Decorator[Any]] = {"precision": precision_options, "threads": threads_option}


def _field(*flags: str, **settings: Any) -> None:
    """Define the option for the field of UpscaleOptions that the last of ``flags`` names, with its default."""
    name = flags[-1].removeprefix("--").replace("-", "_")
    UPSCALE_OPTIONS[name] = click.option(*flags, default=getattr(UpscaleOptions, name), **settings)


_field("-s", "--scale", type=float, help="How many times larger, 0.1 to 32.  [default: the network's own, or 4]")
_field("--width", type=int, help="Width of the result in pixels; the height follows.")
_field("--height", type=int, help="Height of the result in pixels; the width follows.")
_field("--fit", type=parse_width_height, metavar="WxH", help="As large as fits into a box of that many pixels.")
_field(
    "--print",
    "print_size",
    type=parse_paper,
    metavar="WxHcm",
    help="As large as fits on paper of that size, turned as the picture needs it: 30x20cm, 12x8in or A4.",
)
_field(
    "--dpi", type=float, help="Pixels per inch of --print, and what the file says.  [default: 300; else as the input]"
)
_field("-m", "--model", help="Name, OpenModelDB id, or file.  [default: by device and scale]")
_field("--restore", is_flag=True, help="For noisy or compressed pictures: -m lite-x4-restore. Keeps colours.")
_field("--auto", is_flag=True, help="The embedded network that suits each picture: restoring or not, by measurements.")
_field("--alpha", type=float, help="Share of a GAN-trained network, 0 to 1, mixed with its PSNR-trained partner.")
_field("-dn", "--denoise", type=click.FloatRange(0, 1), help="Strength with -m realesr-general-x4v3.  [default: 1]")
_field("--tta", is_flag=True, help="Mean over eight orientations: a little better, eight times slower.")
_field(
    "--alpha-upsampler",
    type=click.Choice(["network", "bicubic"]),
    show_default=True,
    help="What enlarges transparency.",
)
_field(
    "--tileable",
    type=click.Choice(["x", "y", "both"]),
    help="Seamless textures: what lies beyond the edges left and right, above and below, or both, is the other side.",
)
_field(
    "--input-quality",
    type=parse_input_quality,
    metavar="QUALITY",
    show_default=True,
    help="JPEG quality of the inputs, 1 to 100, auto for what each file says, or none; for lite-x4 and lite-x2.",
)
_field(
    "--noise",
    type=parse_noise,
    metavar="LEVELS",
    show_default=True,
    help="Noise of the inputs, in levels of 255, or auto for what is measured; for lite-x4 and lite-x2.",
)
_field(
    "--strength",
    type=float,
    show_default=True,
    help="Share of the network's detail, 0 to 1; the rest is the input's, enlarged by Lanczos.",
)
_field("--keep-colors", is_flag=True, help="Give the result the input's colours, for networks that shift them.")
_field("--sharpen", type=float, metavar="AMOUNT", help="Sharpen the result, 0 to 3; 0.5 is a little.")
_field("--grain", type=float, metavar="LEVELS", help="Add gray film grain of 0 to 50 levels of 255.")
_field(
    "--kernel",
    type=parse_kernel,
    metavar="[auto|FILE]",
    help="For blurred pictures: the blur kernel of their downsampling, from a file or, with auto, measured on each.",
)
_field("--zssr", is_flag=True, help="With --kernel: train a network on each picture itself (ZSSR), in minutes.")
_field("--fast", is_flag=True, help="As --zssr, trained for half a minute: a little less close to the original.")
_field("--iterations", type=click.IntRange(1), help="As --zssr, with so many at most.  [default: 3000]")
_field("--seed", type=click.IntRange(0), help="As --zssr, with this seed; or that of --grain.  [default: 0]")
_field(
    "--quality",
    type=int,
    help="1 to 100, of lossy formats and codecs (h264: CRF 40 to 10).  [default: 95, avif 90, clips 75]",
)
_field(
    "--max-bytes",
    type=parse_bytes,
    metavar="SIZE",
    help="Lower the quality of jpeg, webp, avif and jxl until a file takes no more than, say, 2MB.",
)
_field("--depth", type=int, metavar="[8|16|32]", help="Bits per channel; 32: tiff and exr.  [default: the input's]")
_field("--max-megapixels", type=float, show_default=True, help="Refuse larger inputs.")
_field(
    "--tile",
    type=parse_tile,
    show_default=True,
    metavar="SIDE",
    help="Side of tiles in input pixels, 0 for none, or auto.",
)
_field("--tile-pad", type=click.IntRange(0), help="Pixels around a tile.  [default: as many as the network needs]")
_field("--device", show_default=True, help="auto, cpu, cuda, cuda:1, mps or xpu; for pictures several: cuda:0,cuda:1.")
_field(
    "--compile",
    is_flag=True,
    help="For long runs: compile the network first (torch.compile), which takes a minute once and is kept.",
)


def upscale_options(*names: str) -> Decorator[Any]:
    """Add the options that are these fields of UpscaleOptions to a command, which gets them as ``options``."""
    return as_one("options", UpscaleOptions, {name: UPSCALE_OPTIONS[name] for name in names})


def as_one(parameter: str, kind: type[object], options: dict[str, Decorator[Any]]) -> Decorator[Any]:
    """Add ``options``, named as fields of the dataclass ``kind``, to a command, which gets that as ``parameter``."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**given: Any) -> None:
            fields = {name: given.pop(name) for name in options}
            function(**given, **{parameter: kind(**fields)})

        for option in reversed(options.values()):
            command = option(command)
        return command

    return decorate


def style_options(json_help: str = "", quiet_help: str = "Only errors.") -> Decorator[Any]:
    """Add --quiet, and with ``json_help`` --json, as ``style``; without them it goes by the terminal."""

    def choose(context: click.Context, option: click.Parameter, given: bool) -> None:
        style: Style = context.params.setdefault("style", "bar" if on_terminal() else "lines")
        if given and style != "json":
            context.params["style"] = option.name

    flag = partial(click.option, is_flag=True, expose_value=False, callback=choose)

    def decorate(function: Function) -> Function:
        function = flag("--json", help=json_help)(function) if json_help else function
        return flag("-q", "--quiet", help=quiet_help)(function)

    return decorate


class Heading(click.Command):
    """A command whose help lists its options under headings, each mapped to their names."""

    headings: dict[str, str] = {}  # noqa: RUF012  (set once per command, below its options)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, and those without one last."""
        records = {
            parameter.name: record
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None
        }
        for heading, names in self.headings.items():
            with formatter.section(heading):
                formatter.write_dl([records.pop(name) for name in names.split()])
        with formatter.section("Other"):
            formatter.write_dl(list(records.values()))

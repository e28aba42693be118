"""``upscale degrade``: what training shows to a network, as a contact sheet."""

from __future__ import annotations

from pathlib import Path

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import overwrite_option, path, style_options
from upscale_cli.cli.outputs import require_picture
from upscale_cli.errors import InputError

SCALE = 4


@click.command("degrade", no_args_is_help=True)
@click.argument("picture", type=path())
@click.option("-n", "--count", type=click.IntRange(1, 400), default=16, show_default=True, help="Degraded versions.")
@click.option(
    "-s",
    "--scale",
    type=click.IntRange(1, 16),
    help="How much smaller they become.  [default: the kernel's scale, or 4]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed gives other versions.")
@click.option(
    "--crop", type=click.IntRange(16), default=256, show_default=True, help="Side of the part shown, the middle one."
)
@click.option("--kernel", type=path(), help="Blur with this kernel, or those of a folder, alone.")
@click.option("-o", "--output", type=path(), help="The sheet.  [default: PICTURE_degraded.png]")
@overwrite_option
@style_options()
def degrade(
    picture: Path,
    count: int,
    scale: int | None,
    seed: int,
    crop: int,
    kernel: Path | None,
    output: Path | None,
    overwrite: bool,
    style: Style,
) -> None:
    """Write a contact sheet of degraded, small versions of PICTURE, as Real-ESRGAN's training shows them.

    Each version is enlarged to the size of the original by repeating pixels. Under it stands what was drawn for its two
    rounds of degradation: standard deviation of the blur in pixels (or the cutoff of a sinc filter), factor of the
    resize, standard deviation of the noise in levels of 255 (or the scale of Poisson noise), and quality of the JPEG.
    With --kernel the versions show blur kernels instead, such as `upscale kernel` estimates.

    \b
    Examples:
      upscale degrade photo.jpg -n 16
      upscale degrade photo.jpg -s 2 --seed 7 --crop 320 -o versions.png
    """
    from upscale_cli.degradation import preview
    from upscale_cli.images.convert import displayed
    from upscale_cli.images.read import read_picture
    from upscale_cli.images.write import WriteOptions, write_image

    target = output or Path(f"{picture.stem}_degraded.png")
    kind = require_picture(target, overwrite)
    sharp = displayed(read_picture(picture))
    if min(sharp.height, sharp.width) < 16:
        raise InputError(f"{picture} is only {sharp.width}x{sharp.height} pixels.", "16 and more are needed.")
    scale = scale or (preview.scale_of(kernel) if kernel else SCALE)
    hr = preview.middle(sharp, crop, scale)
    versions = (
        preview.by_kernels(hr, scale, count, kernel) if kernel else preview.second_order(hr, scale, count, [seed])
    )
    write_image(preview.sheet(hr, versions), target, WriteOptions(kind), overwrite)
    Console(style).tell(f"{picture} -> {target}")

"""``upscale degrade``: what training shows to a network, as a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from upscale_cli.images.formats import Format


@click.command("degrade", no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("-n", "--count", type=click.IntRange(1, 400), default=16, show_default=True, help="Damaged versions.")
@click.option(
    "-s", "--scale", type=click.IntRange(1, 16), default=4, show_default=True, help="How much smaller they become."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other damage.")
@click.option(
    "--crop", type=click.IntRange(16), default=256, show_default=True, help="Side of the part shown, the middle one."
)
@click.option("--kernel", type=click.Path(path_type=Path), help="Blur by this kernel, or those of a folder, alone.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The sheet.  [default: PICTURE_degraded.png]")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def degrade(
    picture: Path,
    count: int,
    scale: int,
    seed: int,
    crop: int,
    kernel: Path | None,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """A contact sheet of damaged, small versions of PICTURE, as the training of Real-ESRGAN's networks sees them.

    Each version is enlarged to the size of the original by repeating pixels. Under it stands what was drawn for its
    two rounds of damage: deviation of the blur in pixels (or the cutoff of a sinc filter), factor of the resize,
    deviation of the noise in levels of 255 (or the scale of Poisson noise), and quality of the JPEG. With --kernel the
    versions show blur kernels instead, such as `upscale kernel` estimates.

    \b
    Examples:
      upscale degrade photo.jpg -n 16
      upscale degrade photo.jpg -s 2 --seed 7 --crop 320 -o damage.png
    """
    from upscale_cli.degradation import preview
    from upscale_cli.images.read import read_picture
    from upscale_cli.images.write import WriteOptions, write_image

    target = output or Path(f"{picture.stem}_degraded.png")
    kind = _format(target)
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already.", "Add --overwrite, or choose another name with -o.")
    sharp = read_picture(picture)
    if min(sharp.height, sharp.width) < 16:
        raise InputError(f"{picture} is only {sharp.width}x{sharp.height} pixels.", "16 and more are needed.")
    hr = preview.middle(sharp, crop, scale)
    versions = (
        preview.by_kernels(hr, scale, count, kernel) if kernel else preview.second_order(hr, scale, count, [seed])
    )
    write_image(preview.sheet(hr, versions), target, WriteOptions(kind))
    if not quiet:
        click.echo(f"{picture} -> {target}")


def _format(target: Path) -> Format:
    from upscale_cli.images import formats

    kind = formats.of_path(target)
    if kind is None:
        raise UsageError(f"{target} has no extension of a picture format.", f"Known formats: {formats.NAMES}.")
    return kind

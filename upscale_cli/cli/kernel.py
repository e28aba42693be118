"""``upscale kernel``: the blur kernel of a small picture; and what can be done with a kernel."""

from __future__ import annotations

from pathlib import Path

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.default_group import DefaultGroup
from upscale_cli.cli.kernel_estimate import estimate, write_drawing
from upscale_cli.cli.options import overwrite_option, path, style_options
from upscale_cli.cli.outputs import require_picture
from upscale_cli.errors import InputError


class Verbs(DefaultGroup):
    """What can be done with kernels."""

    default = "estimate"
    heading = "Options of estimate"


@click.group("kernel", cls=Verbs, no_args_is_help=True)
def kernel() -> None:
    """Estimate the kernel that a picture was downsampled with, from the picture alone, without any weights.

    \b
    upscale kernel lr.png                 into lr_kernel.mat, drawn in lr_kernel.png
    upscale kernel lr.png --prior gaussian
                                          in a second: an anisotropic Gaussian
    upscale kernel lr.png --network -o net.safetensors
                                          the network that undoes it, for any tool
    upscale kernel dir/ -r -o kernels/    of a tree of pictures
    upscale kernel show lr_kernel.mat     width, centre, similarity to bicubic
    upscale kernel apply lr_kernel.mat sharp.png
                                          downsample another picture with it
    upscale kernel estimate show          a picture named like a verb
    """


kernel.add_command(estimate)


@kernel.command("show", no_args_is_help=True)
@click.argument("file", type=path())
@click.option("-o", "--output", type=path(), help="The drawing.  [default: FILE.png, beside it]")
@overwrite_option
@style_options(quiet_help="Only the drawing.")
def show(file: Path, output: Path | None, overwrite: bool, style: Style) -> None:
    """Draw the kernel in FILE and print its figures."""
    from upscale_cli.kernels.drawing import width
    from upscale_cli.kernels.files import read_kernel
    from upscale_cli.kernels.similarity import to_bicubic
    from upscale_cli.kernels.values import center_of_mass, covariance

    console, target = Console(style), output or file.with_suffix(".png")
    kept = output is None and target.exists() and not overwrite
    kind = require_picture(target, overwrite or kept)
    found = read_kernel(file)
    if not kept:
        write_drawing(found, target, kind)
    row, column = center_of_mass(found.values)
    (yy, yx), (_, xx) = covariance(found.values)
    console.tell(
        f"size                    {found.size}x{found.size}, for x{found.scale}",
        f"sum                     {found.values.sum():.4f}",
        f"centre of mass          row {row:.2f}, column {column:.2f} (from 0)",
        f"covariance              [[{yy:.3f}, {yx:.3f}], [{yx:.3f}, {xx:.3f}]] (rows first, px²)",
        f"standard deviations     {width(found)}",
        f"similarity to bicubic   {to_bicubic(found):.4f}",
    )
    console.tell(f"{target} is there already (--overwrite draws it again)" if kept else f"{file} -> {target}")


@kernel.command("apply", no_args_is_help=True)
@click.argument("file", type=path())
@click.argument("picture", type=path())
@click.option("-s", "--scale", type=click.IntRange(1, 8), help="How much smaller.  [default: the kernel's]")
@click.option("-o", "--output", type=path(), help="The result.  [default: PICTURE_lrx2, of its format]")
@overwrite_option
@style_options()
def apply(file: Path, picture: Path, scale: int | None, output: Path | None, overwrite: bool, style: Style) -> None:
    """Downsample PICTURE with the kernel in FILE.

    The result is a test case whose HR picture is known. Depth, transparency and metadata are kept.
    """
    from upscale_cli.degradation.by_kernel import downsampled
    from upscale_cli.images.read import read_picture
    from upscale_cli.images.write import WriteOptions, write_image
    from upscale_cli.kernels.files import read_kernel

    found = read_kernel(file)
    scale = scale or found.scale
    target = output or picture.with_name(f"{picture.stem}_lrx{scale}{picture.suffix}")
    kind = require_picture(target, overwrite)
    sharp = read_picture(picture)
    if min(sharp.height, sharp.width) < scale:
        raise InputError(f"{picture} is only {sharp.width}x{sharp.height} pixels.", f"{scale} and more are needed.")
    small, console = downsampled(sharp, found, scale), Console(style)
    for notice in write_image(small, target, WriteOptions(kind), overwrite):
        console.notify(notice)
    console.tell(f"{picture} ({sharp.width}x{sharp.height}) -> {target} ({small.width}x{small.height})")

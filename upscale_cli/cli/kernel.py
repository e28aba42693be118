"""``upscale kernel``: the blur kernel of a small picture; and what can be done with a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.cli.kernel_estimate import estimate, write_drawing
from upscale_cli.cli.report import in_words
from upscale_cli.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from upscale_cli.images.formats import Format
    from upscale_cli.kernels.blur_kernel import BlurKernel

HELP = {"help_option_names": ["-h", "--help"]}
OF_THE_GROUP = ("--help", "-h")


class Verbs(click.Group):
    """A group whose first argument may be a picture instead of a verb: ``estimate`` is meant then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in OF_THE_GROUP:
            args = ["estimate", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = (option.get_help_record(ctx) for option in estimate.params)
        with formatter.section("Options of estimate"):
            formatter.write_dl([record for record in options if record is not None])
        super().format_options(ctx, formatter)


@click.group("kernel", cls=Verbs, no_args_is_help=True, context_settings=HELP)
def kernel() -> None:
    """The kernel a picture was shrunk with, estimated from the picture alone, without any weights.

    \b
    upscale kernel lr.png                 into lr_kernel.mat, drawn in lr_kernel.png
    upscale kernel lr.png --prior gaussian
                                          in a second: an anisotropic Gaussian
    upscale kernel dir/ -r -o kernels/    of a tree of pictures
    upscale kernel show lr_kernel.mat     width, centre, likeness to bicubic
    upscale kernel apply lr_kernel.mat sharp.png
                                          shrink another picture with it
    upscale kernel estimate show          a picture that is called like a verb
    """


kernel.add_command(estimate)


@kernel.command("show", no_args_is_help=True, context_settings=HELP)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The drawing.  [default: FILE.png, beside it]")
@click.option("--overwrite", is_flag=True, help="Replace a drawing that exists.")
@click.option("-q", "--quiet", is_flag=True, help="Only the drawing.")
def show(file: Path, output: Path | None, overwrite: bool, quiet: bool) -> None:
    """Draw the kernel in FILE (.npy, .mat, .json) and print what it does."""
    from upscale_cli.kernels.files import read_kernel

    found = read_kernel(file)
    target = output or file.with_suffix(".png")
    kind = _format(target)
    kept = output is None and target.exists() and not overwrite
    if not kept:
        _require_free(target, overwrite)
        write_drawing(found, target, kind)
    if quiet:
        return
    for name, value in _facts(found):
        click.echo(f"{name:<22}{value}")
    click.echo(f"{target} is there already (--overwrite draws it again)" if kept else f"{file} -> {target}")


def _facts(kernel: BlurKernel) -> list[tuple[str, str]]:
    from upscale_cli.kernels import blur_kernel
    from upscale_cli.kernels.drawing import width
    from upscale_cli.kernels.similarity import correlation
    from upscale_cli.kernels.values import center_of_mass, covariance

    (yy, yx), (_, xx) = covariance(kernel.values)
    row, column = center_of_mass(kernel.values)
    likeness = correlation(kernel.values, blur_kernel.bicubic(kernel.scale).values)
    return [
        ("size", f"{kernel.size}x{kernel.size}, for x{kernel.scale}"),
        ("sum", f"{kernel.values.sum():.4f}"),
        ("centre of mass", f"row {row:.2f}, column {column:.2f} (from 0)"),
        ("covariance", f"[[{yy:.3f}, {yx:.3f}], [{yx:.3f}, {xx:.3f}]] (rows first, px²)"),
        ("deviations", width(kernel)),
        ("likeness to bicubic", f"{likeness:.4f}"),
    ]


@kernel.command("apply", no_args_is_help=True, context_settings=HELP)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("-s", "--scale", type=click.IntRange(1, 8), help="How much smaller.  [default: the kernel's]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The result.  [default: PICTURE_lrx2, of its format]"
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def apply(file: Path, picture: Path, scale: int | None, output: Path | None, overwrite: bool, quiet: bool) -> None:
    """Shrink PICTURE with the kernel in FILE: a test case whose truth is known.

    Depth, transparency and metadata are kept.
    """
    from upscale_cli.degradation.by_kernel import downsampled
    from upscale_cli.images.read import read_picture
    from upscale_cli.images.write import WriteOptions, write_image
    from upscale_cli.kernels.files import read_kernel

    found = read_kernel(file)
    scale = scale or found.scale
    target = output or picture.with_name(f"{picture.stem}_lrx{scale}{picture.suffix}")
    kind = _format(target)
    _require_free(target, overwrite)
    sharp = read_picture(picture)
    if min(sharp.height, sharp.width) < scale:
        raise InputError(f"{picture} is only {sharp.width}x{sharp.height} pixels.", f"{scale} and more are needed.")
    small = downsampled(sharp, found, scale)
    notices = write_image(small, target, WriteOptions(kind))
    for notice in notices if not quiet else ():
        click.echo(in_words(notice), err=True)
    if not quiet:
        click.echo(f"{picture} ({sharp.width}x{sharp.height}) -> {target} ({small.width}x{small.height})")


def _format(target: Path) -> Format:
    from upscale_cli.images import formats

    kind = formats.of_path(target)
    if kind is None:
        raise UsageError(f"{target} has no extension of a picture format.", f"Known formats: {formats.NAMES}.")
    return kind


def _require_free(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already.", "Add --overwrite, or choose another name with -o.")

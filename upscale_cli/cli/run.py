"""``upscale run``: pictures in, larger pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.addresses import is_address
from upscale_cli.cli.archives import are_archives, run_archives
from upscale_cli.cli.clip_options import NAMES, are_clips, clip_options, refuse_for_clips, refuse_for_pictures
from upscale_cli.cli.clips import Placing, run_clips
from upscale_cli.cli.config import WithDefaults
from upscale_cli.cli.console import PIPE, Console, Style
from upscale_cli.cli.options import UPSCALE_OPTIONS, style_options, upscale_options
from upscale_cli.cli.outputs import refuse_addresses
from upscale_cli.cli.pictures import run_pictures
from upscale_cli.cli.pipes import named_in, piped
from upscale_cli.cli.ray_options import NAMES as OF_RAY
from upscale_cli.cli.ray_options import ray_options, with_address
from upscale_cli.cli.watch import require_watchable, run_watched
from upscale_cli.errors import UsageError

if TYPE_CHECKING:
    from upscale_cli.images.formats import Format
    from upscale_cli.upscaling.clip_options import ClipOptions
    from upscale_cli.upscaling.naming import Naming
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.upscaling.ray_options import RayOptions


class Run(WithDefaults):
    """The command, whose --ray takes an address or none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse with the address that --ray means alone."""
        return super().parse_args(ctx, list(with_address(args)))


@click.command("run", cls=Run, no_args_is_help=True)
@click.argument("paths", nargs=-1, metavar="PATH...", type=click.Path())
@upscale_options(*UPSCALE_OPTIONS)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="File for one picture (its extension decides the format), else folder; - for stdout.",
)
@click.option("--files-from", metavar="LIST", help="Enlarge what the lines of this file name; - for stdin.")
@click.option(
    "--suffix", help="Added to names.  [default: _x4, or the size, beside the input; nothing in another folder]"
)
@click.option(
    "--format", "format_name", help="jpeg, png, webp, tiff, avif, bmp, ppm, gif, jxl, exr.  [default: as the input]"
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--skip-existing", is_flag=True, help="Leave results that exist; the default in folders.")
@click.option(
    "--compare", is_flag=True, help="Also write NAME_compare: the input enlarged bicubically beside the result."
)
@click.option("-r", "--recursive", is_flag=True, help="Look into subfolders; the result has the same tree.")
@click.option("--watch", is_flag=True, help="Go on with each picture that arrives in the folder, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@clip_options
@ray_options
@style_options(json_help="One JSON object per picture or clip on stdout.")
def run(
    *,
    paths: tuple[str, ...],
    options: UpscaleOptions,
    clip: ClipOptions,
    cluster: RayOptions | None,
    output: str | None,
    files_from: str | None,
    suffix: str | None,
    format_name: str | None,
    overwrite: bool,
    skip_existing: bool,
    compare: bool,
    recursive: bool,
    watch: bool,
    dry_run: bool,
    style: Style,
) -> None:
    """Enlarge pictures, folders, patterns, comics and clips; - is a picture from stdin.

    photo.jpg becomes photo_x4.jpg, folder/ becomes folder_x4/, comic.cbz becomes comic_x4.cbz. A run that was
    stopped goes on where it was.

    \b
    Examples:
      upscale photo.jpg -s 2.5 -o big.png
      upscale scans/ -r -m realesr-general-x4v3 -dn 0.3 --tile 400 --half
      upscale "*.png" --width 3840 --format webp --quality 90
      upscale photo.png --kernel auto
      cat photo.jpg | upscale - -o - --format png > big.png
      upscale clip.mp4 -s 2 --start 1:20 --duration 5
      upscale archive/ -r -o out/ --ray
    """
    from upscale_cli.images import formats

    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other.", "Give one of them, or none.")
    paths += named_in(files_from) if files_from else ()
    if not paths:
        raise UsageError("No picture is named.", "Name pictures or folders, or a list of them with --files-from.")
    if watch:
        require_watchable(paths, {"--dry-run": dry_run, "--ray": cluster})
    options = _sized(options)
    placing = Placing(_label(options), output, suffix, overwrite, skip_existing, compare, dry_run)
    addresses = [path for path in (*paths, output or "") if is_address(path)]
    if are_clips(paths, clip):
        refuse_addresses(addresses, "a clip")
        others = {"--format": format_name, "--recursive": recursive, "--watch": watch}
        refuse_for_clips(options, others)
        run_clips(paths, options, clip, placing, Console(style, len(paths)), cluster)
        return
    refuse_for_pictures(clip)
    kind = formats.by_name(format_name) if format_name else None
    if are_archives(paths):
        refuse_addresses(addresses, "an archive")
        run_archives(paths, options, kind, placing, Console(style, len(paths)), cluster)
    elif watch:
        run_watched(paths, options, _naming(placing, kind, recursive), style)
    else:
        _run_named(paths, options, _naming(placing, kind, recursive), dry_run, style, cluster)


run.headings = {
    "Size": "scale width height fit print_size dpi",
    "Network": "model restore auto alpha denoise tta alpha_upsampler tileable",
    "Degradation of the inputs": "input_quality noise",
    "Look of the result": "strength keep_colors sharpen grain",
    "Blurred pictures": "kernel zssr fast iterations seed",
    "Files": "output files_from suffix format_name quality max_bytes depth overwrite skip_existing compare recursive"
    " watch max_megapixels dry_run",
    "Clips": " ".join(NAMES),
    "Cluster": " ".join(OF_RAY),
    "Speed and memory": "tile tile_pad half bf16 fp32 device threads compile",
}


def _naming(placing: Placing, kind: Format | None, recursive: bool) -> Naming:
    """Return how results of pictures are named."""
    from upscale_cli.upscaling.naming import Naming

    return Naming(
        label=placing.label,
        output=placing.output,
        suffix=placing.suffix,
        format=kind,
        recursive=recursive,
        existing="overwrite" if placing.overwrite else "skip" if placing.skip_existing else "auto",
        compare=placing.compare,
    )


def _run_named(
    paths: Sequence[str],
    options: UpscaleOptions,
    naming: Naming,
    dry_run: bool,
    style: Style,
    cluster: RayOptions | None,
) -> None:
    """Enlarge the pictures that ``paths`` mean, - for pipes among them."""
    if cluster and PIPE in (*paths, naming.output):
        raise UsageError("--ray takes files that every node sees, and - is none.", "Name files, or leave out --ray.")
    with piped(paths, naming.output, naming.format.extensions[0] if naming.format else None) as pipes:
        if not pipes.own_stdout and (style == "json" or naming.compare):
            option = "--json" if style == "json" else "--compare"
            raise UsageError(f"{option} and -o - exclude each other.", "Name a file with -o.")
        run_pictures(pipes, options, replace(naming, output=pipes.output), dry_run, style, cluster)


def _sized(options: UpscaleOptions) -> UpscaleOptions:
    """Return ``options``, where no size was asked for, with the scale of the kernel or of the network.

    Raises InputError, UsageError, WeightsError.
    """
    scale: int | None = None
    if isinstance(options.kernel, Path):
        from upscale_cli.kernels.files import read_kernel

        scale = read_kernel(options.kernel).scale
        if scale == 1:
            reason = f"{options.kernel} says that its scale is 1."
            raise UsageError(reason, "Give the kernel of a picture that was downsampled.")
    elif options.network is not None and not options.sized:
        from upscale_cli.weights.load import is_path, load
        from upscale_cli.weights.manifest import load_manifest

        named = is_path(options.network)
        scale = load(options.network).spec.scale if named else load_manifest().find(str(options.network)).scale
    return replace(options, scale=float(scale)) if scale and not options.sized else options


def _label(options: UpscaleOptions) -> str:
    """Return what names say of the options: the size, and the network where it is not the default."""
    parts = [options.size.label()]
    if options.network is not None:
        path = Path(options.network)
        parts.append(path.stem if path.is_file() or len(path.parts) > 1 else path.name)
    parts += [f"alpha{options.alpha:g}"] if options.alpha is not None else []
    parts += [f"dn{options.denoise:g}"] if options.denoise is not None else []
    return "_".join(parts)

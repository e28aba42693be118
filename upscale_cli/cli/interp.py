"""``upscale interp``: networks between networks, as a weights file or as a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from upscale_cli.cli.options import chosen_precision, parse_tile
from upscale_cli.cli.report import DownloadBar, in_words
from upscale_cli.errors import OutputError, UsageError
from upscale_cli.notices import Notice, note

if TYPE_CHECKING:
    from upscale_cli.upscaling.sweep import Crop, Step
    from upscale_cli.weights.load import LoadedWeights
    from upscale_cli.weights.resolve import ResolvedNetwork

SWEEP = "0,0.2,0.4,0.6,0.8,1"


@click.command("interp", no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("networks", nargs=-1, metavar="[A B]")
@click.option("--alpha", type=float, help="Share of B; A gets the rest. 0 to 1; outside it extrapolates.")
@click.option("--mix", "mixed", is_flag=True, help="Several networks with their shares: NAME=SHARE NAME=SHARE ...")
@click.option(
    "--layers", default="*", show_default=True, help="Mix only tensors whose name matches; A keeps the others."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help=".safetensors or .pth; with --sweep a picture.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@click.option("--sweep", metavar="LIST", help=f"Contact sheet over these alphas, e.g. {SWEEP}.")
@click.option("--image", type=click.Path(path_type=Path), help="The picture of the sweep.")
@click.option("--crop", metavar="X,Y,W,H", help="Part of --image to show.  [default: its middle]")
@click.option(
    "--hr", type=click.Path(path_type=Path), help="The true picture: PSNR and SSIM for every alpha, and a plot."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--half", is_flag=True, help="Half precision for the sweep.")
@click.option("--fp32", is_flag=True, help="Full precision for the sweep.")
@click.option("--tile", default="auto", show_default=True, help="Side of tiles in input pixels, 0 for none, or auto.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def interp(networks: tuple[str, ...], **options: Any) -> None:
    """Mix networks tensor by tensor: (1 - alpha) * A + alpha * B.

    A and B are names, OpenModelDB ids or files of one architecture and size, in any key layout; without them ESRGAN's
    PSNR- and GAN-trained networks. `upscale -m FILE` runs the result, `upscale models info FILE` tells what is in it.

    \b
    Examples:
      upscale interp --alpha 0.8 -o interp_08.safetensors
      upscale interp psnr.pth gan.pth --alpha 0.5 --layers "body.*" -o mixed.pth
      upscale interp --mix a.pth=0.5 b.pth=0.3 c.pth=0.2 -o mixed.safetensors
      upscale interp --sweep 0,0.2,0.4,0.6,0.8,1 --image photo.jpg -o sweep.png
    """
    _require_consistent(networks, options)
    if options["sweep"]:
        _sweep(networks, options)
    else:
        _write_mix(networks, options)


def _require_consistent(networks: tuple[str, ...], options: dict[str, Any]) -> None:
    given = {"alpha": options["alpha"] is not None, "mix": options["mixed"], "sweep": bool(options["sweep"])}
    chosen = [name for name, there in given.items() if there]
    if len(chosen) != 1:
        raise UsageError("Exactly one of --alpha, --mix and --sweep says what to make.", "Give one of them.")
    if not options["mixed"] and len(networks) not in (0, 2):
        raise UsageError(f"--{chosen[0]} takes two networks, not {len(networks)}.", "Name A and B, or none.")
    if options["sweep"] and not options["image"]:
        raise UsageError("--sweep needs a picture.", "Add --image FILE.")
    for name in ("image", "crop", "hr", "half", "fp32"):
        if options[name] and not options["sweep"]:
            raise UsageError(f"--{name} works with --sweep only.", "Leave it out.")


def _write_mix(networks: tuple[str, ...], options: dict[str, Any]) -> None:
    from upscale_cli.weights.mixture import mixed
    from upscale_cli.weights.state_dict import save_state

    progress = DownloadBar(options["quiet"])
    if options["mixed"]:
        shares = dict(_share(text) for text in networks)
        loaded = _load(list(shares), progress, options["quiet"])
        mix = mixed(loaded, list(shares.values()), options["layers"])
    else:
        loaded = _load_pair(networks, progress, options["quiet"])
        mix = mixed(loaded, [1 - options["alpha"], options["alpha"]], options["layers"])
    _tell(mix.notices, options["quiet"])
    target = options["output"] or Path(_default_name(options["alpha"]))
    if target.suffix not in (".safetensors", ".pth"):
        raise UsageError(f"{target} is no weights file.", "Call it .safetensors or .pth.")
    _require_free(target, options["overwrite"])
    save_state(target, mix.tensors, mix.facts)
    if not options["quiet"]:
        click.echo(f"{mix.name} -> {target}")


def _default_name(alpha: float | None) -> str:
    """ESRGAN's own way of naming: interp_08 for an alpha of 0.8."""
    return "interp_mix.safetensors" if alpha is None else f"interp_{f'{alpha:g}'.replace('.', '')}.safetensors"


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.rpartition("=")
    try:
        return name, float(share)
    except ValueError as error:
        raise UsageError(f"{text!r} is no NAME=SHARE.", "Write it as a.pth=0.5.") from error


def _load(names: list[str], progress: DownloadBar, quiet: bool) -> list[LoadedWeights]:
    from upscale_cli.weights.load import load

    return [load(name, progress, lambda notice: _tell((notice,), quiet)) for name in names]


def _load_pair(networks: tuple[str, ...], progress: DownloadBar, quiet: bool) -> list[LoadedWeights]:
    from upscale_cli.weights.mixture import load_default_pair

    if networks:
        return _load(list(networks), progress, quiet)
    return [*load_default_pair(progress, lambda notice: _tell((notice,), quiet))]


def _tell(notices: tuple[Notice, ...], quiet: bool) -> None:
    for notice in notices if not quiet else ():
        click.echo(in_words(notice), err=True)


def _require_free(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already.", "Add --overwrite, or choose another name with -o.")


def _sweep(networks: tuple[str, ...], options: dict[str, Any]) -> None:
    from upscale_cli.images import formats
    from upscale_cli.images.read import read_picture
    from upscale_cli.images.write import WriteOptions, write_image
    from upscale_cli.upscaling import sweep

    target = options["output"] or Path(f"{options['image'].stem}_sweep.png")
    plotted = target.with_name(f"{target.stem}_plot.png")
    kind = formats.of_path(target)
    if kind is None:
        raise UsageError(f"{target} has no extension of a picture format.", f"Known formats: {formats.NAMES}.")
    for output in (target, plotted) if options["hr"] else (target,):
        _require_free(output, options["overwrite"])
    picture = read_picture(options["image"])
    first, second = _load_pair(networks, DownloadBar(options["quiet"]), options["quiet"])
    alphas = _parse_alphas(options["sweep"])
    if not all(0 <= alpha <= 1 for alpha in alphas):
        _tell((note("Alphas outside 0 to 1 extrapolate, which may look strange."),), options["quiet"])
    crop = sweep.chosen_crop(picture, second.spec.scale, _parse_crop(options["crop"]))
    hr = read_picture(options["hr"]) if options["hr"] else None
    steps = []
    for step in sweep.sweep(first, second, alphas, picture, hr, options["layers"], _maker(options)):
        steps.append(step)
        _tell_step(step, options["quiet"])
    write_image(sweep.sheet(steps, crop, second.spec.scale), target, WriteOptions(kind))
    if hr is not None:
        sweep.plot(steps, plotted)
    if not options["quiet"]:
        click.echo(f"{first.name} to {second.name} -> {target}" + (f", {plotted}" if hr is not None else ""))


def _maker(options: dict[str, Any]) -> Any:
    from upscale_cli.upscaling.upscaler import Upscaler

    precision, tile = chosen_precision(options["half"], options["fp32"]), parse_tile(options["tile"])

    def make(network: ResolvedNetwork) -> Upscaler:
        return Upscaler(network=network, device=options["device"], precision=precision, tile=tile)

    return make


def _tell_step(step: Step, quiet: bool) -> None:
    if not quiet and step.scores:
        click.echo(f"alpha {step.alpha:<6g} PSNR Y {step.scores.psnr_y:6.2f}   SSIM Y {step.scores.ssim_y:.4f}")


def _parse_alphas(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{text!r} is no list of alphas.", f"Write it as {SWEEP}.") from error


def _parse_crop(text: str | None) -> Crop | None:
    from upscale_cli.upscaling.sweep import Crop

    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise UsageError(f"{text!r} is no crop.", "Write it as X,Y,W,H in pixels of --image.")
    return Crop(*(int(part) for part in parts))

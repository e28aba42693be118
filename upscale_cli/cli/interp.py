"""``upscale interp``: networks between networks, as a weights file or as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upscale_cli.cli.console import Console, Style
from upscale_cli.cli.options import overwrite_option, path, style_options, upscale_options
from upscale_cli.cli.outputs import require_file, require_picture, require_weights
from upscale_cli.errors import UsageError
from upscale_cli.notices import note

if TYPE_CHECKING:
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.upscaling.sweep import Crop
    from upscale_cli.weights.load import LoadedWeights

SWEEP = "0,0.2,0.4,0.6,0.8,1"


def parse_alphas(text: str) -> list[float]:
    """Return the alphas of a sweep. Raises UsageError."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{text!r} is no list of alphas.", f"Write it as {SWEEP}.") from error


def parse_crop(text: str) -> Crop:
    """Return the crop of ``X,Y,W,H``. Raises UsageError."""
    from upscale_cli.upscaling.sweep import Crop

    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise UsageError(f"{text!r} is no crop.", "Write it as X,Y,W,H in pixels of --image.")
    return Crop(*(int(part) for part in parts))


@click.command("interp", no_args_is_help=True)
@click.argument("networks", nargs=-1, metavar="[A B]")
@click.option("--alpha", type=float, help="Share of B; A gets the rest. 0 to 1; outside it extrapolates.")
@click.option("--mix", "mixed", is_flag=True, help="Mix several networks by their shares: NAME=SHARE NAME=SHARE ...")
@click.option(
    "--layers", default="*", show_default=True, help="Mix only tensors whose name matches; A keeps the others."
)
@click.option("-o", "--output", type=path(), help=".safetensors or .pth; with --sweep a picture.")
@overwrite_option
@click.option("--sweep", type=parse_alphas, metavar="LIST", help=f"Contact sheet over these alphas, e.g. {SWEEP}.")
@click.option("--image", type=path(), help="The picture of the sweep.")
@click.option("--crop", type=parse_crop, metavar="X,Y,W,H", help="Part of --image to show.  [default: its middle]")
@click.option("--hr", type=path(), help="HR of --image: PSNR and SSIM for every alpha, and a plot.")
@upscale_options("device", "precision", "tile")
@style_options()
def interp(
    *,
    networks: tuple[str, ...],
    alpha: float | None,
    mixed: bool,
    layers: str,
    output: Path | None,
    overwrite: bool,
    sweep: list[float] | None,
    image: Path | None,
    crop: Crop | None,
    hr: Path | None,
    options: UpscaleOptions,
    style: Style,
) -> None:
    """Mix networks tensor by tensor: (1 - alpha) * A + alpha * B.

    A and B are names, OpenModelDB ids or files of one architecture and size, in any key layout; without them ESRGAN's
    PSNR- and GAN-trained networks. `upscale -m FILE` runs the result, `upscale models info FILE` shows its origin.

    \b
    Examples:
      upscale interp --alpha 0.8 -o interp_08.safetensors
      upscale interp psnr.pth gan.pth --alpha 0.5 --layers "body.*" -o mixed.pth
      upscale interp --mix a.pth=0.5 b.pth=0.3 c.pth=0.2 -o mixed.safetensors
      upscale interp --sweep 0,0.2,0.4,0.6,0.8,1 --image photo.jpg -o sweep.png
    """
    asked = {"alpha": alpha is not None, "mix": mixed, "sweep": sweep is not None}
    chosen = [name for name, given in asked.items() if given]
    if len(chosen) != 1:
        raise UsageError("Exactly one of --alpha, --mix and --sweep says what to make.", "Give one of them.")
    if not mixed and len(networks) not in (0, 2):
        raise UsageError(f"--{chosen[0]} takes two networks, not {len(networks)}.", "Name A and B, or none.")
    console = Console(style)
    if sweep is not None:
        if image is None:
            raise UsageError("--sweep needs a picture.", "Add --image FILE.")
        _sweep(networks, sweep, image, crop, hr, layers, output, overwrite, options, console)
        return
    only_of_a_sweep = {"image": image, "crop": crop, "hr": hr, options.precision: options.precision != "auto"}
    for name, value in only_of_a_sweep.items():
        if value:
            raise UsageError(f"--{name} works with --sweep only.", "Leave it out.")
    what = "mix" if alpha is None else f"{alpha:g}".replace(".", "")  # ESRGAN's name for 0.8 is interp_08
    target = output or Path(f"interp_{what}.safetensors")
    require_weights(target, overwrite)
    _write_mix(networks, alpha, layers, target, console)


def _write_mix(networks: tuple[str, ...], alpha: float | None, layers: str, target: Path, console: Console) -> None:
    from upscale_cli.weights.mixture import load_default_pair, mixed
    from upscale_cli.weights.state_dict import save_state

    loaded: Sequence[LoadedWeights]
    if alpha is None:
        named = [_share(text) for text in networks]
        loaded, shares = _load([name for name, _ in named], console), [share for _, share in named]
    else:
        shares = [1 - alpha, alpha]
        # A file must not hold other networks than its name suggests.
        loaded = _load(networks, console) or load_default_pair(console.download, console.notify, or_embedded=False)
    mix = mixed(loaded, shares, layers)
    for notice in mix.notices:
        console.notify(notice)
    save_state(target, mix.tensors, mix.facts)
    console.tell(f"{mix.name} -> {target}")


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.rpartition("=")
    try:
        return name, float(share)
    except ValueError as error:
        raise UsageError(f"{text!r} is no NAME=SHARE.", "Write it as a.pth=0.5.") from error


def _load(names: Sequence[str], console: Console) -> list[LoadedWeights]:
    from upscale_cli.weights.load import load

    return [load(name, console.download, console.notify) for name in names]


def _sweep(
    networks: tuple[str, ...],
    alphas: list[float],
    image: Path,
    crop: Crop | None,
    hr: Path | None,
    layers: str,
    output: Path | None,
    overwrite: bool,
    options: UpscaleOptions,
    console: Console,
) -> None:
    from upscale_cli.images.read import read_picture
    from upscale_cli.images.write import WriteOptions, write_image
    from upscale_cli.upscaling import sweep
    from upscale_cli.upscaling.upscaler import Upscaler
    from upscale_cli.weights.mixture import load_default_pair

    target = output or Path(f"{image.stem}_sweep.png")
    plotted = target.with_name(f"{target.stem}_plot.png")
    kind = require_picture(target, overwrite)
    if hr is not None:
        require_file(plotted, overwrite)
    lr, ground_truth = read_picture(image), read_picture(hr) if hr else None
    first, second = _load(networks, console) or load_default_pair(console.download, console.notify)
    if not all(0 <= alpha <= 1 for alpha in alphas):
        console.notify(note("Alphas outside 0 to 1 extrapolate, which may look strange."))
    shown = sweep.chosen_crop(lr, second.spec.scale, crop)
    steps, counted = [], console.each(alphas, lambda alpha: f"alpha {alpha:g}")
    for step in sweep.sweep(first, second, counted, lr, ground_truth, layers, partial(Upscaler.from_options, options)):
        steps.append(step)
        if step.scores:
            measures = f"PSNR Y {step.scores.psnr_y:6.2f}   SSIM Y {step.scores.ssim_y:.4f}"
            console.tell(f"alpha {step.alpha:<6g} {measures}")
    write_image(sweep.sheet(steps, shown, second.spec.scale), target, WriteOptions(kind), overwrite)
    if ground_truth is not None:
        sweep.plot(steps, plotted)
    console.tell(f"{first.name} to {second.name} -> {target}" + (f", {plotted}" if ground_truth else ""))

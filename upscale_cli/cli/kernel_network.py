"""``upscale kernel PICTURE --network``: the plain network that a picture's kernel makes of the one that is given it."""

from __future__ import annotations

from pathlib import Path

from upscale_cli.cli.console import Console
from upscale_cli.cli.outputs import WEIGHTS, require_weights
from upscale_cli.errors import UsageError


def write_network(paths: tuple[str, ...], scale: int, output: str | None, overwrite: bool, console: Console) -> None:
    """Write the network by which ``upscale PICTURE --kernel auto`` enlarges the one picture named by ``paths``.

    Raises UsageError for several pictures or another kind of file; InputError, OutputError.
    """
    if len(paths) != 1 or Path(paths[0]).is_dir():
        raise UsageError("--network is for one picture.", "Name one.")
    picture_file = Path(paths[0])
    target = Path(output) if output else picture_file.with_name(f"{picture_file.stem}_kernel_x{scale}{WEIGHTS[0]}")
    require_weights(target, overwrite)
    from upscale_cli.images.read import read_picture
    from upscale_cli.networks import published
    from upscale_cli.upscalers import pretrained_for
    from upscale_cli.upscaling.options import UpscaleOptions
    from upscale_cli.weights.state_dict import save_state

    picture = read_picture(picture_file)
    options = UpscaleOptions(kernel="auto", scale=float(scale))
    upscaler = pretrained_for(options, console.notify)(picture, lambda share, detail: None)
    spec, network = upscaler.network_for(picture)
    tensors = network.state_dict()
    facts = {"name": upscaler.name, "licence": "MIT"}
    save_state(target, published(spec, tensors) if target.suffix == ".pth" else tensors, facts)
    widths = "bicubic" if upscaler.kernel is None else " x ".join(f"{scale * width:.2f}" for width in upscaler.kernel)
    console.tell(f"{picture_file}, kernel {widths} px -> {target}")

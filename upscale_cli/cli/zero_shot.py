"""``upscale run --kernel``: networks that are trained on the picture itself take the place of pretrained ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_cli.errors import UsageError

if TYPE_CHECKING:
    from upscale_cli.cli.report import Report
    from upscale_cli.images.picture import Picture
    from upscale_cli.kernels.blur_kernel import BlurKernel
    from upscale_cli.upscaling.batch import UpscalerFor

NAME = "zssr"
OF_PRETRAINED = {"model": "-m", "alpha": "--alpha", "denoise": "--denoise"}
OF_TRAINING = {"iterations": "--iterations", "seed": "--seed"}


def chosen_kernel(options: dict[str, Any]) -> BlurKernel | None:
    """The kernel of ``--kernel``. Raises InputError, and UsageError for options that contradict it or need it."""
    if options["kernel"] is None:
        _refuse(options, OF_TRAINING, "trains a network on the picture itself.", "Add --kernel FILE, or leave it out.")
        return None
    _refuse(options, OF_PRETRAINED, "chooses a pretrained network, and --kernel trains one.", "Give one of them.")
    if options["restore"]:
        raise UsageError("--restore chooses a pretrained network, and --kernel trains one.", "Give one of them.")
    if options["tta"]:
        raise UsageError("--kernel averages over orientations by itself, as far as they help.", "Leave out --tta.")
    from upscale_cli.kernels.files import read_kernel

    kernel = read_kernel(Path(options["kernel"]))
    if kernel.scale == 1:
        raise UsageError(
            f"{options['kernel']} says that its scale is 1.", "Give the kernel of a picture that was shrunk."
        )
    return kernel


def _refuse(options: dict[str, Any], names: dict[str, str], reason: str, hint: str) -> None:
    given = next((option for name, option in names.items() if options[name] is not None), None)
    if given:
        raise UsageError(f"{given} {reason}", hint)


def zero_shot_upscaler_for(
    kernel: BlurKernel, network: dict[str, Any], options: dict[str, Any], report: Report
) -> UpscalerFor:
    """Trains a network on the colours of each picture, of animations on the first frame's.

    ``network``: the options of ``Upscaler``. Raises DeviceError.
    """
    import torch

    from upscale_cli import device as devices
    from upscale_cli.upscaling.upscaler import Upscaler, to_tensor
    from upscale_cli.weights.resolve import ResolvedNetwork
    from upscale_cli.zero_shot import zssr

    if network["threads"]:
        torch.set_num_threads(network["threads"])
    device = devices.select(network["device"])
    training: dict[str, Any] = {
        "seed": options["seed"] or 0,
        "iterations": options["iterations"] or zssr.ITERATIONS,
        "device": device,
        "bf16": zssr.trains_in_bf16(device, network["precision"]),
    }

    def upscaler_for(picture: Picture) -> Upscaler:
        module = zssr.fit(to_tensor(picture.color), kernel, **training, on_step=report.training)
        halo = module.halo if network["tile_pad"] is None else network["tile_pad"]
        running = network | {"model": ResolvedNetwork(NAME, module.spec, module, {}), "tile_pad": halo}
        return Upscaler(**running, notify=report.notify)

    return upscaler_for

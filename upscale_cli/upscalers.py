"""Which upscaler a picture gets: a pretrained network, or one that is trained on the picture itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from upscale_cli.notices import Notify, ignore
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.weights.defaults import ZERO_SHOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from upscale_cli.device import Precision
    from upscale_cli.images.picture import Picture
    from upscale_cli.upscaling.job import UpscalerFor
    from upscale_cli.upscaling.upscaler import Upscaler
    from upscale_cli.weights.http import Progress as DownloadProgress
    from upscale_cli.zero_shot.zssr import Progress

TRAINING_SHARE = 0.9  # of a picture's time, where a network is trained on it


def upscalers(
    options: UpscaleOptions, notify: Notify = ignore, on_download: DownloadProgress | None = None
) -> UpscalerFor:
    """Return what gives the upscaler for each picture. Raises WeightsError, DownloadError, DeviceError, InputError."""
    if options.kernel is not None:
        return zero_shot(options, notify)
    from upscale_cli.upscaling.pretrained import pretrained
    from upscale_cli.weights.http import silent

    return pretrained(options, notify, on_download or silent)


def upscalers_of_none(options: UpscaleOptions, notify: Notify) -> UpscalerFor:
    """Return what gives no upscaler, for jobs whose results exist."""

    def upscaler_for(picture: Picture, on_share: Callable[[float, str], None]) -> Upscaler:
        raise AssertionError("a job that reuses its result needs no network")

    return upscaler_for


def zero_shot(options: UpscaleOptions, notify: Notify) -> UpscalerFor:
    """Return what trains a network on the colours of each picture, of animations on the first frame's."""
    import torch

    from upscale_cli import device as devices
    from upscale_cli.images.transparency import with_hidden_filled
    from upscale_cli.kernels.files import read_kernel
    from upscale_cli.levels import to_planes
    from upscale_cli.upscaling.upscaler import Upscaler
    from upscale_cli.weights.resolve import ResolvedNetwork
    from upscale_cli.zero_shot import zssr
    from upscale_cli.zero_shot.network import ensemble

    assert options.kernel is not None
    kernel = read_kernel(options.kernel)
    device = devices.select_all(options.device)[0]
    bf16 = zssr.trains_in_bf16(device, options.precision)
    if options.threads:
        torch.set_num_threads(options.threads)

    def upscaler_for(picture: Picture, on_share: Callable[[float, str], None]) -> Upscaler:
        def on_step(progress: Progress) -> None:
            state = f"iteration {progress.iteration}/{progress.limit}, loss {progress.loss:.4f}"
            state += f", learning rate {progress.learning_rate:.0e}"
            on_share(TRAINING_SHARE * progress.iteration / progress.limit, state)

        module = zssr.fit(
            to_planes(with_hidden_filled(picture).color),
            kernel,
            seed=options.seed or 0,
            iterations=options.iterations or (zssr.FAST_ITERATIONS if options.fast else zssr.ITERATIONS),
            device=device,
            bf16=bf16,
            on_step=on_step,
        )
        module.orientations = ensemble(module.orientations, picture.height * picture.width, options.fast)
        precision: Precision = "half" if bf16 else options.precision  # the network runs as it was trained
        seed = options.seed if options.grain else None
        running = replace(options, kernel=None, iterations=None, seed=seed, fast=False, precision=precision)
        network = ResolvedNetwork(ZERO_SHOT, module.spec, module, {})
        return Upscaler.from_options(running, network, notify=notify)

    return upscaler_for

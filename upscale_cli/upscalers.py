"""Which upscaler a picture gets: pretrained, perhaps given its kernel, or trained on the picture itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.errors import InputError
from upscale_cli.notices import Notify, ignore, note
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.weights.defaults import LARGEST_SCALE_BY_X2, ZERO_SHOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from upscale_cli.device import Precision
    from upscale_cli.images.picture import Picture
    from upscale_cli.kernels.blur_kernel import BlurKernel
    from upscale_cli.upscaling.job import UpscalerFor
    from upscale_cli.upscaling.progress import OnShare
    from upscale_cli.upscaling.upscaler import Upscaler
    from upscale_cli.weights.progress import Progress as DownloadProgress
    from upscale_cli.zero_shot.zssr import Progress

TRAINING_SHARE = 0.9  # of a picture's time, where a network is trained on it


def upscalers(
    options: UpscaleOptions, notify: Notify = ignore, on_download: DownloadProgress | None = None
) -> UpscalerFor:
    """Return what gives the upscaler for each picture. Raises WeightsError, DownloadError, DeviceError, InputError."""
    return zero_shot(options, notify) if options.zero_shot else pretrained_for(options, notify, on_download)


def pretrained_for(
    options: UpscaleOptions, notify: Notify, on_download: DownloadProgress | None = None
) -> Callable[[Picture, OnShare], Upscaler]:
    """Return what gives a pretrained upscaler for each picture; one that is given the kernel where options have one."""
    from upscale_cli.kernels.values import covariance
    from upscale_cli.upscaling.pretrained import pretrained
    from upscale_cli.weights.progress import silent

    by_size = pretrained(options, notify, on_download or silent)
    if options.kernel is None:
        return by_size
    known = _kernel_of(options)

    def upscaler_for(picture: Picture, on_share: OnShare) -> Upscaler:
        upscaler = by_size(picture, on_share)
        kernel = known or estimated(picture, upscaler.spec.scale, notify)
        return upscaler.given(None if kernel is None else covariance(kernel.values) / kernel.scale**2)

    return upscaler_for


def _kernel_of(options: UpscaleOptions) -> BlurKernel | None:
    """Return the kernel that the options name, None where each picture's is to be estimated. Raises InputError."""
    from upscale_cli.kernels.files import read_kernel

    return read_kernel(options.kernel) if isinstance(options.kernel, Path) else None


def estimated(picture: Picture, scale: float, notify: Notify) -> BlurKernel | None:
    """Return the kernel measured on ``picture``, for a scale of 2 or 4; None, with a notice, where it tells none."""
    from upscale_cli.kernel_estimation.estimate import measured

    try:
        return measured(picture, 2 if scale <= LARGEST_SCALE_BY_X2 else 4)
    except InputError as error:
        notify(note(f"{error.message} Bicubic downsampling is assumed."))
        return None


def upscalers_of_none(options: UpscaleOptions, notify: Notify) -> UpscalerFor:
    """Return what gives no upscaler, for jobs whose results exist."""

    def upscaler_for(picture: Picture, on_share: OnShare) -> Upscaler:
        raise AssertionError("a job that reuses its result needs no network")

    return upscaler_for


def zero_shot(options: UpscaleOptions, notify: Notify) -> UpscalerFor:
    """Return what trains a network on the colours of each picture, of animations on the first frame's."""
    import torch

    from upscale_cli import device as devices
    from upscale_cli.images.transparency import with_hidden_filled
    from upscale_cli.kernels.blur_kernel import bicubic
    from upscale_cli.levels import to_planes
    from upscale_cli.upscaling.upscaler import Upscaler
    from upscale_cli.weights.resolve import ResolvedNetwork
    from upscale_cli.zero_shot import zssr
    from upscale_cli.zero_shot.network import ensemble

    known = _kernel_of(options)
    device = devices.select_all(options.device)[0]
    bf16 = zssr.trains_in_bf16(device, options.precision)
    if options.threads:
        torch.set_num_threads(options.threads)

    def upscaler_for(picture: Picture, on_share: OnShare) -> Upscaler:
        scale = 2 if options.size.factor(picture.height, picture.width) <= LARGEST_SCALE_BY_X2 else 4
        kernel = known or estimated(picture, scale, notify) or bicubic(scale)

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
        running = replace(options, kernel=None, zssr=False, iterations=None, seed=seed, fast=False, precision=precision)
        network = ResolvedNetwork(ZERO_SHOT, module.spec, module, {})
        return Upscaler.from_options(running, network, notify=notify)

    return upscaler_for

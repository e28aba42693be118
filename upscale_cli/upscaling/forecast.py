"""What an enlargement would take, by the picture's header and the network's last speed on this machine.

Nothing is decoded and no network is opened, but a file's for its scale. PyTorch is loaded only to learn that scale, or
whether a GPU that the machine has can be used.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from upscale_cli.errors import WeightsError
from upscale_cli.images.header import Header
from upscale_cli.upscaling import speeds, work
from upscale_cli.upscaling.job import Outcome
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.weights.defaults import DEFAULT_PAIR, DENOISED, ZERO_SHOT, blind, defaults
from upscale_cli.weights.manifest import load_manifest

# Without one of these, on Linux and Windows, PyTorch need not be asked: drivers of NVIDIA, AMD, Intel, and WSL.
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dri", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")


@dataclass(frozen=True)
class Forecast:
    """``passes``: None where the weights cannot be opened. ``seconds``: None where the network's speed is not known."""

    network: str
    passes: int | None
    seconds: float | None


class Forecaster:
    """Forecasts the work on pictures that are enlarged by ``options``."""

    def __init__(self, options: UpscaleOptions) -> None:
        self._options = options
        self._device = device_type(options.device)
        self._speeds = speeds.known()
        self._scales: dict[str, int | None] = {}

    def of(self, header: Header) -> Forecast:
        """Return the forecast for the picture of ``header``. Raises UsageError for sizes that are not possible."""
        before = header.height, header.width
        target = self._options.size.pixels(*before)
        network = network_of(self._options, self._options.size.factor(*before), self._device)
        if network not in self._scales:
            self._scales[network] = self._scale(network)
        scale = self._scales[network]
        if scale is None:
            return Forecast(network, None, None)
        passes = work.passes(*before, target, scale)
        planes = 2 if header.transparent and self._options.alpha_upsampler == "network" else 1
        orientations = work.ORIENTATIONS if self._options.tta else 1
        megapixels = sum(work.costs(*before, scale, passes)) * planes * orientations * (header.frames or 1) / 1e6
        speed = self._speeds.get(_key(network, self._options, self._device))
        return Forecast(network, passes, None if speed is None else speed * megapixels)

    def _scale(self, network: str) -> int | None:
        if network == ZERO_SHOT and isinstance(self._options.kernel, Path):
            from upscale_cli.kernels.files import read_kernel

            return read_kernel(self._options.kernel).scale
        record = load_manifest().get(network)
        if record is not None:
            return record.scale
        from upscale_cli.weights.load import load

        try:
            return load(Path(network)).spec.scale
        except WeightsError:
            return None


class Speeds:
    """How fast the networks were on the pictures of a run, for forecasts."""

    def __init__(self, options: UpscaleOptions) -> None:
        self._options = options
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._megapixels: defaultdict[str, float] = defaultdict(float)

    def add(self, outcome: Outcome) -> None:
        """Count ``outcome``, unless it failed or came to no network."""
        if outcome.model is not None and outcome.error is None:
            self._seconds[outcome.model] += outcome.seconds
            self._megapixels[outcome.model] += outcome.megapixels

    def keep(self) -> None:
        """Keep what was counted, where it is enough."""
        options = self._options
        if options.zero_shot:  # the time of its training says nothing of the next picture's
            return
        by_default = all(choice is None for choice in (options.network, options.alpha, options.denoise))
        at_once = len(options.device.split(","))
        for model, megapixels in self._megapixels.items():
            if megapixels >= speeds.FEWEST_MEGAPIXELS:
                keep_speed(options, self._seconds[model] / at_once, megapixels, model if by_default else None)


def keep_speed(options: UpscaleOptions, seconds: float, megapixels: float, network: str | None = None) -> None:
    """Keep that ``network``, or that of ``options``, took ``seconds`` for ``megapixels`` with tiles by default."""
    if options.tile == "auto":
        device = device_type(options.device)
        speeds.keep({_key(network or network_of(options, 1, device), options, device): seconds / megapixels})


def network_of(options: UpscaleOptions, factor: float, device: str) -> str:
    """Return the name or file of the network that enlarges a picture by ``factor``.

    With ``auto`` that of clean pictures: what a picture needs is known once it is decoded.
    """
    if options.zero_shot:
        return ZERO_SHOT
    if options.network is not None:
        record = None if os.path.isfile(options.network) else load_manifest().get(str(options.network))  # noqa: PTH113  (False, not an error, for a name too long for a file)
        return record.name if record else str(options.network)
    if options.denoise is not None:
        return DENOISED
    if options.kernel is not None:
        return blind(factor)
    return DEFAULT_PAIR if options.alpha is not None else defaults(factor)[options.auto or device == "cpu"]


def device_type(device: str, drivers: Iterable[str] = GPU_DRIVERS) -> str:
    """Return ``device``, or cpu, cuda or mps for auto, asking PyTorch only where there may be a GPU."""
    if device != "auto":
        return device
    if sys.platform != "darwin" and not any(map(os.path.exists, drivers)):
        return "cpu"
    from upscale_cli import device as devices

    return devices.select(device).type


def _key(network: str, options: UpscaleOptions, device: str) -> str:
    return speeds.key(network, options.precision, device, options.threads)

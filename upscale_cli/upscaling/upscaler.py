"""One picture or frame, enlarged: integer pixels in, integer pixels out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import nn

from upscale_cli import device as devices
from upscale_cli.errors import UsageError
from upscale_cli.images.metadata import with_resolution
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.storage import Step, Storage
from upscale_cli.images.transparency import keep_within_neighbours, with_hidden_filled
from upscale_cli.networks import NetworkSpec
from upscale_cli.networks.conditioned import BICUBIC, conditions
from upscale_cli.noise import removable_noise
from upscale_cli.notices import Notify, ignore
from upscale_cli.pipeline import OnTile
from upscale_cli.resize import resize_pixels
from upscale_cli.upscaling.arrays import as_array, as_picture
from upscale_cli.upscaling.chosen import require_suitable, resolved
from upscale_cli.upscaling.exact_size import filter_for, resized
from upscale_cli.upscaling.finishing import finished
from upscale_cli.upscaling.options import (
    RESTORING,
    Deviations,
    InputQuality,
    Noise,
    OptionFields,
    UpscaleOptions,
)
from upscale_cli.upscaling.progress import OnShare, of_passes
from upscale_cli.upscaling.reuse import FrameMemory
from upscale_cli.upscaling.runner import NetworkRunner
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.work import ORIENTATIONS
from upscale_cli.upscaling.work import costs as costs_of
from upscale_cli.upscaling.work import passes as passes_of
from upscale_cli.weights.cache import cache_folder
from upscale_cli.weights.progress import Progress, silent
from upscale_cli.weights.resolve import ResolvedNetwork

SHARP_VARIANCE = BICUBIC[0]  # squared LR pixels
MOST_RUNNERS = 16  # kept of a conditioned network: folders hold pictures of few qualities


class Upscaler:
    """A network, ready to enlarge pictures.

    ``model`` and ``options`` are those of ``UpscaleOptions``; ``network`` is one that is resolved already, in place of
    ``model``. ``on_download`` gets the progress of downloads, ``notify`` sentences that the user should read.

    Raises UpscaleError kinds: WeightsError, DownloadError, DeviceError, UsageError.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        network: ResolvedNetwork | None = None,
        on_download: Progress = silent,
        notify: Notify = ignore,
        **options: Unpack[OptionFields],
    ) -> None:
        self.options = UpscaleOptions(model, **options)
        assert not self.options.zero_shot, "networks of the picture's own are api.Upscaler's"
        assert not self.options.auto, "networks chosen for each picture are api.Upscaler's"
        if self.options.threads is not None:
            torch.set_num_threads(self.options.threads)
        used = devices.select_all(self.options.device)
        network = network or resolved(self.options, used[0], on_download, notify)
        require_suitable(network, self.options)
        self.name, self.spec = network.name, network.spec
        self.kernel: Deviations | None = None
        self._blur = BICUBIC
        if not self.options.sized and self.options.network is not None:
            self.options = replace(self.options, scale=float(self.spec.scale))
        if self.options.network == RESTORING and not any(self.options.wraps):  # blocks do not wrap
            self.options = replace(self.options, keep_colors=True)
        self._network = network
        self._new_runner = partial(
            NetworkRunner,
            spec=network.spec,
            devices_used=used,
            precision=self.options.precision,
            tile_pad=self.options.tile_pad,
            tta=self.options.tta,
            wraps=self.options.wraps,
            compiled=cache_folder() / "compiled" if self.options.compile else None,
            notify=notify,
        )
        self._clean = self._new_runner(network.module, tile=self.options.tile)
        self._runners: dict[tuple[float, ...], NetworkRunner] = {conditions(): self._clean}
        self.precision = self._clean.precision

    @classmethod
    def from_options(
        cls,
        options: UpscaleOptions,
        network: ResolvedNetwork | None = None,
        on_download: Progress = silent,
        notify: Notify = ignore,
    ) -> Upscaler:
        """Return the Upscaler that ``options`` ask for."""
        return cls(options.model, network=network, on_download=on_download, notify=notify, **options.fields())

    def given(self, covariance: NDArray[np.float64] | None) -> Self:
        """Return this upscaler for pictures downsampled with a kernel of ``covariance`` (2, 2), in squared LR pixels.

        None, and one that is hardly wider than bicubic's, stand for bicubic downsampling. Both share their networks.
        """
        other = copy(self)
        if covariance is not None:
            short, long = np.sqrt(np.clip(np.linalg.eigvalsh(covariance), 0, None)).tolist()
            other.kernel = long, short
            if np.trace(covariance) / 2 > SHARP_VARIANCE:
                other._blur = float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])
        return other

    def network_for(self, picture: Picture) -> tuple[NetworkSpec, nn.Module]:
        """Return the plain network that enlarges ``picture``."""
        return self.spec, self._network.under(self._conditions(picture.color, picture.jpeg_quality))

    def upscale(self, array: NDArray[Any], scale: float | None = None) -> NDArray[Any]:
        """Enlarge an array: (H, W), or (H, W, C) with C of 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.

        uint8 and uint16 use their whole range, floating point [0, 1] in steps of 1/65535; the result has the same kind
        and channels. Without ``scale`` the size is that of the options, or else the network's own scale.
        """
        return as_array(self.upscale_picture(as_picture(array), Size(scale=scale) if scale else None), array)

    def upscale_picture(
        self, picture: Picture, size: Size | None = None, on_share: OnShare = lambda share, detail: None
    ) -> Picture:
        """Return ``picture`` at ``size`` (that of the options if None), of the same depth and channels.

        Arrays are those of the picture's storage. Raises OutputError where it has no room for them.
        """
        target, storage = (size or self.options.size).pixels(picture.height, picture.width), picture.storage
        storage.require_room(self._room(picture, target))
        picture = with_hidden_filled(picture, self.options.wraps)
        if self.options.resolution is not None:
            picture = replace(picture, metadata=with_resolution(picture.metadata, self.options.resolution))
        passes = self._passes(picture.height, picture.width, target)
        by_network = [picture.color]
        if self._enlarges_alpha(picture):
            assert picture.alpha is not None
            by_network.append(picture.alpha[..., None])
        # Compression and noise are the colours'.
        runners = self._runner_for(picture.color, picture.jpeg_quality), self._clean
        progress = of_passes(picture.height, picture.width, self.spec.scale, passes, len(by_network), on_share)
        color, *alphas = [
            self._enlarged(pixels, target, passes, runner, progress, partial(_named, storage, name))
            for pixels, runner, name in zip(by_network, runners, ("color", "alpha"), strict=False)
        ]
        color = finished(color, picture.color, self.options, storage)
        if picture.alpha is None:
            return replace(picture, color=color)
        before, wraps = picture.alpha, self.options.wraps
        if not alphas:
            step = storage.step("alpha", (*target, 1), before.dtype)
            alphas = [resized(before[..., None], "bicubic", wraps, step)]
        alpha = alphas[0][..., 0]
        keep_within_neighbours(alpha, before, wraps)
        return replace(picture, color=color, alpha=alpha)

    def megapixels(self, picture: Picture, size: Size) -> float:
        """Return how much goes through the network for ``picture``: over passes, alpha and orientations."""
        shape = picture.height, picture.width
        work = sum(costs_of(*shape, self.spec.scale, self._passes(*shape, size.pixels(*shape))))
        planes = 2 if self._enlarges_alpha(picture) else 1
        return work * planes * (ORIENTATIONS if self.options.tta else 1) / 1e6

    def _enlarges_alpha(self, picture: Picture) -> bool:
        """Return whether the network enlarges transparency: not where it is the same everywhere, as mostly in PNG."""
        if picture.alpha is None or self.options.alpha_upsampler != "network":
            return False
        return bool(picture.alpha.min() != picture.alpha.max())

    def _runner_for(self, pixels: Pixels | None = None, jpeg_quality: float | None = None) -> NetworkRunner:
        """Return the network for pictures as noisy as ``pixels`` and from files of this quality, or as is stated.

        Without ``pixels`` only stated noise counts: one network for all frames of a clip.
        """
        if self._network.conditioned is None:
            return self._clean
        given = self._conditions(pixels, jpeg_quality)
        if given not in self._runners:
            if len(self._runners) > MOST_RUNNERS:
                self._runners.clear()
                self._runners[conditions()] = self._clean
            self._runners[given] = self._new_runner(self._network.under(given), tile=self._clean.tile)
        return self._runners[given]

    def _conditions(self, pixels: Pixels | None, jpeg_quality: float | None) -> tuple[float, ...]:
        noise = _noise(self.options.noise, pixels)
        return conditions(_quality(self.options.input_quality, jpeg_quality), noise, self._blur)

    def frames_at_once(self, height: int, width: int) -> int:
        """Return how many frames of that size ``upscale_frames`` does best together."""
        return self._clean.frames_at_once(height, width)

    def upscale_frames(
        self, frames: Sequence[Pixels], target: tuple[int, int], dtype: DTypeLike, memory: FrameMemory
    ) -> list[Pixels]:
        """Return ``frames`` (H, W, C) of a clip, of one size, at ``target`` (height, width), in levels of ``dtype``.

        What has not changed since the frame before is taken over; ``memory`` holds the last one.
        """
        height, width = frames[0].shape[:2]
        passes, runner, results = self._passes(height, width, target), self._runner_for(), list(frames)
        for number in range(1, passes + 1):
            factor = self.spec.scale**number
            exact = number == passes and (height * factor, width * factor) == target
            results = runner.run_frames(results, dtype if exact else np.uint16, memory.of_pass(number))
            runner = self._clean
        if results[0].shape[:2] == target:
            return results
        kind = filter_for(results[0], target)
        exact_size = partial(resize_pixels, size=target, kind=kind, dtype=dtype)
        return [memory.resized(result, exact_size) for result in results]

    def _enlarged(
        self,
        pixels: Pixels,
        target: tuple[int, int],
        passes: int,
        runner: NetworkRunner,
        progress: Iterator[OnTile],
        step: Callable[[int, tuple[int, int, int], DTypeLike], Step],
    ) -> Pixels:
        """Return ``pixels`` after as many passes of the network as reach ``target``, then brought to it exactly.

        The first is ``runner``'s, which may remove what degraded the picture. Between passes, and before resizing, 16
        bits are exact enough for any picture. ``progress`` yields the callback of each, ``step`` makes their arrays.
        """
        dtype, scale = pixels.dtype, self.spec.scale
        for number in range(1, passes + 1):
            reached = (pixels.shape[0] * scale, pixels.shape[1] * scale)
            kind = dtype if number == passes and reached == target else np.uint16
            pixels = runner.run(pixels, kind, next(progress), step(number, runner.shape_of(pixels), kind))
            runner = self._clean
        if pixels.shape[:2] == target:
            return pixels
        whole = step(0, (*target, pixels.shape[2]), dtype)
        return resized(pixels, filter_for(pixels, target), self.options.wraps, whole)

    def _room(self, picture: Picture, target: tuple[int, int]) -> int:
        """Return the bytes of all arrays that are made of ``picture``, and of the result's file, at most."""
        before, size = (picture.height, picture.width), picture.color.itemsize
        passes, planes = self._passes(*before, target), picture.color.shape[2]
        pixels = before[0] * before[1]
        source = pixels * size * (planes if picture.alpha is None else 2 * planes + 1)
        planes += picture.alpha is not None
        result = target[0] * target[1] * planes * size
        reached = [pixels * self.spec.scale ** (2 * number) for number in range(1, passes + 1)]
        exact = (before[0] * self.spec.scale**passes, before[1] * self.spec.scale**passes) == target
        between = sum(reached[:-1] if exact else reached) * planes * 2
        finishing = self.options.finishes + (self.options.sharpen > 0)
        return int(source + between + result * (2 + finishing))

    def _passes(self, height: int, width: int, target: tuple[int, int]) -> int:
        scale = self.spec.scale
        if scale == 1 and (target[0] > height or target[1] > width):
            raise UsageError(
                f"{self.name} restores a picture without enlarging it.", "Use -s 1, or another model with -m."
            )
        return passes_of(height, width, target, scale)


def _quality(stated: InputQuality, of_file: float | None) -> int | None:
    """Return the JPEG quality, stated or of the file; whole, so that a folder's pictures share their networks."""
    if stated == "auto":
        return None if of_file is None else round(of_file)
    return None if stated == "none" else stated


def _noise(stated: Noise, pixels: Pixels | None) -> float:
    """Return the noise, stated or of ``pixels``, in whole levels for the same reason; 0 where it may be texture."""
    if stated != "auto":
        return stated
    return 0 if pixels is None else round(removable_noise(pixels))


def _named(storage: Storage, plane: str, number: int, shape: tuple[int, int, int], dtype: DTypeLike) -> Step:
    """Return the array of a plane's pass ``number``; 0 is what is brought to the exact size after all."""
    return storage.step(f"{plane}-{number}", shape, dtype)

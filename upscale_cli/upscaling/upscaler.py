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
from upscale_cli.notices import Notify, ignore
from upscale_cli.pipeline import OnTile
from upscale_cli.resize import resize_pixels
from upscale_cli.upscaling.arrays import as_array, as_picture
from upscale_cli.upscaling.chosen import require_suitable, resolved
from upscale_cli.upscaling.conditioning import conditions_of
from upscale_cli.upscaling.exact_size import filter_for, resized
from upscale_cli.upscaling.finishing import finished
from upscale_cli.upscaling.options import RESTORING, Deviations, OptionFields, UpscaleOptions
from upscale_cli.upscaling.progress import OnShare, of_passes
from upscale_cli.upscaling.reuse import FrameMemory
from upscale_cli.upscaling.runner import NetworkRunner
from upscale_cli.upscaling.shared_pass import run_together
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.work import ORIENTATIONS, room_for
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
        return self.spec, self._network.under(
            conditions_of(self.options, picture.color, picture.jpeg_quality, self._blur)
        )

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
        (result,) = self.upscale_pictures([picture], size, on_share)
        return result

    def upscale_pictures(
        self,
        pictures: Sequence[Picture],
        size: Size | None = None,
        on_share: OnShare = lambda share, detail: None,
        batch: int | None = None,
    ) -> list[Picture]:
        """Return ``pictures`` of one shape and depth, several only in memory, as ``upscale_picture`` does.

        ``batch`` of them go through the network at once; None: as many as suit the device.
        """
        height, width, storage = pictures[0].height, pictures[0].width, pictures[0].storage
        target = (size or self.options.size).pixels(height, width)
        passes = self._passes(height, width, target)
        finishing = self.options.finishes + (self.options.sharpen > 0)
        storage.require_room(room_for(pictures[0], target, self.spec.scale, passes, finishing))
        prepared = [self._prepared(picture) for picture in pictures]
        through = [picture for picture in prepared if self._enlarges_alpha(picture)]
        progress = of_passes(height, width, self.spec.scale, passes, 2 if through else 1, on_share)
        enlarged = partial(self._enlarged, target=target, passes=passes, progress=progress, batch=batch)
        # Compression and noise are the colours'.
        runners = [self._runner_for(picture.color, picture.jpeg_quality) for picture in prepared]
        colors = enlarged([picture.color for picture in prepared], runners, step=partial(_named, storage, "color"))
        alphas: Iterator[Pixels] = iter(())
        if through:
            planes = [picture.alpha[..., None] for picture in through if picture.alpha is not None]
            alphas = iter(enlarged(planes, [self._clean] * len(planes), step=partial(_named, storage, "alpha")))
        return [
            self._completed(picture, color, next(alphas) if self._enlarges_alpha(picture) else None)
            for picture, color in zip(prepared, colors, strict=True)
        ]

    def pictures_at_once(self, height: int, width: int) -> int:
        """Return how many pictures of that size ``upscale_pictures`` does best together."""
        return 1 if any(self.options.wraps) else self._clean.pictures_at_once(height, width)

    def _prepared(self, picture: Picture) -> Picture:
        """Return ``picture`` with what is hidden filled, and with the resolution of its result."""
        picture = with_hidden_filled(picture, self.options.wraps)
        if self.options.resolution is None:
            return picture
        return replace(picture, metadata=with_resolution(picture.metadata, self.options.resolution))

    def _completed(self, picture: Picture, color: Pixels, alpha: Pixels | None) -> Picture:
        """Return the result of the prepared ``picture``, whose ``alpha`` (H, W, 1) is resized where there is none."""
        storage, before, wraps = picture.storage, picture.alpha, self.options.wraps
        color = finished(color, picture.color, self.options, storage)
        if before is None:
            return replace(picture, color=color)
        if alpha is None:
            step = storage.step("alpha", (*color.shape[:2], 1), before.dtype)
            alpha = resized(before[..., None], "bicubic", wraps, step)
        alpha = alpha[..., 0]
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
        given = conditions_of(self.options, pixels, jpeg_quality, self._blur)
        if given not in self._runners:
            if len(self._runners) > MOST_RUNNERS:
                self._runners.clear()
                self._runners[conditions()] = self._clean
            self._runners[given] = self._new_runner(self._network.under(given), tile=self._clean.tile)
        return self._runners[given]

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
        planes: list[Pixels],
        runners: Sequence[NetworkRunner],
        *,
        target: tuple[int, int],
        passes: int,
        progress: Iterator[OnTile],
        step: Callable[[int, tuple[int, int, int], DTypeLike], Step],
        batch: int | None,
    ) -> list[Pixels]:
        """Return ``planes`` after as many passes of the network as reach ``target``, then brought to it exactly.

        The first is that of their ``runners``, which may remove what degraded the pictures. Between passes, and before
        resizing, 16 bits are exact enough for any picture. ``progress`` yields the callback of each, ``step`` makes
        their arrays.
        """
        dtype, scale = planes[0].dtype, self.spec.scale
        for number in range(1, passes + 1):
            reached = (planes[0].shape[0] * scale, planes[0].shape[1] * scale)
            kind = dtype if number == passes and reached == target else np.uint16
            if len(planes) > 1:
                planes = run_together(planes, runners, kind, next(progress), batch)
            else:
                whole = step(number, runners[0].shape_of(planes[0]), kind)
                planes = [runners[0].run(planes[0], kind, next(progress), whole)]
            runners = [self._clean] * len(planes)
        if planes[0].shape[:2] == target:
            return planes
        kind_of_filter, wraps = filter_for(planes[0], target), self.options.wraps
        return [resized(plane, kind_of_filter, wraps, step(0, (*target, plane.shape[2]), dtype)) for plane in planes]

    def _passes(self, height: int, width: int, target: tuple[int, int]) -> int:
        scale = self.spec.scale
        if scale == 1 and (target[0] > height or target[1] > width):
            raise UsageError(
                f"{self.name} restores a picture without enlarging it.", "Use -s 1, or another model with -m."
            )
        return passes_of(height, width, target, scale)


def _named(storage: Storage, plane: str, number: int, shape: tuple[int, int, int], dtype: DTypeLike) -> Step:
    """Return the array of a plane's pass ``number``; 0 is what is brought to the exact size after all."""
    return storage.step(f"{plane}-{number}", shape, dtype)

"""One picture, enlarged: the whole way from pixels to pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli import device as devices
from upscale_cli import tiling
from upscale_cli.device import Precision
from upscale_cli.errors import UsageError, WeightsError
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.notices import Notify, ignore
from upscale_cli.resize import Filter, resize, resized_strips
from upscale_cli.upscaling.runner import NetworkRunner, TileChoice
from upscale_cli.upscaling.size import Size
from upscale_cli.weights.resolve import ResolvedNetwork, resolve, resolve_default
from upscale_cli.weights.transfer import Progress

AlphaUpsampler = Literal["network", "bicubic"]
OnTile = Callable[[int, int], None]

# Shrinking further than this, averaging shows less ringing than Lanczos' negative lobes.
AREA_BELOW = 0.5


class Upscaler:
    """A network, ready to enlarge pictures.

    ``model``: a name of the manifest, an OpenModelDB id, a weights file, or a network that is resolved already; None
    chooses by device and ``scale``.
    ``scale``: the default of ``upscale``. ``device``: auto, cpu, cuda, cuda:1, mps. ``precision``: auto, half, fp32.
    ``tile``: side of a tile in LR pixels, "auto", or 0 for none; ``tile_pad``: pixels around it (None: as many as the
    network needs). ``alpha``: share of the GAN-trained network in its mix with the PSNR-trained one. ``denoise``: 0
    to 1, for realesr-general-x4v3. ``tta``: mean over eight orientations. ``alpha_upsampler``: how transparency is
    enlarged, "network" or "bicubic". ``threads``: of the CPU. ``progress`` hears of downloads, ``notify`` gets
    sentences the user should read.

    Raises UpscaleError kinds: WeightsError, DownloadError, DeviceError, UsageError.
    """

    def __init__(
        self,
        model: str | Path | ResolvedNetwork | None = None,
        *,
        scale: float = 4,
        device: str = "auto",
        precision: Precision = "auto",
        tile: TileChoice = "auto",
        tile_pad: int | None = None,
        alpha: float | None = None,
        denoise: float | None = None,
        tta: bool = False,
        alpha_upsampler: AlphaUpsampler = "network",
        threads: int | None = None,
        progress: Progress = lambda name, done, total: None,
        notify: Notify = ignore,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = devices.select(device)
        self._size = Size(scale=scale)
        network = (
            model
            if isinstance(model, ResolvedNetwork)
            else self._resolve(model, scale, alpha, denoise, progress, notify)
        )
        for notice in network.notices:
            notify(notice)
        _require_picture_network(network)
        self.name = network.name
        self.spec = network.spec
        self._alpha_upsampler = alpha_upsampler
        self._runner = NetworkRunner(
            network.module,
            network.spec,
            device=self.device,
            precision=precision,
            tile=tile,
            tile_pad=tile_pad,
            tta=tta,
            notify=notify,
        )
        self.precision = self._runner.precision

    def _resolve(
        self,
        model: str | Path | None,
        scale: float,
        alpha: float | None,
        denoise: float | None,
        progress: Progress,
        notify: Notify,
    ) -> ResolvedNetwork:
        if model is None:
            return resolve_default(self.device.type, scale, alpha, denoise, progress, notify)
        return resolve(model, alpha, denoise, progress, notify)

    def upscale(self, array: NDArray[Any], scale: float | None = None) -> NDArray[Any]:
        """Enlarge an array: (H, W), or (H, W, C) with C of 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.

        uint8 and uint16 use their whole range, floating point [0, 1]; the result has the same kind and channels.
        """
        size = self._size if scale is None else Size(scale=scale)
        planes = to_tensor(array if array.ndim == 3 else array[..., None])
        if planes.shape[1] not in (1, 2, 3, 4) or 0 in planes.shape:
            raise UsageError(f"An array of shape {array.shape} is no picture.", "Give (H, W) or (H, W, 1 to 4).")
        target = size.pixels(planes.shape[-2], planes.shape[-1])
        colors = planes.shape[1] - (planes.shape[1] + 1) % 2
        dtype = _TORCH_DTYPES.get(array.dtype.name, torch.float32)
        parts = [self._enlarge_color(planes[:, :colors], target, dtype)]
        if colors < planes.shape[1]:
            parts.append(self._enlarge_alpha(planes[:, colors:], target, dtype))
        result = torch.cat(parts, 1)[0].permute(1, 2, 0).contiguous().numpy()
        result = result if array.ndim == 3 else result[..., 0]
        return result.astype(array.dtype) if array.dtype.kind == "f" else result

    def upscale_picture(self, picture: Picture, size: Size, on_tile: OnTile = lambda done, total: None) -> Picture:
        """The picture at ``size``, of the same depth and channels, with its metadata.

        ``on_tile`` hears (LR pixels done, LR pixels in total) of each pass over the colours.
        """
        target = size.pixels(picture.height, picture.width)
        dtype = _TORCH_DTYPES[picture.color.dtype.name]
        color = self._enlarge_color(to_tensor(picture.color), target, dtype, on_tile)
        alpha = None
        if picture.alpha is not None:
            alpha = _to_pixels(self._enlarge_alpha(to_tensor(picture.alpha[..., None]), target, dtype))[..., 0]
        return Picture(_to_pixels(color), alpha, picture.metadata)

    def _enlarge_color(
        self, color: Tensor, target: tuple[int, int], dtype: torch.dtype, on_tile: OnTile = lambda done, total: None
    ) -> Tensor:
        """(1, 1 or 3, H, W) in [0, 1] to (1, same, *target) as ``dtype``."""
        channels, wanted = color.shape[1], self.spec.in_channels
        if channels == wanted:
            return self._enlarge(color, target, dtype, on_tile)
        if channels == 1:
            enlarged = self._enlarge(color.expand(-1, wanted, -1, -1), target, torch.float32, on_tile)
            return tiling.quantise(enlarged.mean(1, keepdim=True), dtype)
        planes = [self._enlarge(color[:, c : c + 1], target, dtype, on_tile) for c in range(channels)]
        return torch.cat(planes, 1)

    def _enlarge_alpha(self, alpha: Tensor, target: tuple[int, int], dtype: torch.dtype) -> Tensor:
        if self._alpha_upsampler == "bicubic":
            return tiling.quantise(resize(alpha, target, "bicubic"), dtype)
        return self._enlarge_color(alpha, target, dtype)

    def _enlarge(self, image: Tensor, target: tuple[int, int], dtype: torch.dtype, on_tile: OnTile) -> Tensor:
        """As many passes of the network as reach ``target``, then, in floating point, down to it exactly."""
        passes = self._passes(image.shape[-2:], target)
        for last in [False] * (passes - 1) + [True]:
            reached = (image.shape[-2] * self.spec.scale, image.shape[-1] * self.spec.scale)
            exact = last and reached == target
            # Between network and resizing 16 bits are exact enough for any picture, and half of what floats take.
            between = torch.uint16 if last and not dtype.is_floating_point else torch.float32
            image = self._runner.run(image, dtype=dtype if exact else between, on_tile=on_tile)
        return image if tuple(image.shape[-2:]) == target else _shrunk(image, target, dtype)

    def _passes(self, size: torch.Size, target: tuple[int, int]) -> int:
        scale = self.spec.scale
        if scale == 1 and (target[0] > size[0] or target[1] > size[1]):
            raise UsageError(
                f"{self.name} restores a picture without enlarging it.", "Use -s 1, or another model with -m."
            )
        passes, height, width = 1, size[0] * scale, size[1] * scale
        while height < target[0] or width < target[1]:
            passes, height, width = passes + 1, height * scale, width * scale
        return passes


_TORCH_DTYPES = {"uint8": torch.uint8, "uint16": torch.uint16}


def _shrunk(image: Tensor, target: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """(1, C, H, W), floating point or uint16, resampled to ``target`` and quantised, strip by strip."""
    shrink = min(target[0] / image.shape[-2], target[1] / image.shape[-1])
    kind: Filter = "area" if shrink < AREA_BELOW else "lanczos"
    top = 1.0 if image.dtype.is_floating_point else 65535.0
    result = torch.empty((*image.shape[:2], *target), dtype=dtype)
    for rows, strip in resized_strips(image, target, kind, lambda band: band.to(torch.float32) / top):
        result[..., rows, :] = tiling.quantise(strip, dtype)
    return result


def _require_picture_network(network: ResolvedNetwork) -> None:
    spec = network.spec
    if (spec.in_channels, spec.out_channels) not in ((1, 1), (3, 3)):
        raise WeightsError(
            f"{network.name} turns {spec.in_channels} channels into {spec.out_channels}, not a picture into a picture.",
            "Use a network for gray (1 to 1) or RGB (3 to 3) pictures.",
        )


def to_tensor(pixels: NDArray[Any]) -> Tensor:
    """(H, W, C) to float32 (1, C, H, W); integers from their full range to [0, 1]."""
    if pixels.dtype.kind == "f":
        values = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))
    elif pixels.dtype.name in _TORCH_DTYPES:
        values = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch.float32)
        values /= torch.iinfo(_TORCH_DTYPES[pixels.dtype.name]).max
    else:
        raise UsageError(f"Pixels of type {pixels.dtype} are not supported.", "Use uint8, uint16 or floating point.")
    return values.permute(2, 0, 1)[None]


def _to_pixels(image: Tensor) -> Pixels:
    pixels: Pixels = image[0].permute(1, 2, 0).contiguous().numpy()
    return pixels

"""Pictures to measure on: a true HR picture, the LR picture made from it, and how close a result comes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from upscale_cli.degradation import chains
from upscale_cli.degradation.chains import SecondOrder
from upscale_cli.errors import InputError
from upscale_cli.images.pairs import paired, pictures_in
from upscale_cli.images.picture import Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.metrics import WINDOW, Scores, score


@dataclass(frozen=True)
class Case:
    """A picture to measure on: uint8 (H, W, 3) HR, and (1, 3, h, w) LR in [0, 1], in whole 8-bit levels."""

    name: str
    hr: Pixels
    lr: Tensor

    def lr_pixels(self) -> Pixels:
        """LR as uint8 (h, w, 3)."""
        pixels: Pixels = (self.lr[0].permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous().numpy()
        return pixels


def find_cases(hr: Path, lr: Path | None) -> list[tuple[Path, Path | None]]:
    """The files of (HR, LR or None) in folders, or these files themselves. Raises InputError."""
    if not hr.exists():
        raise InputError(f"There is no {hr}.", "Check the path.")
    if lr is not None:
        return [(truth, small) for truth, small in paired(hr, lr, kind="LR picture")]
    return [(path, None) for path in (pictures_in(hr) if hr.is_dir() else [hr])]


def load_case(hr_path: Path, lr_path: Path | None, scale: int) -> Case:
    """Read HR, cropped to a multiple of ``scale``, and LR, or make that by MATLAB's bicubic. Raises InputError."""
    hr = _whole(hr_path, scale)
    if min(hr.shape[:2]) < WINDOW + 2 * scale:
        raise InputError(f"{hr_path} is too small to be measured.", "Take it out of the folder.")
    lr = chains.bicubic(_planes(hr), scale) if lr_path is None else _planes(_rgb(read_picture(lr_path).color))
    if lr.shape[-2] * scale != hr.shape[0] or lr.shape[-1] * scale != hr.shape[1]:
        sizes = f"{lr.shape[-1]}x{lr.shape[-2]} pixels, {hr_path} {hr.shape[1]}x{hr.shape[0]}"
        raise InputError(f"{lr_path} has {sizes}.", f"Give LR pictures {scale} times smaller, or none.")
    return Case(hr_path.stem, hr, lr)


def damaged_case(hr_path: Path, scale: int, seed: list[int]) -> Case:
    """Read HR, cropped to a multiple of ``scale``, and damage it by the second-order degradation. Raises InputError."""
    hr = _whole(hr_path, scale)
    return Case(hr_path.stem, hr, chains.degrade(_planes(hr), scale, SecondOrder(), seed))


def compared(truth: Path, result: Path, scale: int, border: int) -> Scores:
    """The scores of the file ``result``, HR cropped to its size as papers do. Raises InputError for other sizes."""
    hr, sr = (levels(read_picture(path).color) for path in (truth, result))
    surplus = hr.shape[0] - sr.shape[0], hr.shape[1] - sr.shape[1]
    if not (0 <= surplus[0] < scale and 0 <= surplus[1] < scale):
        sizes = f"{truth} is {hr.shape[1]}x{hr.shape[0]} and {result} {sr.shape[1]}x{sr.shape[0]}"
        raise InputError(f"{sizes} pixels.", "Compare results of the true picture's size.")
    if min(sr.shape[:2]) <= 2 * border:
        raise InputError(f"{result} is all border.", "Use a smaller --border.")
    return score(sr, hr[: sr.shape[0], : sr.shape[1]], border)


def levels(pixels: Pixels) -> Pixels:
    """In 8 bits."""
    reduced: Pixels = pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)
    return reduced


def _whole(path: Path, scale: int) -> Pixels:
    """The picture in 8-bit RGB, cropped to a multiple of ``scale``."""
    hr = _rgb(read_picture(path).color)
    return np.ascontiguousarray(hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale])


def _rgb(pixels: Pixels) -> Pixels:
    return np.repeat(levels(pixels), 3, axis=2) if pixels.shape[2] == 1 else levels(pixels)


def _planes(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255

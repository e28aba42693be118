"""Pictures to measure on: HR, the LR made from it, and results beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscale_cli.degradation import chains
from upscale_cli.degradation.chains import SecondOrder
from upscale_cli.errors import InputError
from upscale_cli.images.convert import displayed, with_depth
from upscale_cli.images.pairs import paired, pictures_in
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.levels import to_pixels, to_planes
from upscale_cli.metrics import WINDOW


@dataclass(frozen=True)
class Case:
    """A picture to measure on: uint8 HR (H, W, 3) and LR (H / scale, W / scale, 3), the JPEG quality of LR's file."""

    name: str
    hr: Pixels
    lr: Pixels
    jpeg_quality: float | None = None


def find_cases(hr: Path, lr: Path | None) -> list[tuple[Path, Path | None]]:
    """Return the files of (HR, LR or None) in folders, or these files themselves. Raises InputError."""
    if not hr.exists():
        raise InputError(f"There is no {hr}.", "Check the path.")
    if lr is not None:
        return list(paired(hr, lr, kind="LR picture"))
    return [(path, None) for path in (pictures_in(hr) if hr.is_dir() else [hr])]


def load_case(hr_path: Path, lr_path: Path | None, scale: int) -> Case:
    """Read HR, and LR or make it by MATLAB's bicubic. Raises InputError."""
    hr = read_hr(hr_path, scale)
    if min(hr.shape[:2]) < WINDOW + 2 * scale:
        raise InputError(f"{hr_path} is too small to be measured.", "Take it out of the folder.")
    if lr_path is None:
        return Case(hr_path.stem, hr, to_pixels(chains.bicubic(to_planes(hr), scale), np.uint8))
    read = read_picture(lr_path)
    lr = _rgb8(read)
    if (lr.shape[0] * scale, lr.shape[1] * scale) != hr.shape[:2]:
        sizes = f"{lr.shape[1]}x{lr.shape[0]} pixels, {hr_path} {hr.shape[1]}x{hr.shape[0]}"
        raise InputError(f"{lr_path} has {sizes}.", f"Give LR pictures {scale} times smaller, or none.")
    return Case(hr_path.stem, hr, lr, read.jpeg_quality)


def degraded_case(hr_path: Path, scale: int, seed: list[int]) -> Case:
    """Read HR, and make LR from it by the second-order degradation. Raises InputError."""
    hr = read_hr(hr_path, scale)
    lr = chains.degrade(to_planes(hr), scale, SecondOrder(), seed)
    return Case(hr_path.stem, hr, to_pixels(lr, np.uint8))


def result_and_hr(hr_path: Path, sr_path: Path, scale: int, border: int) -> tuple[Pixels, Pixels]:
    """Return a result and HR, uint8 (H, W, 1 or 3), HR cropped to the result's size as papers do.

    Raises InputError for other sizes.
    """
    hr, sr = (with_depth(displayed(read_picture(path)).color, 8) for path in (hr_path, sr_path))
    surplus = hr.shape[0] - sr.shape[0], hr.shape[1] - sr.shape[1]
    if not (0 <= surplus[0] < scale and 0 <= surplus[1] < scale):
        sizes = f"{hr_path} is {hr.shape[1]}x{hr.shape[0]} and {sr_path} {sr.shape[1]}x{sr.shape[0]}"
        raise InputError(f"{sizes} pixels.", "Compare results of HR's size.")
    if min(sr.shape[:2]) <= 2 * border:
        raise InputError(f"{sr_path} is all border.", "Use a smaller --border.")
    return sr, hr[: sr.shape[0], : sr.shape[1]]


def read_hr(path: Path, scale: int) -> Pixels:
    """Read a picture as uint8 (H, W, 3), cropped to multiples of ``scale``. Raises InputError."""
    hr = read_rgb8(path)
    return np.ascontiguousarray(hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale])


def read_rgb8(path: Path) -> Pixels:
    """Read a picture as uint8 (H, W, 3), without transparency. Raises InputError."""
    return _rgb8(read_picture(path))


def _rgb8(picture: Picture) -> Pixels:
    pixels = with_depth(displayed(picture).color, 8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels

"""Make the pictures by which a network is taught: LR, and as HR a share of what better results are.

    python benchmarks/taught_targets.py FOLDER OUT -m lite-x4 [-m MORE] [--share 0.8] [--crop 800x600]

OUT/LR holds the pictures of FOLDER, of each the middle with --crop, downsampled by MATLAB's bicubic filter; OUT/HR the
mean of what the networks make of them in eight orientations, and the original for the rest of the share. They are for
`upscale train lite-x4 --from lite-x4 --lr OUT/LR --hr OUT/HR --set pixel.kind=mse`. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from upscale_cli.api import Upscaler
from upscale_cli.evaluation import read_hr
from upscale_cli.images.picture import Pixels
from upscale_cli.levels import to_pixels, to_planes
from upscale_cli.resize import matlab_bicubic
from upscale_cli.upscaling.options import OptionFields
from upscale_cli.weights.resolve import resolve


def teachers_of(models: Sequence[str], threads: int | None) -> list[Upscaler]:
    """Return the networks themselves, without those that lite-x4 and lite-x2 leave noisy pictures to."""
    networks = [resolve(name) for name in models]
    settings: OptionFields = {"scale": networks[0].spec.scale, "tta": True, "precision": "fp32", "threads": threads}
    return [Upscaler(network=network, **settings) for network in networks]


def make(folder: Path, out: Path, teachers: Sequence[Upscaler], share: float, crop: tuple[int, int]) -> None:
    """Write LR and target of every picture of ``folder`` that has none yet."""
    scale = teachers[0].spec.scale
    for kind in ("LR", "HR"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        lr_path, target_path = (out / kind / f"{path.stem}.png" for kind in ("LR", "HR"))
        if target_path.exists():
            continue
        lr, target = pair(middle(read_hr(path, scale), crop, scale), teachers, share)
        write(lr_path, lr)
        write(target_path, target)
        print(target_path, flush=True)


def middle(picture: Pixels, crop: tuple[int, int], scale: int) -> Pixels:
    """Return at most ``crop`` (width, height) of the picture's middle, in multiples of ``scale``."""
    height, width = (min(*lengths) // scale * scale for lengths in zip(picture.shape[:2], crop[::-1], strict=True))
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def pair(hr: Pixels, teachers: Sequence[Upscaler], share: float) -> tuple[Pixels, Pixels]:
    """Return LR, and the target: ``share`` of the teachers' mean result, the rest HR. All uint8 (H, W, 3)."""
    lr = to_pixels(matlab_bicubic(to_planes(hr), 1 / teachers[0].spec.scale), np.uint8)
    in_16_bits = lr.astype(np.uint16) * 257  # so that results are not rounded to 8 bits before they are mixed
    results = [to_planes(teacher.upscale(in_16_bits)) for teacher in teachers]
    target = to_planes(hr) * (1 - share) + sum(results) * (share / len(results))
    return lr, to_pixels(target, np.uint8)


def write(path: Path, picture: Pixels) -> None:
    """Write it whole or not at all."""
    unfinished = path.with_name(f".{path.name}")
    cv2.imwrite(str(unfinished), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    unfinished.rename(path)


def width_and_height(text: str) -> tuple[int, int]:
    """Return the two numbers of WIDTHxHEIGHT."""
    width, height = text.split("x")
    return int(width), int(height)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("-m", "--model", action="append", required=True, help="a teacher, name or file; repeatable")
    parser.add_argument("--share", type=float, default=0.8, help="of the teachers in the target")
    parser.add_argument("--crop", type=width_and_height, default=(65536, 65536), metavar="WxH")
    parser.add_argument("--threads", type=int, help="of PyTorch; all cores without it")
    options = parser.parse_args(arguments)
    teachers = teachers_of(options.model, options.threads)
    if len({teacher.spec.scale for teacher in teachers}) > 1:
        parser.error("the teachers enlarge by different scales")
    make(options.folder, options.out, teachers, options.share, options.crop)


if __name__ == "__main__":
    main()

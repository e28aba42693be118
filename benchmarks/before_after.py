"""A sheet of what networks make of pictures: a row for each picture, bicubic first.

    python benchmarks/before_after.py docs/pictures/sample.png@64,36 -m lite-x4 --crop 100x75 --jpeg 50 -o sheet.webp

``PICTURE@X,Y`` names the top left pixel of the part that is shown, in pixels of the picture; without it the middle is
shown. Parts are ``--crop`` pixels large, and ``--scale`` times that on the sheet. With ``--jpeg QUALITY`` each picture
has a second row, in which it was compressed before, and networks are told so, as by a file. Transparency is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscale_cli import Upscaler
from upscale_cli.images import formats
from upscale_cli.images.convert import with_depth
from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.images.sheet import contact_sheet
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.resize import resize_pixels
from upscale_cli.upscaling.size import Size


@dataclass(frozen=True)
class Part:
    """What is shown of a picture; its top left pixel, or None for the middle."""

    path: Path
    corner: tuple[int, int] | None


def parse_part(text: str) -> Part:
    path, _, corner = text.partition("@")
    x, y = map(int, corner.split(",")) if corner else (None, None)
    return Part(Path(path), None if x is None or y is None else (x, y))


def parse_crop(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def bicubic(pixels: Pixels, scale: int) -> Pixels:
    height, width = pixels.shape[:2]
    return resize_pixels(pixels, (height * scale, width * scale), "bicubic", pixels.dtype)


def compressed(pixels: Pixels, quality: int) -> Picture:
    """What reading the picture from a JPEG file gives, which tells its quality."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert decoded is not None, "what was just written can be read"
    return Picture(decoded, jpeg_quality=quality)


def row(
    picture: Picture, corner: tuple[int, int] | None, networks: Sequence[Upscaler], scale: int, crop: tuple[int, int]
) -> list[Picture]:
    height, width = picture.height, picture.width
    shown = min(crop[0], width), min(crop[1], height)
    x, y = corner or ((width - shown[0]) // 2, (height - shown[1]) // 2)
    enlarged = (network.upscale_picture(picture, Size(scale=scale)).color for network in networks)
    results = [bicubic(picture.color, scale), *enlarged]
    rows, columns = slice(y * scale, (y + shown[1]) * scale), slice(x * scale, (x + shown[0]) * scale)
    return [on_white(result[rows, columns], crop, scale) for result in results]


def on_white(pixels: Pixels, crop: tuple[int, int], scale: int) -> Picture:
    """A cell of the sheet, of the size that all have."""
    cell = np.full((crop[1] * scale, crop[0] * scale, 3), 255, np.uint8)
    cell[: pixels.shape[0], : pixels.shape[1]] = pixels
    return Picture(cell)


def sheet(
    parts: Sequence[Part], networks: Sequence[Upscaler], scale: int, crop: tuple[int, int], jpeg: int | None
) -> Picture:
    names = ["bicubic", *(network.name for network in networks)]
    cells: list[Picture] = []
    labels: list[str] = []
    for part in parts:
        pixels = with_depth(read_picture(part.path).color, 8)
        cells += row(Picture(pixels), part.corner, networks, scale, crop)
        labels += names
        if jpeg:
            cells += row(compressed(pixels, jpeg), part.corner, networks, scale, crop)
            labels += [f"{name} of a JPEG, quality {jpeg}" for name in names]
    return contact_sheet(cells, labels, most_columns=len(names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", type=parse_part, metavar="PICTURE[@X,Y]")
    parser.add_argument("-m", "--model", action="append", required=True, help="name or file; may be repeated")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--crop", type=parse_crop, default=(120, 90), metavar="WxH")
    parser.add_argument("--jpeg", type=int, metavar="QUALITY", help="1 to 100")
    parser.add_argument("--quality", type=int, help="of a lossy format, 1 to 100")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    networks = [Upscaler(name, scale=given.scale, precision="fp32") for name in given.model]
    kind = formats.of_path(given.output)
    assert kind is not None, "the sheet's extension names a format"
    picture = sheet(given.parts, networks, given.scale, given.crop, given.jpeg)
    write_image(picture, given.output, WriteOptions(kind, given.quality))


if __name__ == "__main__":
    main()

"""TIFF files of gray with alpha keep both, in 16 bits too, which no decoder knows."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from upscale_cli.errors import InputError
from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.picture import Pixels
from upscale_cli.images.read import read_picture


def gray_alpha_tiff(levels: Pixels, order: str, predictor: int, tiled: bool, white: int, turned: int) -> bytes:
    """Return an uncompressed file of 16-bit gray and alpha, in strips of 5 rows or tiles of 16 x 16 pixels."""
    (height, width), parts = levels.shape[:2], []
    stored = levels.copy()
    stored[..., 0] ^= 0 if white else 65535
    side = (16, 16) if tiled else (5, width)
    for top in range(0, height, side[0]):
        for left in range(0, width, side[1]):
            part = stored[top : top + side[0], left : left + side[1]]
            part = np.pad(part, ((0, tiled * (16 - part.shape[0])), (0, tiled * (16 - part.shape[1])), (0, 0)))
            steps = np.diff(part, axis=1, prepend=np.zeros_like(part[:, :1])) if predictor == 2 else part
            parts.append(steps.astype(f"{order}u2").tobytes())
    offsets = [8 + sum(map(len, parts[:number])) for number in range(len(parts))]
    sizes = [len(part) for part in parts]
    where = (
        ((322, 16), (323, 16), (324, *offsets), (325, *sizes)) if tiled else ((273, *offsets), (278, 5), (279, *sizes))
    )
    values = ((256, width), (257, height), (258, 16, 16), (259, 1), (262, white), (277, 2), (338, 2), *where)
    values += ((tags.PREDICTOR, predictor), (tags.ORIENTATION, turned))
    entries = [tags.numbers(tag, tags.LONG if tag in (273, 279, 324, 325) else tags.SHORT, *v) for tag, *v in values]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(b"".join(parts)))
    return head + b"".join(parts) + tags.write_directory(entries, 8 + len(b"".join(parts)), order)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(("white", "turned"), [(1, 6), (0, 1)])
def test_gray_tiff_of_16_bits_keeps_its_transparency(
    tmp_path: Path, order: str, predictor: int, tiled: bool, white: int, turned: int
) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (17, 35, 2)).astype(np.uint16)
    (tmp_path / "a.tif").write_bytes(gray_alpha_tiff(levels, order, predictor, tiled, white, turned))
    copy = read_picture(tmp_path / "a.tif")
    assert copy.alpha is not None
    assert np.array_equal(np.dstack([copy.color, copy.alpha]), np.rot90(levels, 3 if turned == 6 else 0))


def test_gray_tiff_whose_transparency_cannot_be_read_is_refused(tmp_path: Path) -> None:
    levels = np.zeros((4, 6, 2), np.uint16)
    data = gray_alpha_tiff(levels, "<", 1, False, 1, 1)
    planar = data.replace(struct.pack("<HHIH", tags.PREDICTOR, 3, 1, 1), struct.pack("<HHIH", tags.PLANES, 3, 1, 2))
    assert planar != data
    (tmp_path / "a.tif").write_bytes(planar)
    with pytest.raises(InputError, match="stores gray and alpha in an unusual way"):
        read_picture(tmp_path / "a.tif")

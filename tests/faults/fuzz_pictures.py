"""Hostile pictures, put through what a run does with them: their size told, read, and written again.

    python tests/faults/fuzz_pictures.py --soak 50000

Every input follows from its number. None may crash, end in a traceback, or take too long or too much memory.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from hostile_pictures import made
from soak import Soak, Use

from upscale_cli.errors import OutputError, UpscaleError
from upscale_cli.images.formats import FORMATS, by_name
from upscale_cli.images.read import picture_header, read_image
from upscale_cli.images.write import WriteOptions, write_image


def use(path: Path, draw: random.Random) -> str:
    """Read the picture, and write it in some format."""
    try:
        image = read_image(path)
    except UpscaleError as error:
        refusal = str(error)
        assert len(refusal) < 600, refusal
        assert refusal.isprintable(), refusal
        return f"refused: {error.message.replace(str(path), '')}"
    first = image.frames[0]
    assert picture_header(path).size == (first.height, first.width)
    try:
        write_image(
            image, path.with_suffix(".out"), WriteOptions(by_name(draw.choice([known.name for known in FORMATS])))
        )
    except OutputError as error:
        return f"not written: {error.message.replace(str(path), '')}"
    return "read"


def make(number: int, folder: Path) -> tuple[str, Use]:
    """Write the picture of that number into ``folder``."""
    kind, data = made(number)
    path = folder / "a"
    path.write_bytes(data)
    return kind, lambda: use(path, random.Random(number))


SOAK = Soak(__file__, make, seconds=5, megabytes=1000, python=(sys.executable, "-W", "error"))

if __name__ == "__main__":
    raise SystemExit(SOAK.main(__doc__))

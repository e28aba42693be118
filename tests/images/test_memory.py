"""What reading and writing large pictures takes of memory, beside the pixels, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from upscale_cli.images.chunks import PNG_SIGNATURE, png_chunk
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image

HEIGHT, WIDTH = 5000, 6000
PIXELS = HEIGHT * WIDTH * 3 / 2**20  # MiB

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_image
from upscale_cli.images.write import WriteOptions, write_image

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

def warm(name):
    write_image(Picture(np.zeros((64, 64, 3), np.uint8)), Path("warm"), WriteOptions(by_name(name)))
    read_image(Path("warm"))
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")


def mebibytes(program: str, *arguments: str, cwd: Path) -> float:
    """What the peak of a program grows by while its last line runs."""
    *before, last = program.strip().splitlines()
    code = "\n".join([PROGRAM, *before, "start = peak()", last, "print(peak() - start)"])
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=cwd)
    assert done.stderr == ""
    return float(done.stdout)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pixels of a large smooth picture, as a file to be mapped."""
    folder = tmp_path_factory.mktemp("large")
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (HEIGHT, WIDTH, 3))
    row = np.sin(np.arange(WIDTH) / 300)[:, None] * [50, 40, 30] + 100
    for top in range(HEIGHT):
        pixels[top] = row + top // 100
    pixels.flush()
    return folder


@pytest.mark.parametrize("name", ["jpeg", "png", "tiff", "ppm"])
def test_writing_holds_neither_a_copy_nor_the_file(large: Path, name: str) -> None:
    """The pixels are mapped and only read; what of them is in memory counts all the same."""
    grown = mebibytes(
        f"""
pixels = np.load("pixels.npy", mmap_mode="r")
pixels.max()
warm("{name}")
write_image(Picture(pixels), Path("a.{name}"), WriteOptions(by_name("{name}")))
""",
        cwd=large,
    )
    assert grown < 40
    copy = read_picture(large / f"a.{name}").color
    pixels = np.load(large / "pixels.npy", mmap_mode="r")
    assert copy.shape == pixels.shape
    assert np.abs(copy[::50].astype(int) - pixels[::50]).max() <= (12 if name == "jpeg" else 0)


def test_reading_a_jpeg_holds_its_pixels_twice_while_opencv_returns_them(large: Path) -> None:
    write_image(Picture(np.load(large / "pixels.npy", mmap_mode="r")), large / "b.jpg", WriteOptions(by_name("jpeg")))
    size = (large / "b.jpg").stat().st_size / 2**20
    grown = mebibytes('warm("jpeg")\nimage = read_image(Path("b.jpg"))', cwd=large)
    assert grown < 2 * PIXELS + size + 20


def test_text_and_profiles_that_are_bombs_are_not_inflated(tmp_path: Path) -> None:
    write_image(Picture(np.zeros((9, 9, 3), np.uint8)), tmp_path / "a.png", WriteOptions(by_name("png")))
    data = (tmp_path / "a.png").read_bytes()
    head = len(PNG_SIGNATURE) + 25
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(7_000_000), 9))
    profile = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000), 9))
    (tmp_path / "a.png").write_bytes(data[:head] + profile + text * 300 + data[head:])
    assert mebibytes('warm("png")\nread_image(Path("a.png"))', cwd=tmp_path) < 50

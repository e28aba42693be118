"""``--print 30x20cm --dpi 300``: the size follows from the paper, and files say their resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from terminal import Terminal

from upscale_cli import Upscaler
from upscale_cli.cli.options import parse_paper
from upscale_cli.errors import UsageError
from upscale_cli.images.read import read_picture


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that lies, and one that stands, both with the resolution of a camera in EXIF."""
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[0x11A], exif[0x11B], exif[0x128] = 180.0, 180.0, 3
    for name, size in (("wide", (60, 40)), ("high", (40, 60))):
        Image.new("RGB", size, "gray").save(f"{name}.jpg", exif=exif, dpi=(72, 72))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("30x20cm", (30, 20)),
        ("30 x 20 cm", (30, 20)),
        ("300x200mm", (30, 20)),
        ("12x8in", (30.48, 20.32)),
        ('12x8"', (30.48, 20.32)),
        ("12.5X8inch", (31.75, 20.32)),
        ("A4", (29.7, 21)),
        ("a0", (118.9, 84.1)),
    ],
)
def test_paper_is_stated_in_centimetres_inches_or_by_its_name(text: str, size: tuple[float, float]) -> None:
    assert parse_paper(text) == pytest.approx(size)


@pytest.mark.parametrize("text", ["30x20", "30cm", "x", "A9", "-3x2cm", "30x20km"])
def test_other_words_are_no_paper(text: str) -> None:
    with pytest.raises(UsageError, match="is no size of paper"):
        parse_paper(text)


@pytest.mark.parametrize(
    ("arguments", "dpi", "wide"),
    [
        (["--print", "2.54x2cm", "--dpi", "100"], 100, (100, 67)),
        (["--print", "0.5x0.5in"], 300, (150, 100)),
        (["--dpi", "240", "-s", "2"], 240, (120, 80)),
    ],
)
def test_a_print_has_its_size_and_says_its_resolution(
    drawn: None, network: str, terminal: Terminal, arguments: list[str], dpi: int, wide: tuple[int, int]
) -> None:
    said = terminal(*arguments, "wide.jpg", "high.jpg", "-o", "out/", "-m", network)
    assert said.code == 0, said.err
    for name, size in (("wide", wide), ("high", wide[::-1])):
        with Image.open(f"out/{name}.jpg") as image:
            assert image.size == size
            assert image.info["dpi"] == (dpi, dpi)
            exif = image.getexif()
            assert (exif[0x11A], exif[0x11B], exif[0x128]) == (dpi, dpi, 2)


@pytest.mark.parametrize("chosen", [[], ["--auto"], ["--kernel", "auto"]])
def test_networks_that_are_chosen_for_the_picture_print_too(drawn: None, terminal: Terminal, chosen: list[str]) -> None:
    said = terminal("wide.jpg", "--print", "0.5x0.5in", "-o", "a.png", "--device", "cpu", *chosen)
    assert said.code == 0, said.err
    with Image.open("a.png") as image:
        assert image.size == (150, 100)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_python_takes_paper_too(drawn: None, network: str) -> None:
    upscaler = Upscaler(network, print_size=(2.54, 2.54), dpi=100)
    printed = upscaler.upscale_picture(read_picture(Path("wide.jpg")))
    assert (printed.width, printed.height) == (100, 67)
    assert printed.metadata.resolution == (100, 100)
    assert upscaler.upscale(np.zeros((40, 60, 3), np.uint8)).shape == (67, 100, 3)


def test_a_folder_of_prints_is_named_by_its_pixels(drawn: None, network: str, terminal: Terminal) -> None:
    said = terminal(".", "--print", "0.5x0.4in", "-m", network, "--dry-run", "--json")
    assert said.code == 0
    assert '"output_size": [150, 100]' in said.out
    assert "150x120" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wide.jpg", "--print", "30x20cm", "-s", "2"], "Use one of -s, --width, --height, --fit, --print."),
        (["wide.jpg", "--print", "30x20cm", "--width", "90"], "Use one of -s, --width, --height, --fit, --print."),
        (["wide.jpg", "--print", "30"], "'30' is no size of paper. Write it as 30x20cm, 12x8in or A4."),
        (["wide.jpg", "--print", "90x90cm"], "Factors from 0.1 to 32 are possible."),
        (["clip.mp4", "--print", "A4"], "--print is for pictures."),
        (["clip.mp4", "--dpi", "300"], "--dpi is for pictures."),
    ],
)
def test_what_cannot_be_printed_is_refused(drawn: None, terminal: Terminal, arguments: list[str], words: str) -> None:
    Path("clip.mp4").touch()
    said = terminal(*arguments)
    assert said.code == 2
    assert words in said.err


def test_a_format_without_a_resolution_says_so(drawn: None, network: str, terminal: Terminal) -> None:
    said = terminal("wide.jpg", "--dpi", "300", "-o", "a.webp", "-m", network)
    assert "webp does not hold this picture's resolution: dropped." in said.err


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_other_formats_hold_the_resolution(drawn: None, network: str, terminal: Terminal, name: str) -> None:
    assert terminal("wide.jpg", "--dpi", "240", "-o", name, "-m", network).code == 0
    assert read_picture(Path(name)).metadata.resolution == pytest.approx((240, 240), rel=1e-3)

"""``upscale degrade``: sheets of the right size and content, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.kernels.blur_kernel import centred
from upscale_cli.kernels.files import write_kernel

GAP, ONE_LINE, TWO_LINES = 8, 32, 56


def save(name: str, height: int = 360, width: int = 380, channels: int = 3, deep: bool = False) -> Pixels:
    """A picture of smooth colours."""
    y, x, c = np.mgrid[:height, :width, :channels]
    levels = 127.5 + 60 * np.sin(x / (5 + c)) + 60 * np.cos(y / (7 - c))
    pixels: Pixels = (levels * 257).astype(np.uint16) if deep else levels.astype(np.uint8)
    write_image(Picture(pixels), Path(name), WriteOptions(by_name("png")))
    return pixels


def cells(path: str, side: int, text: int, columns: int) -> list[Pixels]:
    """The pictures of a sheet, row by row."""
    sheet = read_picture(Path(path)).color
    tops = range(GAP, sheet.shape[0] - side, side + text + GAP)
    lefts = [GAP + column * (side + GAP) for column in range(columns)]
    return [sheet[top : top + side, left : left + side] for top in tops for left in lefts]


def test_the_sheet_shows_the_original_and_every_version(terminal: Terminal) -> None:
    pixels = save("photo.png")
    said = terminal("degrade", "photo.png", "-n", "8", "--crop", "352")
    assert (said.code, said.out, said.err) == (0, "photo.png -> photo_degraded.png\n", "")
    original, *versions = cells("photo_degraded.png", 352, TWO_LINES, 3)
    assert np.array_equal(original, pixels[4:356, 14:366])
    assert len(versions) == 8
    for version in versions:
        blocks = version.reshape(88, 4, 88, 4, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()  # LR pixels, repeated
        assert 2 < np.abs(version.astype(int) - original).mean() < 60
    assert len({version.tobytes() for version in versions}) == 8


def test_the_seed_decides(terminal: Terminal) -> None:
    save("photo.png")
    for name, seed in (("a.png", "3"), ("b.png", "3"), ("c.png", "4")):
        assert terminal("degrade", "photo.png", "-n", "2", "--seed", seed, "-o", name, "-q").out == ""
    first, again, other = (Path(name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert first == again
    assert first != other


def test_small_crops_are_enlarged_until_their_labels_fit(terminal: Terminal) -> None:
    pixels = save("photo.png")
    assert terminal("degrade", "photo.png", "-n", "1", "--crop", "64", "-s", "2").code == 0
    original = cells("photo_degraded.png", 384, TWO_LINES, 2)[0]
    assert np.array_equal(original[::6, ::6], pixels[148:212, 158:222])


@pytest.mark.parametrize(("channels", "deep"), [(1, False), (1, True), (3, True)])
def test_gray_and_deep_pictures_are_shown_too(terminal: Terminal, channels: int, deep: bool) -> None:
    pixels = save("photo.png", channels=channels, deep=deep)
    assert terminal("degrade", "photo.png", "-n", "1", "--crop", "344").code == 0
    original = cells("photo_degraded.png", 344, TWO_LINES, 2)[0]
    wanted = pixels[8:352, 18:362] / (257 if deep else 1)
    assert np.abs(original - wanted).max() <= 0.5


def test_a_crop_larger_than_the_picture_is_the_largest_that_the_scale_divides(terminal: Terminal) -> None:
    save("photo.png", 30, 47)
    assert terminal("degrade", "photo.png", "-n", "1", "-s", "4").code == 0
    assert read_picture(Path("photo_degraded.png")).width == 2 * 13 * 28 + 3 * GAP


def test_a_kernel_says_how_much_smaller_pictures_become(terminal: Terminal) -> None:
    save("photo.png")
    write_kernel(Path("a.json"), centred(np.ones((6, 6)), 2))
    for options in ([], ["-s", "2"], ["-s", "4"]):
        output = f"sheet{len(options) and options[1]}.png"
        assert terminal("degrade", "photo.png", "--kernel", "a.json", "-o", output, *options).code == 0
    by_kernel, twice, four_times = (read_picture(Path(f"sheet{scale}.png")).color for scale in (0, 2, 4))
    assert np.array_equal(by_kernel, twice)
    assert not np.array_equal(by_kernel, four_times)


def test_a_kernel_blurs_alone(terminal: Terminal) -> None:
    save("photo.png")
    Path("kernels").mkdir()
    box = np.ones((4, 4)) / 16
    write_kernel(Path("kernels/a.npy"), centred(np.pad(box, (3, 4)), 4))
    write_kernel(Path("kernels/b.json"), centred(np.pad(box, (5, 6)), 4))
    assert terminal("degrade", "photo.png", "--kernel", "kernels", "--crop", "344").code == 0
    original, first, second, *rest = cells("photo_degraded.png", 344, ONE_LINE, 2)
    means = original.reshape(86, 4, 86, 4, 3).mean((1, 3))
    assert np.abs(first[::4, ::4] - means).max() < 1.5
    assert np.abs(first.astype(int) - second).max() <= 1
    assert all((cell == 255).all() for cell in rest)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.png"], 3, "There is no file missing.png."),
        (["photo.png", "-o", "sheet.xyz"], 2, "sheet.xyz has no extension of a picture format."),
        (["photo.png", "-o", "photo.png"], 4, "photo.png exists already. Add --overwrite"),
        (["photo.png", "-n", "0"], 2, "0 is not in the range"),
        (["photo.png", "--kernel", "missing.npy"], 3, "missing.npy"),
        (["tiny.png"], 3, "tiny.png is only 15x40 pixels."),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(
    terminal: Terminal, arguments: list[str], code: int, said: str
) -> None:
    save("photo.png")
    save("tiny.png", 40, 15)
    result = terminal("degrade", *arguments)
    assert result.code == code
    assert said in result.err
    assert result.err.count("\n") == 1


def test_an_existing_sheet_is_replaced_on_request(terminal: Terminal) -> None:
    save("photo.png")
    Path("photo_degraded.png").write_text("old")
    assert terminal("degrade", "photo.png", "-n", "1").code == 4
    assert terminal("degrade", "photo.png", "-n", "1", "--overwrite").code == 0
    assert read_picture(Path("photo_degraded.png")).width > 0

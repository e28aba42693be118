"""The pictures of docs/recipes.md: twelve inputs are made, each command of the page is run, and both are shown.

    python benchmarks/recipe_pictures.py

Inputs are made from docs/pictures/sample.png, or drawn here; nothing is downloaded.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
PAGE = ROOT / "docs" / "recipes.md"
CELL = (300, 200)  # pixels of each half
Drawn = Image.Image


def sample(width: int = 226) -> Drawn:
    picture = Image.open(PICTURES / "sample.png").convert("RGB")
    return picture.resize((width, width * picture.height // picture.width), Image.Resampling.BICUBIC)


def noisy(picture: Drawn, deviation: float, colored: bool = True) -> Drawn:
    levels = np.asarray(picture, np.float32)
    noise = np.random.default_rng(0).normal(0, deviation, (*levels.shape[:2], 3 if colored else 1))
    return Image.fromarray(np.clip(levels + noise, 0, 255).astype(np.uint8))


def compressed(picture: Drawn, quality: int) -> Drawn:
    content = BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


def smooth(size: tuple[int, int], draw: Callable[[ImageDraw.ImageDraw, int], None], ground: object) -> Drawn:
    """What ``draw`` paints at four times the size, with soft edges."""
    large = Image.new("RGBA", (4 * size[0], 4 * size[1]), ground)  # type: ignore[arg-type]
    draw(ImageDraw.Draw(large), 4)
    return large.resize(size, Image.Resampling.BOX)


def face(draw: ImageDraw.ImageDraw, s: int) -> None:
    """A drawn face with large eyes."""
    draw.ellipse((30 * s, 8 * s, 120 * s, 98 * s), fill="#5b3a8c", outline="#221133", width=2 * s)
    draw.ellipse((42 * s, 24 * s, 108 * s, 98 * s), fill="#ffe3cf", outline="#221133", width=2 * s)
    draw.polygon(
        [
            (40 * s, 50 * s),
            (56 * s, 18 * s),
            (70 * s, 44 * s),
            (84 * s, 18 * s),
            (110 * s, 50 * s),
            (100 * s, 20 * s),
            (75 * s, 8 * s),
            (50 * s, 20 * s),
        ],
        fill="#6d47a6",
    )
    for x in (60, 90):
        draw.ellipse(((x - 8) * s, 50 * s, (x + 8) * s, 74 * s), fill="white", outline="#221133", width=s)
        draw.ellipse(((x - 5) * s, 54 * s, (x + 5) * s, 73 * s), fill="#2a7fd1")
        draw.ellipse(((x - 2) * s, 57 * s, (x + 2) * s, 62 * s), fill="white")
    draw.arc((66 * s, 74 * s, 84 * s, 88 * s), 10, 170, fill="#a03040", width=2 * s)


def lines(draw: ImageDraw.ImageDraw, s: int) -> None:
    font = ImageFont.load_default(9 * s)
    for row, text in enumerate(
        (
            "Twelve small machines",
            "hum beside the window,",
            "warm in the evening sun.",
            "",
            "A scan of small type:",
            "Rn rm cl d 0O 1lI 8B %",
        )
    ):
        draw.text((8 * s, (6 + 15 * row) * s), text, fill="#181818", font=font)


def sprites(draw: ImageDraw.ImageDraw, s: int) -> None:
    for number in range(3):
        x, color = 8 + 50 * number, ("#d8352a", "#2f9e44", "#f2b705")[number]
        draw.ellipse((x * s, 30 * s, (x + 34) * s, 64 * s), fill=color, outline="#202020", width=2 * s)
        draw.polygon(
            [((x + 4) * s, 30 * s), ((x + 17) * s, (8 + 4 * number) * s), ((x + 30) * s, 30 * s)], fill="#3b5bdb"
        )
        draw.rectangle(((x + 8) * s, 62 * s, (x + 26) * s, 90 * s), fill="#495057")


def bricks(draw: ImageDraw.ImageDraw, s: int) -> None:
    generator = np.random.default_rng(3)
    for row in range(5):
        for column in range(-1, 3):
            x, y, shade = 50 * column + 25 * (row % 2), 20 * row, int(generator.integers(-20, 20))
            color = (150 + shade, 70 + shade // 2, 50 + shade // 2)
            draw.rectangle(((x + 2) * s, (y + 2) * s, (x + 48) * s, (y + 18) * s), fill=color)


def panel(draw: ImageDraw.ImageDraw, s: int) -> None:
    draw.rectangle((4 * s, 4 * s, 146 * s, 96 * s), fill="#9ad0ec", outline="black", width=2 * s)
    draw.polygon([(4 * s, 96 * s), (60 * s, 50 * s), (146 * s, 96 * s)], fill="#4a7c3a", outline="black")
    draw.ellipse((100 * s, 14 * s, 130 * s, 44 * s), fill="#ffd43b", outline="black", width=2 * s)
    draw.ellipse((14 * s, 12 * s, 86 * s, 46 * s), fill="white", outline="black", width=2 * s)
    draw.text((26 * s, 22 * s), "TO THE HILLS!", fill="black", font=ImageFont.load_default(8 * s))


def window(draw: ImageDraw.ImageDraw, s: int) -> None:
    font = ImageFont.load_default(8 * s)
    draw.rectangle((0, 0, 150 * s, 14 * s), fill="#3b4252")
    draw.text((6 * s, 2 * s), "settings - editor", fill="white", font=font)
    for row, text in enumerate(("[x] Save on exit", "[ ] Show hidden files", "[x] Wrap long lines")):
        draw.text((8 * s, (22 + 15 * row) * s), text, fill="#202020", font=font)
    draw.rounded_rectangle((90 * s, 76 * s, 142 * s, 92 * s), 4 * s, fill="#5e81ac")
    draw.text((106 * s, 79 * s), "Apply", fill="white", font=font)


def heic(picture: Drawn, path: Path) -> None:
    import pillow_heif

    pillow_heif.from_pillow(picture).save(path, quality=90)


def blurred() -> Drawn:
    """As a camera that was out of focus sees it, and small."""
    soft = sample(452).filter(ImageFilter.GaussianBlur(2.6))
    return soft.resize((226, 150), Image.Resampling.BOX)


def old() -> Drawn:
    gray = np.asarray(sample().convert("L"), np.float32)[..., None] / 255
    sepia = (70 + 150 * gray) * np.array([1.0, 0.88, 0.7])
    return compressed(noisy(Image.fromarray(np.clip(sepia, 0, 255).astype(np.uint8)), 9, colored=False), 55)


def make(folder: Path) -> None:
    """Write all inputs that the page names."""
    size = (150, 100)
    old().save(folder / "old.jpg", quality=60)
    smooth(size, face, "#f7d9e3").convert("RGB").save(folder / "anime.png")
    noisy(smooth(size, lines, "#f4f1e8").convert("RGB"), 6).save(folder / "scan.tif")
    smooth((160, 100), sprites, (0, 0, 0, 0)).save(folder / "sprites.png")
    noisy(smooth((100, 100), bricks, "#b8b0a8").convert("RGB"), 5).save(folder / "brick.png")
    with zipfile.ZipFile(folder / "comic.cbz", "w") as archive:
        content = BytesIO()
        smooth(size, panel, "white").convert("RGB").save(content, "JPEG", quality=60)
        archive.writestr("page01.jpg", content.getvalue())
    smooth(size, window, "#eceff4").convert("RGB").save(folder / "screenshot.png")
    sample().save(folder / "photo.jpg", quality=92)
    compressed(sample(), 25).save(folder / "still.png")
    heic(noisy(sample(), 12), folder / "phone.heic")
    blurred().save(folder / "blurred.png")


def commands() -> list[str]:
    """The page's commands, in order."""
    return re.findall(r"^    (upscale .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def opened(path: Path) -> Drawn:
    if path.suffix == ".cbz":
        with zipfile.ZipFile(path) as archive:
            return Image.open(BytesIO(archive.read(archive.namelist()[0]))).convert("RGB")
    if path.suffix == ".heic":
        import pillow_heif

        return pillow_heif.open_heif(path).to_pillow()
    picture = Image.open(path)
    if picture.mode == "RGBA":
        ground = Image.new("RGBA", picture.size, "#dfe7ee")
        return Image.alpha_composite(ground, picture).convert("RGB")
    return picture.convert("RGB")


def shown(picture: Drawn) -> Drawn:
    """The middle of a picture as large as it takes to fill half of the sheet."""
    factor = max(CELL[0] / picture.width, CELL[1] / picture.height)
    size = round(picture.width * factor), round(picture.height * factor)
    filled = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - CELL[0]) // 2, (size[1] - CELL[1]) // 2
    return filled.crop((left, top, left + CELL[0], top + CELL[1]))


def main() -> None:
    target = PICTURES / "recipes"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        for command in commands():
            before = set(folder.iterdir())
            words = shlex.split(command)
            subprocess.run([sys.executable, "-m", "upscale_cli", *words[1:], "-q"], cwd=folder, check=True)
            (result,) = set(folder.iterdir()) - before
            sheet = Image.new("RGB", (2 * CELL[0] + 4, CELL[1]), "white")
            sheet.paste(shown(opened(folder / words[1])), (0, 0))
            sheet.paste(shown(opened(result)), (CELL[0] + 4, 0))
            name_of = {"photo_3840x2160": "wallpaper", "photo_3543x2362": "print"}.get(
                result.stem, words[1].split(".")[0]
            )
            sheet.save(target / f"{name_of}.jpg", quality=82)
            print(command, "->", result.name, opened(result).size)


if __name__ == "__main__":
    main()

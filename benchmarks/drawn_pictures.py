"""Draw pictures to train on beside photographs: pages of text, slides, drawings with outlines, patterns.

    python benchmarks/drawn_pictures.py FOLDER [--count 120] [--fonts FOLDER] [--seed 0]

Every picture follows from the seed, its number and the fonts (.ttf, searched with subfolders; without any, Pillow's
own). All are drawn at four times their size and averaged, as a good renderer does it.
"""

from __future__ import annotations

import argparse
import string
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (640, 480)
FINER = 4  # times its size, in which a picture is drawn
Color = tuple[int, int, int]


class Sheet:
    """A picture in the making. Lengths are pixels of the finished one."""

    def __init__(self, chance: np.random.Generator, fonts: Sequence[Path], ground: Color) -> None:
        self.chance, self._fonts = chance, fonts
        self._large = Image.new("RGB", (SIZE[0] * FINER, SIZE[1] * FINER), ground)
        self.draw = ImageDraw.Draw(self._large)

    def finished(self) -> Image.Image:
        return self._large.resize(SIZE, Image.Resampling.BOX)

    def place(self) -> tuple[float, float]:
        x, y = self.chance.uniform((0, 0), SIZE)
        return float(x), float(y)

    def font(self, height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        pixels = max(1, round(height * FINER))
        if not self._fonts:
            return ImageFont.load_default(pixels)
        return ImageFont.truetype(self._fonts[int(self.chance.integers(len(self._fonts)))], pixels)

    def text(
        self, x: float, y: float, words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, ink: Color
    ) -> None:
        self.draw.text((x * FINER, y * FINER), words, ink, font)

    def curve(self, points: np.ndarray, ink: Color, width: float) -> None:
        self.draw.line([(x * FINER, y * FINER) for x, y in points], ink, max(1, round(width * FINER)), joint="curve")

    def area(self, points: np.ndarray, fill: Color) -> None:
        self.draw.polygon([(x * FINER, y * FINER) for x, y in points], fill)


def color(chance: np.random.Generator, dark: bool | None = None) -> Color:
    """Return any color, or one that is dark or light; one in three is gray."""
    low, high = {None: (0, 256), True: (0, 100), False: (160, 256)}[dark]
    red, green, blue = (int(value) for value in chance.integers(low, high, 3))
    return (red, red, red) if chance.random() < 1 / 3 else (red, green, blue)


def two_colors(chance: np.random.Generator) -> tuple[Color, Color]:
    """Return a ground and an ink that is legible on it: black on white for one in three."""
    if chance.random() < 1 / 3:
        return (255, 255, 255), (0, 0, 0)
    dark_ground = bool(chance.random() < 0.3)
    return color(chance, dark_ground), color(chance, not dark_ground)


def words(chance: np.random.Generator, count: int) -> str:
    """Return ``count`` words of random letters, some with capitals, digits or marks."""
    common = np.array(list("eeeettaaooiinnsshhrrddlluucmwfgypbvkxjqz"))
    made = []
    for _ in range(count):
        word = "".join(chance.choice(common, chance.integers(1, 11)))
        kind = chance.random()
        word = word.capitalize() if kind < 0.15 else word.upper() if kind < 0.22 else word
        word = "".join(chance.choice(list(string.digits), chance.integers(1, 5))) if 0.22 < kind < 0.3 else word
        made.append(word + (str(chance.choice(list(".,;:!?)-"))) if kind > 0.85 else ""))
    return " ".join(made)


def page(sheet: Sheet, ink: Color) -> None:
    """Lines of text in paragraphs, of a few sizes."""
    y = float(sheet.chance.uniform(-5, 15))
    while y < SIZE[1]:
        height = float(sheet.chance.choice([9, 11, 13, 16, 20, 28, 44]))
        font, left = sheet.font(height), float(sheet.chance.uniform(-10, 60))
        shade = ink if sheet.chance.random() < 0.8 else color(sheet.chance)
        for _ in range(sheet.chance.integers(1, 7)):
            sheet.text(left, y, words(sheet.chance, 24), font, shade)
            y += height * 1.3
        y += height


def slide(sheet: Sheet, ink: Color) -> None:
    """Boxes, bars, axes and arrows with labels."""
    chance = sheet.chance
    for _ in range(chance.integers(6, 16)):
        (x, y), (width, height) = sheet.place(), chance.uniform((30, 16), (220, 140))
        corners = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)])
        if chance.random() < 0.7:
            sheet.area(corners, color(chance))
        sheet.curve(corners, ink, float(chance.uniform(0.5, 4)))
        sheet.text(x + 4, y + 3, words(chance, 3), sheet.font(float(chance.uniform(9, 26))), color(chance, dark=None))
    for _ in range(chance.integers(4, 14)):
        sheet.curve(np.array([sheet.place(), sheet.place()]), color(chance), float(chance.uniform(0.5, 5)))


def drawing(sheet: Sheet, ink: Color) -> None:
    """Smooth outlines of flat and hatched areas, as in comics and maps."""
    chance = sheet.chance
    for _ in range(chance.integers(10, 40)):
        outline = blob(chance, sheet.place(), float(chance.uniform(10, 150)))
        if chance.random() < 0.7:
            sheet.area(outline, color(chance))
        sheet.curve(outline, ink, float(chance.uniform(0.5, 5)))
    for _ in range(chance.integers(5, 30)):
        hatch(sheet, ink)


def blob(chance: np.random.Generator, center: tuple[float, float], radius: float) -> np.ndarray:
    """Return a closed curve of 200 points, (200, 2), around ``center``."""
    angle = np.linspace(0, 2 * np.pi, 200)
    waves = sum(
        chance.normal(0, 0.25 / order) * np.sin(order * angle + chance.uniform(0, 2 * np.pi)) for order in range(1, 7)
    )
    length = radius * np.abs(1 + waves)
    return np.stack([center[0] + length * np.cos(angle), center[1] + length * np.sin(angle)], 1)


def hatch(sheet: Sheet, ink: Color) -> None:
    """Parallel strokes, a little bent."""
    chance = sheet.chance
    (x, y), turn, length = sheet.place(), chance.uniform(0, np.pi), chance.uniform(10, 90)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    apart, width, bend = chance.uniform(2, 9), float(chance.uniform(0.5, 2.5)), chance.normal(0, 0.1)
    steps = np.linspace(-0.5, 0.5, 9)[:, None]
    for number in range(chance.integers(4, 20)):
        sheet.curve(
            np.array([x, y]) + steps * length * along + (number * apart + bend * length * steps**2) * across, ink, width
        )


def pattern(sheet: Sheet, ink: Color) -> None:
    """Stripes and checks whose width changes over the picture, as cloth, fences and façades have them."""
    chance = sheet.chance
    for _ in range(chance.integers(2, 6)):
        corner, turn, second = sheet.place(), chance.uniform(0, np.pi), chance.uniform(0, np.pi)
        shade = color(chance) if chance.random() < 0.5 else ink
        stripes(sheet, corner, float(turn), shade)
        if chance.random() < 0.4:
            stripes(sheet, corner, float(second), shade)


def stripes(sheet: Sheet, corner: tuple[float, float], turn: float, ink: Color) -> None:
    """Stripes from ``corner`` on, each wider or narrower than the last by the same factor."""
    chance = sheet.chance
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    width, factor, length = float(chance.uniform(1.5, 8)), float(chance.uniform(0.96, 1.05)), chance.uniform(60, 500)
    at = np.array(corner)
    for _ in range(chance.integers(10, 50)):
        sheet.area(np.array([at, at + length * along, at + length * along + width * across, at + width * across]), ink)
        at, width = at + 2 * width * across, min(max(width * factor, 0.8), 30)


KINDS: tuple[Callable[[Sheet, Color], None], ...] = (page, slide, drawing, pattern)


def drawn(seed: int, number: int, fonts: Sequence[Path]) -> Image.Image:
    """Return picture ``number``: the kinds take turns, and every fifth is of two kinds."""
    chance = np.random.default_rng((seed, number))
    ground, ink = two_colors(chance)
    sheet = Sheet(chance, fonts, ground)
    KINDS[number % len(KINDS)](sheet, ink)
    if number % 5 == 0:
        KINDS[(number // 5) % len(KINDS)](sheet, ink)
    return sheet.finished()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--fonts", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    fonts = sorted(options.fonts.rglob("*.ttf")) if options.fonts else []
    for number in range(options.count):
        drawn(options.seed, number, fonts).save(options.folder / f"{number:04}.png")


if __name__ == "__main__":
    main()

"""Contact sheets: pictures side by side, each with a line of text under it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from upscale_cli.images.opencv import cv2
from upscale_cli.images.picture import Picture, Pixels

GAP, TEXT_HEIGHT, LINE_HEIGHT, TEXT_SIZE = 8, 32, 24, 18
MOST_COLUMNS = 3


def contact_sheet(cells: Sequence[Picture], labels: Sequence[str], most_columns: int = MOST_COLUMNS) -> Picture:
    """Return 8-bit pictures, unscaled, in rows on white, each label, of one or more lines, under its picture."""
    columns = min(most_columns, len(cells))
    rows = math.ceil(len(cells) / columns)
    height, width = max(cell.height for cell in cells), max(cell.width for cell in cells)
    text_height = TEXT_HEIGHT + LINE_HEIGHT * max(label.count("\n") for label in labels)
    row_height, column_width = height + text_height + GAP, width + GAP
    sheet = np.full((rows * row_height + GAP, columns * column_width + GAP, 3), 255, np.uint8)
    for index, (cell, label) in enumerate(zip(cells, labels, strict=True)):
        top, left = index // columns * row_height + GAP, index % columns * column_width + GAP
        sheet[top : top + cell.height, left : left + cell.width] = cell.color
        for line, text in enumerate(label.split("\n")):
            _write(sheet, text, left, top + height + TEXT_HEIGHT - GAP + line * LINE_HEIGHT)
    return Picture(sheet)


def text_strip(width: int, texts: Mapping[int, str]) -> Pixels:
    """Return a white strip (TEXT_HEIGHT, ``width``, 3) of uint8 with ``texts``, each begun at its column."""
    strip = np.full((TEXT_HEIGHT, width, 3), 255, np.uint8)
    for left, text in texts.items():
        _write(strip, text, left, TEXT_HEIGHT - GAP)
    return strip


def _write(sheet: Pixels, text: str, left: int, baseline: int) -> None:
    cv2.putText(sheet, text, (left, baseline), (0, 0, 0), cv2.FontFace("sans"), TEXT_SIZE)

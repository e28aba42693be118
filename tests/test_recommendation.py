"""The kind of a picture is told from its pixels and its file, and what suits it is there to be had."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from terminal import Terminal

from upscale_cli.images.read import read_picture
from upscale_cli.picture_kind import Kind, kind_of
from upscale_cli.recommendation import CLIP_SUGGESTIONS, SUGGESTIONS, measured
from upscale_cli.weights.manifest import load_manifest

SAMPLE = Path(__file__).parents[1] / "docs" / "pictures" / "sample.png"


def kind(path: Path) -> Kind:
    return kind_of(measured(path))[0]


def written(pixels: np.ndarray, path: Path, quality: int = 95) -> Path:
    """Write RGB or gray ``pixels``."""
    bgr = pixels[..., ::-1] if pixels.shape[-1] == 3 else pixels
    assert cv2.imwrite(str(path), np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


def drawing(colours: int) -> np.ndarray:
    """Return circles in gray (one channel) or colour, with black outlines on white."""
    canvas = np.full((256, 256, colours), 255, np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(40):
        centre = tuple(map(int, rng.integers(0, 256, 2)))
        fill = tuple(map(int, rng.integers(60, 200, 3))) if colours == 3 else 255
        cv2.circle(canvas, centre, 30, fill, -1)
        cv2.circle(canvas, centre, 30, (0,) * 3 if colours == 3 else 0, 2)
    return canvas


def test_line_art_and_animation_are_told_from_a_photograph(tmp_path: Path) -> None:
    assert kind(SAMPLE) == "clean photograph"
    assert kind(written(drawing(1), tmp_path / "lines.png")) == "line art"
    assert kind(written(drawing(3), tmp_path / "cartoon.png")) == "animation"


@pytest.mark.parametrize(("quality", "expected"), [(75, "degraded photograph"), (95, "clean photograph")])
def test_compression_degrades(tmp_path: Path, quality: int, expected: Kind) -> None:
    assert kind(written(read_picture(SAMPLE).color, tmp_path / "a.jpg", quality)) == expected


@pytest.mark.parametrize(("deviation", "expected"), [(3, "clean photograph"), (12, "degraded photograph")])
def test_noise_degrades(tmp_path: Path, deviation: float, expected: Kind) -> None:
    clean = read_picture(SAMPLE).color
    noise = np.random.default_rng(0).normal(0, deviation, clean.shape)
    assert kind(written((clean + noise).clip(0, 255).astype(np.uint8), tmp_path / "a.png")) == expected


@pytest.mark.parametrize("side", [1, 2, 9, 63])
def test_small_pictures_have_a_kind_too(tmp_path: Path, side: int) -> None:
    assert kind(written(read_picture(SAMPLE).color[:side, :side], tmp_path / "a.png")) in SUGGESTIONS


def test_only_visible_pixels_count(tmp_path: Path) -> None:
    picture = np.dstack([read_picture(SAMPLE).color, np.full((150, 226), 255, np.uint8)])
    picture[:, :150] = (0, 255, 0, 0)
    assert cv2.imwrite(str(tmp_path / "a.png"), picture)
    assert kind(tmp_path / "a.png") == "clean photograph"
    picture[..., 3] = 255
    assert cv2.imwrite(str(tmp_path / "a.png"), picture)
    assert measured(tmp_path / "a.png").flatness > 0.5


def test_what_is_suggested_opens_without_an_extra() -> None:
    tables = SUGGESTIONS, CLIP_SUGGESTIONS
    named = [suggestion.model for table in tables for three in table.values() for suggestion in three]
    records = [load_manifest().find(name) for name in named]
    assert len(records) == 24
    assert all(record.extra is None and record.kind == "generator" for record in records)


def test_the_command_says_kind_reason_and_three_networks(terminal: Terminal) -> None:
    said = terminal("models", "recommend", str(SAMPLE))
    assert "clean photograph (neither drawn" in said.err
    assert said.out.splitlines()[0].startswith("lite-x4 ")
    records = list(map(json.loads, terminal("models", "recommend", str(SAMPLE), "--json").out.splitlines()))
    assert [record["kind"] for record in records] == ["clean photograph"] * 3


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photos/0014.jpg", "animation"),
        ("photos/0030.jpg", "animation"),
        ("photos/ADE_val_00000114.jpg", "degraded photograph"),
        ("photos/wolf_gray.jpg", "clean photograph"),
        ("photos/tree_alpha_16bit.png", "clean photograph"),
        ("Set14/x4/HR/img_001.png", "clean photograph"),
        ("Set14/x4/HR/img_009.png", "clean photograph"),
        ("Set14/x4/HR/img_013.png", "animation"),
    ],
)
def test_known_pictures_have_the_kind_a_viewer_sees(shared: Path, name: str, expected: Kind) -> None:
    assert kind(shared / "data" / name) == expected

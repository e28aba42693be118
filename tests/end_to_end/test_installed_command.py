"""The installed `upscale` command, in processes of its own, with the embedded network and no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from upscale_cli.images.formats import FORMATS, by_name
from upscale_cli.images.picture import Animation, Metadata, Picture
from upscale_cli.images.read import read_image, read_picture
from upscale_cli.images.write import WriteOptions, write_image

ROOT = Path(__file__).resolve().parents[2]
UPSCALE = Path(sys.executable).with_name("upscale.exe" if sys.platform == "win32" else "upscale")
EXIF = b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x06\0\0\0\x1a\0\0\0\0\0\0\0Maker\0"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:ImageWidth="22"/></x:xmpmeta>'

pytestmark = pytest.mark.skipif(not UPSCALE.exists(), reason="the package is not installed in this environment")


def upscale(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(UPSCALE), *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def draw(channels: int, alpha: bool, depth: int) -> Picture:
    y, x = np.mgrid[0:17, 0:22]
    levels = np.dstack([(np.sin((x + c) / 5) + np.cos(y / 4) + 2) / 4 for c in range(4)])
    dtype = np.uint8 if depth == 8 else np.uint16
    pixels = np.rint(levels * np.iinfo(dtype).max).astype(dtype)
    color = np.ascontiguousarray(pixels[..., :channels])
    return Picture(color, pixels[..., 3].copy() if alpha else None, Metadata(None, EXIF, XMP))


@pytest.mark.parametrize("scale", [2, 4])
def test_every_kind_of_picture_is_enlarged_with_its_depth_alpha_and_metadata(tmp_path: Path, scale: int) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for known in FORMATS:
        for channels in (1, 3):
            for alpha in {False, known.alpha}:
                for depth in {8, min(16, max(known.depths))} & {8, 16}:
                    name = f"{known.name}_{channels}_{alpha}_{depth}{known.extensions[0]}"
                    write_image(draw(channels, alpha, depth), source / name, WriteOptions(known))
    frames = tuple(draw(3, False, 8) for _ in range(2))
    for name in ("gif", "webp", "png"):
        known = by_name(name)
        write_image(Animation(frames, (70, 300)), source / f"moving_{name}{known.extensions[0]}", WriteOptions(known))

    done = upscale(source, "-s", scale, "-o", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    for path in sorted(source.iterdir()):
        before, after = read_image(path), read_image(tmp_path / "out" / path.name)
        if isinstance(before, Animation):
            assert isinstance(after, Animation), path.name
            assert after.durations_ms == before.durations_ms
        before, after = before.frames[0], after.frames[0]
        assert (after.height, after.width) == (17 * scale, 22 * scale), path.name
        assert (after.depth, after.color.shape[2]) == (before.depth, before.color.shape[2]), path.name
        assert (after.alpha is None) == (before.alpha is None), path.name
        assert (b"Maker" in (after.metadata.exif or b"")) == (b"Maker" in (before.metadata.exif or b"")), path.name
        if before.metadata.xmp:
            assert f'ImageWidth="{22 * scale}"'.encode() in (after.metadata.xmp or b""), path.name


def test_the_readmes_sample_is_enlarged_without_network(tmp_path: Path) -> None:
    sample = ROOT / "docs" / "pictures" / "sample.png"
    done = upscale(sample, "-s", 4, "-o", "sample_x4.png", "--device", "cpu", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_picture(tmp_path / "sample_x4.png").width == 4 * read_picture(sample).width
    assert "lite-x4" in done.stderr


def test_the_readme_starts_with_two_commands_and_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert first is not None
    assert len(first[1].strip().splitlines()) == 2
    assert "sample.png" in first[1]
    assert "pytest" in first[1]
    from upscale_cli.cli import COMMANDS

    assert all(f"upscale {name}" in readme for name in COMMANDS)


def test_options_that_work_together_do(tmp_path: Path) -> None:
    write_image(draw(3, True, 8), tmp_path / "a.png", WriteOptions(by_name("png")))
    arguments = ["a.png", "-s", "3.3", "--tta", "--tile", "17", "--half", "--alpha-upsampler", "bicubic", "--compare"]
    done = upscale(*arguments, "-o", "b.webp", "--quality", "80", "--threads", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_picture(tmp_path / "b.webp").width == round(22 * 3.3)
    assert (tmp_path / "b_compare.png").exists()


def test_the_benchmark_runs_and_prints_its_figures(tmp_path: Path) -> None:
    done = upscale("benchmark", "-m", "lite-x4", "--size", "40x30", "--repeat", "1", "--device", "cpu", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [word in done.stdout for word in ("plain fp32", "--half", "of peak")] == [True] * 3

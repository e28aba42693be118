"""``upscale kernel``: estimates, drawings, downsampling, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from terminal import Terminal

from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Metadata, Picture, Pixels
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.kernels import blur_kernel
from upscale_cli.kernels.blur_kernel import centred
from upscale_cli.kernels.downsampling import downsample
from upscale_cli.kernels.files import read_kernel, write_kernel
from upscale_cli.kernels.gaussian import gaussian
from upscale_cli.kernels.similarity import correlation
from upscale_cli.kernels.values import covariance
from upscale_cli.levels import to_pixels

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'


def save(
    name: str, height: int = 80, width: int = 96, channels: int = 3, deep: bool = False, alpha: bool = False
) -> None:
    """A picture with detail at all scales."""
    rng = np.random.default_rng(height)
    plane = np.cumsum(np.cumsum(rng.normal(size=(height, width, channels)), 0), 1)
    levels = 240 * (plane - plane.min()) / (plane.max() - plane.min()) + rng.uniform(0, 15, plane.shape)
    color: Pixels = (levels * 257).astype(np.uint16) if deep else levels.astype(np.uint8)
    transparency = np.full((height, width), 180, np.uint8) if alpha else None
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_image(Picture(color, transparency, Metadata(xmp=XMP)), Path(name), WriteOptions(by_name("png")))


def test_a_picture_gives_a_kernel_and_its_drawing(terminal: Terminal) -> None:
    save("photo.png")
    said = terminal("kernel", "photo.png", "--iterations", "3")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("photo.png -> photo_kernel.mat, ")
    assert "covariance [[" in said.out
    assert "similarity to bicubic" in said.out
    assert "agreement" not in said.out
    assert read_kernel(Path("photo_kernel.mat")).scale == 2
    assert read_picture(Path("photo_kernel.png")).width >= 340


@pytest.mark.parametrize("kind", ["mat", "npy", "json"])
def test_the_extension_chooses_the_file(terminal: Terminal, kind: str) -> None:
    save("photo.png")
    assert terminal("kernel", "photo.png", "--prior", "gaussian", "-s", "4", "-o", f"new/k.{kind}", "-q").out == ""
    assert read_kernel(Path(f"new/k.{kind}")).scale == 4
    assert Path("new/k.png").exists()


@pytest.mark.parametrize(("channels", "deep", "alpha"), [(1, False, False), (3, True, False), (3, False, True)])
def test_gray_deep_and_transparent_pictures_have_the_kernel_of_their_colours(
    terminal: Terminal, channels: int, deep: bool, alpha: bool
) -> None:
    """A picture whose power falls as that of photographs does, downsampled by a slanted Gaussian, which is found."""
    truth = centred(gaussian(np.array([[4.0, 1.5], [1.5, 2.0]]), 2), 2)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(600), np.fft.fftfreq(600)))
    frequency[0, 0] = np.inf
    noise = np.random.default_rng(0).normal(size=(600, 600))
    plane = np.fft.ifft2(np.fft.fft2(noise) * frequency**-1.2).real
    hr = torch.from_numpy(0.5 + 0.12 * plane / plane.std()).clamp(0, 1).expand(1, channels, 600, 600)
    pixels = to_pixels(downsample(hr, truth, 2), np.uint16 if deep else np.uint8)
    transparency = (255 * (np.indices((300, 300)).sum(0) % 2)).astype(np.uint8) if alpha else None
    write_image(Picture(pixels, transparency), Path("photo.png"), WriteOptions(by_name("png")))
    assert terminal("kernel", "photo.png", "--prior", "gaussian").code == 0
    assert correlation(read_kernel(Path("photo_kernel.mat")).values, truth.values) > 0.99


def test_the_same_seed_gives_the_same_file(terminal: Terminal) -> None:
    save("photo.png")
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert terminal("kernel", "photo.png", "--iterations", "3", "--seed", seed, "-o", f"{name}.npy", "-q").code == 0
    first, again, other = (Path(f"{name}.npy").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_json_holds_what_was_found(terminal: Terminal) -> None:
    save("photo.png")
    said = terminal("kernel", "photo.png", "--iterations", "2", "--runs", "2", "--json", "--real")
    found = json.loads(said.out)
    kernel = read_kernel(Path("photo_kernel.mat"))
    assert found["status"] == "done"
    assert found["target"] == "photo_kernel.mat"
    assert (found["scale"], found["size"]) == (2, kernel.size)
    assert np.allclose(found["covariance"], covariance(kernel.values))
    assert 0 < found["agreement"] <= 1
    assert -1 <= found["bicubic_similarity"] <= 1


def test_folders_are_done_as_far_as_they_can_be_and_then_gone_on_with(terminal: Terminal) -> None:
    for name in ("dir/a.png", "dir/in/b.png"):
        save(name)
    save("dir/small.png", 30, 30)
    Path("dir/notes.txt").write_text("no picture")
    said = terminal("kernel", "dir", "-r", "--prior", "gaussian", "--format", "json")
    assert said.code == 1
    assert "s, results in dir_kernel; 1 failed; 1 file skipped: not a picture.\n" in said.out
    assert said.err == "Failed: dir/small.png has only 30x30 pixels, too few to estimate its kernel from. " + (
        "At least 64x64 are needed.\n"
    )
    assert sorted(path.as_posix() for path in Path("dir_kernel").rglob("*.*")) == [
        "dir_kernel/a.json",
        "dir_kernel/a.png",
        "dir_kernel/in/b.json",
        "dir_kernel/in/b.png",
    ]
    save("dir/small.png", 64, 64)
    said = terminal("kernel", "dir", "-r", "--prior", "gaussian", "--format", "json")
    assert said.code == 0
    assert "1 done in " in said.out
    assert "; 2 already there" in said.out


def test_a_drawing_is_not_replaced_unasked(terminal: Terminal) -> None:
    save("photo.png")
    Path("photo_kernel.png").write_bytes(b"mine")
    said = terminal("kernel", "photo.png", "--prior", "gaussian")
    assert (said.code, "photo_kernel.png exists already." in said.err) == (4, True)
    assert Path("photo_kernel.png").read_bytes() == b"mine"
    assert not Path("photo_kernel.mat").exists()


def test_json_tells_what_was_skipped_and_what_failed(terminal: Terminal) -> None:
    save("dir/a.png")
    assert terminal("kernel", "dir", "--prior", "gaussian", "-q").out == ""
    save("dir/small.png", 30, 30)
    said = terminal("kernel", "dir", "--prior", "gaussian", "--json")
    rows = {row["source"]: row for row in map(json.loads, said.out.splitlines())}
    assert said.code == 1
    assert {name: row["status"] for name, row in rows.items()} == {"dir/a.png": "skipped", "dir/small.png": "failed"}
    assert rows["dir/small.png"]["code"] == 3
    assert all(row["record"] == "kernel" for row in rows.values())


def test_the_picture_is_enlarged_with_its_kernel_on_request(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale_cli.zero_shot.zssr.ITERATIONS", 2)
    save("dir/photo.png", 64, 70)
    save("dir/second.png", 66, 64, channels=1)
    arguments = ("kernel", "dir", "--prior", "gaussian", "--upscale")
    assert terminal(*arguments).code == 0
    assert read_picture(Path("dir_kernel/photo_x2.png")).color.shape == (128, 140, 3)
    assert read_picture(Path("dir_kernel/second_x2.png")).color.shape == (132, 128, 1)
    Path("dir_kernel/second_x2.png").unlink()
    made = Path("dir_kernel/photo_x2.png").stat().st_mtime_ns
    said = terminal(*arguments)
    assert (said.code, Path("dir_kernel/second_x2.png").exists()) == (0, True)
    assert Path("dir_kernel/photo_x2.png").stat().st_mtime_ns == made


def test_a_folder_has_kernels_in_every_format_that_was_asked_for(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale_cli.zero_shot.zssr.ITERATIONS", 2)
    save("dir/photo.png", 64, 70)
    assert terminal("kernel", "dir", "--prior", "gaussian").code == 0
    said = terminal("kernel", "dir", "--prior", "gaussian", "--format", "npy", "--upscale")
    assert said.code == 0
    assert "already there" not in said.out
    assert np.allclose(
        read_kernel(Path("dir_kernel/photo.npy")).values, read_kernel(Path("dir_kernel/photo.mat")).values
    )
    assert Path("dir_kernel/photo_x2.png").exists()


def test_a_run_that_ended_before_a_drawing_is_gone_on_with(terminal: Terminal) -> None:
    for name in ("dir/a.png", "dir/b.png"):
        save(name)
    assert terminal("kernel", "dir", "--prior", "gaussian").code == 0
    drawing, kernel = Path("dir_kernel/a.png"), Path("dir_kernel/a.mat")
    pixels, made = read_picture(drawing).color, kernel.stat().st_mtime_ns
    drawing.unlink()
    Path("dir_kernel/b.mat").unlink()
    Path("dir_kernel/b.png").unlink()
    said = terminal("kernel", "dir", "--prior", "gaussian")
    assert said.code == 0
    assert re.fullmatch(
        r"1 done in [\d.]+ s, results in dir_kernel; 1 already there \(--overwrite does them again\)\.",
        said.out.splitlines()[-1],
    )
    assert np.array_equal(read_picture(drawing).color, pixels)
    assert kernel.stat().st_mtime_ns == made


def test_an_enlarged_picture_is_not_replaced_unasked(terminal: Terminal) -> None:
    save("photo.png")
    save("photo_x4.png")
    said = terminal("kernel", "photo.png", "-s", "4", "--upscale")
    assert said.code == 4
    assert said.err == "Error: photo_x4.png exists already. Add --overwrite, or choose another name with -o.\n"
    assert not Path("photo_kernel.mat").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.png"], 3, "There is no file or folder missing.png."),
        (["small.png"], 3, "small.png has only 63x70 pixels, too few to estimate its kernel from. At least 64x64"),
        (["flat.png"], 3, "flat.png is flat: without edges its kernel cannot be estimated."),
        (["photo.png", "-s", "3"], 2, "'3' is not one of '2', '4'"),
        (
            ["photo.png", "-o", "kernel.txt"],
            2,
            "kernel.txt has no extension of a kernel file. Name it .mat, .npy or .json.",
        ),
        (["photo.png", "-o", "kernel.png"], 2, "kernel.png has no extension of a kernel file."),
        (["photo.png", "-o", "k.npy", "--format", "mat"], 2, "k.npy and --format mat contradict each other."),
        (["photo.png", "flat.png", "-o", "k.npy"], 2, "several"),
        (["photo.png", "-o", "there.json"], 4, "there.json exists already. Add --overwrite"),
        (["photo.png", "--prior", "gaussian", "--iterations", "9"], 2, "--prior gaussian needs no iterations."),
        (["photo.png", "--prior", "gaussian", "--real"], 2, "--prior gaussian finds the noise of any picture."),
        (["photo.png", "--runs", "0"], 2, "0 is not in the range"),
        (["show", "photo.png"], 3, "photo.png is not a kernel: its name does not end in .npy, .mat or .json."),
        (["show", "nan.npy"], 3, "nan.npy is not a kernel: some of its values are not finite."),
        (["show", "missing.npy"], 3, "Cannot read missing.npy"),
        (["show", "there.json", "-o", "there.txt"], 2, "there.txt has no extension of a picture format."),
        (["apply", "negative.npy", "photo.png"], 3, "negative.npy is not a kernel: its sum is -25, not positive."),
        (["apply", "there.json", "missing.png"], 3, "There is no file missing.png."),
        (["apply", "there.json", "photo.png", "-o", "flat.png"], 4, "flat.png exists already."),
        (["apply", "there.json", "dot.png"], 3, "dot.png is only 1x1 pixels. 2 and more are needed."),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(
    terminal: Terminal, arguments: list[str], code: int, said: str
) -> None:
    save("photo.png")
    save("small.png", 70, 63)
    for name, side in (("flat.png", 80), ("dot.png", 1)):
        write_image(Picture(np.full((side, side, 3), 9, np.uint8)), Path(name), WriteOptions(by_name("png")))
    write_kernel(Path("there.json"), blur_kernel.bicubic(2))
    np.save("nan.npy", np.full((5, 5), np.nan))
    np.save("negative.npy", np.full((5, 5), -1.0))
    result = terminal("kernel", *arguments)
    assert result.code == code
    assert said in result.err
    assert result.err.count("\n") == 1


def test_existing_files_are_replaced_on_request(terminal: Terminal) -> None:
    save("photo.png")
    Path("photo_kernel.mat").write_text("old")
    assert terminal("kernel", "photo.png", "--prior", "gaussian").code == 4
    assert terminal("kernel", "photo.png", "--prior", "gaussian", "--overwrite").code == 0
    assert read_kernel(Path("photo_kernel.mat")).scale == 2


def test_a_picture_named_like_a_verb_is_reached(terminal: Terminal) -> None:
    save("photo.png")
    Path("photo.png").rename("show")
    assert terminal("kernel", "estimate", "show", "--prior", "gaussian", "-q").code == 0
    assert Path("show_kernel.mat").exists()


def test_help_names_the_verbs_and_the_options_of_the_estimate(terminal: Terminal) -> None:
    said = terminal("kernel", "--help")
    assert said.code == 0
    for word in ("show", "apply", "--prior", "--runs", "--iterations", "--real"):
        assert word in said.out
    assert terminal("kernel").out == said.out


def test_show_prints_what_the_kernel_does(terminal: Terminal) -> None:
    write_kernel(Path("bicubic.json"), blur_kernel.bicubic(2))
    said = terminal("kernel", "show", "bicubic.json")
    assert said.code == 0
    facts = dict(line.split("  ", 1) for line in said.out.splitlines()[:-1])
    size = blur_kernel.bicubic(2).size
    assert facts["size"].strip() == f"{size}x{size}, for x2"
    assert facts["sum"].strip() == "1.0000"
    assert facts["centre of mass"].strip() == f"row {size // 2 + 0.5:.2f}, column {size // 2 + 0.5:.2f} (from 0)"
    assert facts["similarity to bicubic"].strip() == "1.0000"
    assert said.out.endswith("bicubic.json -> bicubic.png\n")


def test_the_drawing_shows_each_value_as_a_square(terminal: Terminal) -> None:
    values = np.zeros((5, 5))
    values[2:4, 2:4] = 0.25
    np.save("k.npy", values)
    assert terminal("kernel", "show", "k.npy", "-o", "drawn.png").code == 0
    drawing = read_picture(Path("drawn.png")).color
    square = 340 // 5
    levels = drawing[8 + square // 2 : 8 + 340 : square, 8 + square // 2 : 8 + 340 : square]
    assert levels.shape == (5, 5, 3)
    assert (levels[2:4, 2:4] == 255).all()
    assert (levels[4] == 0).all()


def test_apply_downsamples_a_picture_as_the_kernel_says(terminal: Terminal) -> None:
    save("hr.png", 81, 96)
    box = np.zeros((5, 5))
    box[2:4, 2:4] = 0.25
    np.save("box.npy", box)
    said = terminal("kernel", "apply", "box.npy", "hr.png")
    assert (said.code, said.out, said.err) == (0, "hr.png (96x81) -> hr_lrx2.png (48x41)\n", "")
    hr, lr = (read_picture(Path(name)) for name in ("hr.png", "hr_lrx2.png"))
    means = hr.color[:80].reshape(40, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(lr.color[:40] - means).max() <= 0.5
    assert lr.metadata.xmp == XMP


def test_apply_keeps_depth_and_transparency(terminal: Terminal) -> None:
    write_kernel(Path("k.mat"), blur_kernel.bicubic(2))
    save("deep.png", deep=True)
    save("clear.png", alpha=True)
    for name in ("deep", "clear"):
        assert terminal("kernel", "apply", "k.mat", f"{name}.png", "-s", "4", "-o", f"{name}_small.png", "-q").code == 0
    assert read_picture(Path("deep_small.png")).depth == 16
    clear = read_picture(Path("clear_small.png"))
    assert clear.alpha is not None
    assert (clear.alpha == 180).all()
    assert clear.color.shape == (20, 24, 3)

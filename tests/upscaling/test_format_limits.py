"""Results that their format cannot hold: refused before any work, in one sentence that names the limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from upscale_cli.errors import InputError, OutputError, UpscaleError
from upscale_cli.images.formats import by_name
from upscale_cli.images.picture import Picture
from upscale_cli.images.read import read_picture
from upscale_cli.images.write import WriteOptions, write_image
from upscale_cli.notices import ignore
from upscale_cli.upscaling import large
from upscale_cli.upscaling.job import Job, enlarge, read
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.progress import OnShare
from upscale_cli.upscaling.size import Size
from upscale_cli.upscaling.together import enlarge_together
from upscale_cli.upscaling.upscaler import Upscaler


def wide(folder: Path, width: int, name: str = "wide.png") -> Path:
    write_image(Picture(np.zeros((2, width, 3), np.uint8)), folder / name, WriteOptions(by_name(name[-3:])))
    return folder / name


def never(first: Picture, on_share: OnShare) -> Upscaler:
    raise AssertionError("it was worked on")


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "gif"])
def test_the_longest_side_is_written_and_read_and_no_longer_one(name: str, tmp_path: Path) -> None:
    known = by_name(name)
    assert known.longest is not None
    longest = Picture(np.zeros((1, known.longest, 3), np.uint8))
    write_image(longest, tmp_path / "a", WriteOptions(known))
    assert read_picture(tmp_path / "a").width == known.longest
    for height, width in ((1, known.longest + 1), (known.longest + 1, 1)):
        longer = Picture(np.zeros((height, width, 3), np.uint8))
        with pytest.raises(OutputError, match=f"{name} cannot hold {width}x{height} pixels: its sides have at most"):
            write_image(longer, tmp_path / "b", WriteOptions(known))
    assert not (tmp_path / "b").exists()


def test_avif_holds_no_more_pixels_than_its_readers_take() -> None:
    assert by_name("avif").refusal(16_384, 16_384) is None
    assert by_name("avif").refusal(16_384, 16_385) == (
        "avif cannot hold 16385x16384 pixels: it has at most 268,435,456"
    )


@pytest.mark.parametrize(
    ("target", "comparison", "reason"),
    [
        ("a.webp", None, "a.webp: webp cannot hold 18000x4 pixels: its sides have at most 16,383."),
        ("a.avif", None, "a.avif: avif cannot hold 36000x8 pixels: its sides have at most 32,768."),
        ("a.jpg", None, "a.jpg: jpeg cannot hold 72000x16 pixels: its sides have at most 65,500."),
        ("a.jpg", "a_compare.jpg", "a_compare.jpg: jpeg cannot hold 72000x8 pixels"),
    ],
)
def test_it_is_refused_before_any_work(target: str, comparison: str | None, reason: str, tmp_path: Path) -> None:
    source = wide(tmp_path, 9000)
    wanted = int(reason.split(" cannot hold ")[1].split("x")[0]) / 9000
    job = Job(source, Path(target), Path(comparison) if comparison else None)
    size = Size(scale=wanted / 2 if comparison else wanted)
    alone = enlarge(job, read_picture(source), size, never)
    together = enlarge_together([(job, read_picture(source))], size, never, [lambda share, detail: None])
    for outcome in (alone, *together):
        error = getattr(outcome, "error", None)
        assert isinstance(error, UpscaleError)
        assert reason in str(error)
        assert "Choose --format png or tiff, or a smaller size." in str(error)


def test_a_picture_in_files_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "SHARE_OF_FREE_MEMORY", 0)
    job = Job(wide(tmp_path, 33_000), tmp_path / "a.jpg")
    outcome = read(job, UpscaleOptions(scale=2), lambda path, most: pytest.fail("it was read"), ignore)
    assert "jpeg cannot hold 66000x4 pixels: its sides have at most 65,500." in str(getattr(outcome, "error", None))


def test_a_dry_run_says_so(terminal: Terminal, tmp_path: Path, network: str) -> None:
    said = terminal(str(wide(tmp_path, 9000)), "-o", str(tmp_path / "a.webp"), "-m", network, "--dry-run")
    assert "which would fail" in said.out
    assert "webp cannot hold 18000x4 pixels: its sides have at most 16,383." in said.out
    said = terminal(str(wide(tmp_path, 9000)), "-o", str(tmp_path / "a.webp"), "-m", network)
    assert (said.code, said.err.count("\n")) == (4, 1)


def test_a_file_that_claims_more_than_its_library_takes_is_refused_unread(tmp_path: Path) -> None:
    data = bytearray(wide(tmp_path, 10).read_bytes())
    data[16:20] = (1_000_001).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"claims 1000001x2 pixels, and png cannot hold .* at most 1,000,000\."):
        read_picture(tmp_path / "a.png")

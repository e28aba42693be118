"""The settings of a folder's results: kept with the first run, compared by the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.settings import FILE, difference, keep, settings_of


def test_only_what_changes_pixels_counts() -> None:
    assert settings_of(UpscaleOptions()) == {"size": "x4"}
    assert settings_of(UpscaleOptions(tile=64, device="cpu", threads=2, scale=2)) == {"size": "x2"}
    assert settings_of(UpscaleOptions("lite-x4", tta=True, quality=80)) == {
        "size": "x4",
        "-m": "lite-x4",
        "--tta": "True",
        "--quality": "80",
    }


def test_other_settings_are_named_with_both_values(tmp_path: Path) -> None:
    keep(tmp_path, settings_of(UpscaleOptions("lite-x4")), overwrite=False)
    assert difference(tmp_path, settings_of(UpscaleOptions("lite-x4"))) == ()
    (notice,) = difference(tmp_path, settings_of(UpscaleOptions(scale=2, tta=True)))
    assert notice.severity == "warning"
    for part in ("--tta was the default, is True", "-m was lite-x4, is the default", "size was x4, is x2"):
        assert part in notice.text


def test_the_first_settings_stay_until_everything_is_done_again(tmp_path: Path) -> None:
    first, second = settings_of(UpscaleOptions(scale=2)), settings_of(UpscaleOptions(scale=3))
    keep(tmp_path / "new", first, overwrite=False)
    keep(tmp_path / "new", second, overwrite=False)
    assert difference(tmp_path / "new", first) == ()
    keep(tmp_path / "new", second, overwrite=True)
    assert difference(tmp_path / "new", second) == ()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"size": 3}', b"\xff"])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert difference(tmp_path, settings_of(UpscaleOptions())) == ()

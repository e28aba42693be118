"""Compiled networks, with a double of torch.compile: what compiling costs is said, and failing it is no failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_network import CPU, SPEC, Enlarge, enlarged, picture
from torch import Tensor

from upscale_cli import compilation
from upscale_cli.errors import DeviceError, UsageError
from upscale_cli.notices import Notice
from upscale_cli.upscaling.options import UpscaleOptions
from upscale_cli.upscaling.runner import NetworkRunner


@pytest.fixture
def told() -> list[Notice]:
    return []


def runner(cache: Path, told: list[Notice], tile: int = 0) -> NetworkRunner:
    return NetworkRunner(Enlarge(), SPEC, devices_used=[CPU], tile=tile, compiled=cache, notify=told.append)


def use(monkeypatch: pytest.MonkeyPatch, compiled: Callable[[Tensor], Tensor]) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, **options: compiled)
    monkeypatch.setattr(compilation, "COUNTED", -1)


def test_what_compiling_costs_is_said_for_two_shapes_and_never_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Notice]
) -> None:
    use(monkeypatch, Enlarge())
    enlarging = runner(tmp_path, told)
    for height, width in [(9, 7), (9, 7), (5, 6), (8, 8)]:
        assert np.array_equal(enlarging.run(picture(height, width)), enlarged(picture(height, width)))
    assert [notice.text for notice in told] == [
        "Compiling for tiles of 7x9 pixels took 0 s, and is kept for later runs.",
        "Compiling for tiles of 6x5 pixels took 0 s, and is kept for later runs.",
    ]


def test_without_a_compiler_the_network_runs_as_it_is_and_one_line_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Notice]
) -> None:
    tried: list[Any] = []

    def failing(planes: Tensor) -> Tensor:
        tried.append(planes)
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\n\nSet TORCH_LOGS for more.")

    use(monkeypatch, failing)
    pixels = picture(40, 60)
    assert np.array_equal(runner(tmp_path, told, tile=16).run(pixels), enlarged(pixels))
    assert len(tried) == 1
    said = "(InvalidCxxCompiler: No working C++ compiler found): going on without it."
    assert [notice.text for notice in told] == [f"torch.compile is not possible here {said}"]


def test_memory_that_does_not_suffice_is_not_taken_for_a_missing_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Notice]
) -> None:
    def large(planes: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    use(monkeypatch, large)
    with pytest.raises(DeviceError, match="Memory does not suffice"):
        runner(tmp_path, told).run(picture(16, 16))


def test_a_network_that_is_trained_for_one_picture_is_not_compiled() -> None:
    with pytest.raises(UsageError, match="--compile pays for long runs"):
        UpscaleOptions(kernel="auto", zssr=True, compile=True)

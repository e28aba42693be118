"""What all tests share: where the real data is, and reproducible, strict test runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
# Examples are the same on every run, and slow machines are no failure.
settings.register_profile("upscale", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("upscale")

SHARED = Path(os.environ.get("UPSCALE_SHARED", ROOT.parent / "shared"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs data or devices this machine lacks."""
    import torch

    no_shared = pytest.mark.skip(reason=f"no real weights and pictures at {SHARED}: set UPSCALE_SHARED")
    no_cuda = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(no_shared)
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(no_cuda)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights, golden outputs and pictures."""
    return SHARED


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache of weights or goes to the network by accident."""
    monkeypatch.setenv("UPSCALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")

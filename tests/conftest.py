"""What all tests share: where the real data is, and reproducible, strict test runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_network import save_tiny_network
from hypothesis import settings
from terminal import Terminal
from tiny_training import painted, save

ROOT = Path(__file__).resolve().parent.parent
# Examples are the same on every run, and slow machines are no failure; --hypothesis-profile=explore looks for new ones.
settings.register_profile("upscale", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("explore", deadline=None, derandomize=False, max_examples=2000, print_blob=True)
settings.load_profile("upscale")

# A shell starts what runs in its background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    # A core for each process: the others have tests of their own. So do the commands that tests run.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

SHARED = Path(os.environ.get("UPSCALE_SHARED", ROOT.parent / "shared"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs data or devices this machine lacks."""
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
    """No test touches the user's cache of weights and defaults, or goes to the network by accident."""
    monkeypatch.setenv("UPSCALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UPSCALE_OFFLINE", "1")
    monkeypatch.setenv("UPSCALE_CONFIG", str(tmp_path / "upscale.toml"))
    monkeypatch.delenv("UPSCALE_MODEL", raising=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Terminal:
    monkeypatch.chdir(tmp_path)
    return Terminal(capfd)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A weights file of a network too small to be slow: it enlarges twice."""
    return save_tiny_network(tmp_path_factory.mktemp("weights") / "tiny-x2.safetensors")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A Ray cluster of one node with one core, to which this process is connected; tests add and remove others."""
    ray: Any = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    on_sigterm, on_exception = signal.getsignal(signal.SIGTERM), sys.excepthook
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        ray.init(made.address, log_to_driver=False, logging_level="CRITICAL")
        yield made
        ray.shutdown()
        made.shutdown()
    signal.signal(signal.SIGTERM, on_sigterm)
    sys.excepthook = on_exception


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four pictures of different sizes."""
    folder = tmp_path_factory.mktemp("photos")
    for number, size in enumerate([(70, 90), (64, 64), (81, 67), (120, 75)]):
        save(painted(number, *size), folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def spandrel() -> Any:
    """The library; a torchvision of another build than PyTorch gets the operators it lacks, which no network calls."""
    if find_spec("spandrel") is None:
        pytest.skip("the extra is not installed: pip install 'upscale-cli[spandrel]'")
    import torch

    try:
        import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision").__dict__["library_of_tests"] = library  # its end would undefine them
    return import_module("spandrel")

"""Who may import whom: the rows of the house, the libraries that have one room each, and a light front door."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "upscale_cli"

# From the door down to the ground. A room imports rows below its own and its own files, but no room of its own row,
# with the one exception below: degrading the pictures of an evaluation is what ``evaluation`` offers.
ROWS = (
    ("cli",),
    ("api",),
    ("benchmarking", "recommendation", "upscalers"),  # measure or choose among what the next row does
    ("upscaling", "training", "kernel_estimation", "zero_shot"),
    ("evaluation", "weights", "degradation", "inference", "compilation", "picture_kind", "measures"),
    ("kernels", "networks", "images", "video", "pipeline", "transfer", "remote"),
    ("addresses", "atomic", "isolation", "metrics", "noise", "resize", "orientation", "tiling", "device"),
    ("errors", "notices", "borders", "levels"),
)
WITHIN_A_ROW = {("evaluation", "degradation")}
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
ONLY_IN = {
    "click": ("cli/",),
    "tqdm": ("cli/",),
    "requests": ("weights/http.py",),
    "cv2": ("images/",),
    "spandrel": ("networks/foreign.py",),
    "av": ("video/",),
    "ray": ("upscaling/engines/",),
    "fsspec": ("addresses.py",),
    "watchfiles": ("cli/watch.py",),
    "pyvips": ("images/libvips.py",),
}
DOOR = ("__init__", "__main__")  # the public names lie in many rooms, and are resolved when used


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all that is imported, inside functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(source: str, path: str) -> list[str]:
    """What the file at ``path``, relative to the package, must not import."""
    tree = ast.parse(source)
    room = path.split("/")[0].removesuffix(".py")
    wrong = []
    for name in imported(tree):
        library, *inside = name.split(".")
        if not path.startswith(ONLY_IN.get(library, ("",))):
            wrong.append(f"{path} imports {library}")
        if "images.opencv" in name and room != "images":
            wrong.append(f"{path} imports cv2 through images.opencv")
        other = inside[0] if library == "upscale_cli" and inside else room
        if (room, other) in WITHIN_A_ROW or room in DOOR or other == room or other not in ROW_OF:
            continue
        if ROW_OF[other] <= ROW_OF[room]:
            wrong.append(f"{path} imports {other}")
    if "torch.load(" in source and path != "weights/state_dict.py":
        wrong.append(f"{path} calls torch.load")
    return wrong


def files() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", files())
def test_a_file_imports_only_what_lies_below_it(path: str) -> None:
    assert violations((PACKAGE / path).read_text(encoding="utf-8"), path) == []


def test_every_room_has_its_row() -> None:
    assert {path.split("/")[0].removesuffix(".py") for path in files()} <= set(ROW_OF) | set(DOOR)


def test_every_room_is_in_the_page_for_contributors() -> None:
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for room in sorted({path.split("/")[0] for path in files()} - {f"{name}.py" for name in DOOR}):
        assert (room if room.endswith(".py") else f"{room}/") in page, f"CONTRIBUTING.md does not name {room}"


@pytest.mark.parametrize(("library", "place"), [(name, place) for name, places in ONLY_IN.items() for place in places])
def test_a_library_is_used_where_it_may_be(library: str, place: str) -> None:
    sources = [(PACKAGE / path).read_text(encoding="utf-8") for path in files() if path.startswith(place)]
    assert any(f"import {library}\n" in source or f"from {library} " in source for source in sources)


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("tiling.py", "from upscale_cli.weights.resolve import resolve", "tiling.py imports weights"),
        ("weights/load.py", "def f():\n    from upscale_cli import evaluation", "weights/load.py imports evaluation"),
        ("zero_shot/zssr.py", "import upscale_cli.upscaling.size", "zero_shot/zssr.py imports upscaling"),
        ("kernels/files.py", "from upscale_cli.images import read", "kernels/files.py imports images"),
        ("errors.py", "from upscale_cli import atomic", "errors.py imports atomic"),
        ("images/read.py", "import upscale_cli.cli.console", "images/read.py imports cli"),
        ("upscaling/job.py", "from tqdm import tqdm", "upscaling/job.py imports tqdm"),
        ("weights/resolve.py", "import requests", "weights/resolve.py imports requests"),
        ("metrics.py", "import cv2", "metrics.py imports cv2"),
        ("weights/load.py", "import spandrel", "weights/load.py imports spandrel"),
        ("upscaling/clip.py", "import av", "upscaling/clip.py imports av"),
        ("upscaling/job.py", "import ray", "upscaling/job.py imports ray"),
        (
            "training/step.py",
            "from upscale_cli.images.opencv import cv2",
            "training/step.py imports cv2 through images.opencv",
        ),
        ("networks/compact.py", "import torch\ntorch.load('x')", "networks/compact.py calls torch.load"),
    ],
)
def test_a_planted_violation_is_found(path: str, source: str, found: str) -> None:
    assert violations(source, path) == [found]


@pytest.mark.parametrize("module", ["upscale_cli", "upscale_cli.cli", "upscale_cli.cli.run", "upscale_cli.cli.models"])
def test_the_front_door_loads_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}; print(*sorted({{'torch', 'numpy', 'cv2', 'av', 'ray', 'fsspec'}} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_every_public_name_is_found_and_no_other() -> None:
    import upscale_cli

    assert all(getattr(upscale_cli, name) is not None for name in upscale_cli.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Upscalr'"):
        upscale_cli.Upscalr  # noqa: B018

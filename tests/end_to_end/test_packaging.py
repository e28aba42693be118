"""What is in the wheel and in the source distribution, and that the version is stated once."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import upscale_cli
from upscale_cli.weights.manifest import load_manifest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed in this environment")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    return folder


def test_the_wheel_holds_the_package_the_manifest_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    package = {name for name in names if name.startswith("upscale_cli/")}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "upscale_cli").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert package == here | {"upscale_cli/weights/weights_manifest.json"}
    assert {f"upscale_cli/weights/embedded/{record.file}" for record in load_manifest().embedded} <= package
    assert {"upscale_cli/py.typed", "upscale_cli/training/recipes/lite-x4.toml"} <= package
    rest = {name.split("/", 1)[1] for name in names - package}
    assert rest == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "licenses/THIRD_PARTY.md",
    }


def test_the_source_distribution_holds_what_builds_the_wheel_and_tests_it(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    needed = {"pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY.md", "weights_manifest.json", "tests/conftest.py"}
    assert needed <= names
    assert not any(name.startswith((".venv", "runs/")) or name.endswith(".pyc") for name in names)


def pinned(constraints: str) -> dict[str, str]:
    lines = (ROOT / constraints).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.replace("_", "-").lower(): version for name, version in pairs}


def test_every_dependency_is_pinned_as_tested_and_at_its_lowest_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest, lowest = pinned("constraints.txt"), pinned("constraints-lowest.txt")
    for requirement in project["dependencies"]:
        name, least = requirement.split(">=")
        assert name in newest, f"{name} is not in constraints.txt"
        if name != "torch":  # CI has one build of it
            assert f"{lowest.get(name)}.".startswith(f"{least}."), (
                f"{requirement} is not what constraints-lowest.txt pins"
            )


HASHED = re.compile(r"(\S+?)==(\S+?)(?:\+cpu)? --hash=sha256:[0-9a-f]{64}")


@pytest.mark.parametrize("names", [("requirements.txt", "sources.txt"), ("requirements-lowest.txt",)])
def test_ci_installs_what_the_constraints_pin_each_file_with_its_hash(names: tuple[str, ...]) -> None:
    texts = [(ROOT / ".ci" / name).read_text(encoding="utf-8") for name in names]
    lines = [line for text in texts for line in text.splitlines() if line[0] != "#"]
    found = [match for match in map(HASHED.fullmatch, lines) if match]
    assert len(found) == len(lines)
    versions = {match[1].replace("_", "-").lower(): match[2] for match in found}
    constraints = pinned("constraints.txt")
    lowest = "requirements-lowest.txt" in names
    if lowest:
        constraints |= pinned("constraints-lowest.txt")
    assert versions.items() <= constraints.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + (project["optional-dependencies"]["dev"] if not lowest else [])
    assert {re.split(r"\[|>=", requirement)[0].lower() for requirement in wanted} <= versions.keys()


def test_the_version_is_stated_once() -> None:
    assert importlib.metadata.version("upscale-cli") == upscale_cli.__version__
    stated = f'"{upscale_cli.__version__}"'
    assert stated not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert (ROOT / "upscale_cli" / "__init__.py").read_text(encoding="utf-8").count(stated) == 1

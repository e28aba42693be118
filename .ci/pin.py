"""Pin what CI installs, with hashes: writes requirements.txt, requirements-lowest.txt and sources.txt beside this file.

    .venv/bin/python .ci/pin.py

Run it after a change to pyproject.toml, constraints.txt or constraints-lowest.txt, with Python 3.11 on Linux (x86-64)
and where pip finds the CPU build of PyTorch. The hashes are those of the files that pip chooses there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCES = ("pyvips",)  # which have no wheels
HEAD = """\
# The files that CI installs: Python 3.11, Linux on x86-64, PyTorch's CPU build. Made by .ci/pin.py from {source}.
# People and other platforms use constraints.txt.
"""


def pinned(name: str) -> dict[str, str]:
    """Return the lines of a file of constraints by their packages."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line.partition("==")[0]: line for line in lines if line and not line.startswith("#")}


def requirements(constraints: dict[str, str], *wanted: str) -> str:
    """Return a line with its hash for each package that pip would install for ``wanted``."""
    with tempfile.TemporaryDirectory() as folder:
        limits, report = Path(folder) / "constraints.txt", Path(folder) / "report.json"
        limits.write_text("\n".join(constraints.values()), encoding="utf-8")
        options = ["--dry-run", "--ignore-installed", "--only-binary", ":all:", "--no-binary", ",".join(SOURCES)]
        options += ["-c", limits, "--report", report]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *options, *wanted], cwd=ROOT, check=True)
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    lines = []
    for item in chosen:
        found, file = item["metadata"], item["download_info"].get("archive_info")
        if file is not None:  # not this project itself
            lines.append(f"{found['name']}=={found['version']} --hash=sha256:{file['hashes']['sha256']}\n")
    return "".join(sorted(lines, key=str.lower))


def main() -> None:
    """Write the files."""
    tested, lowest = pinned("constraints.txt"), pinned("constraints-lowest.txt")
    files = {
        # hatchling builds an editable installation with editables, and setuptools PyVips with pkgconfig.
        "requirements.txt": ("constraints.txt", requirements(tested, "-e", ".[dev]", "editables", "pkgconfig")),
        "requirements-lowest.txt": (
            "constraints-lowest.txt",
            requirements(tested | lowest, "-e", ".", "pytest", "pytest-xdist", "hypothesis"),
        ),
    }
    source, lines = files["requirements.txt"]
    wheels, sources = [], []
    for line in lines.splitlines(keepends=True):
        (sources if line.partition("==")[0] in SOURCES else wheels).append(line)
    files |= {"requirements.txt": (source, "".join(wheels)), "sources.txt": (source, "".join(sources))}
    for name, (source, lines) in files.items():
        (HERE / name).write_text(HEAD.format(source=source) + lines, encoding="utf-8")


if __name__ == "__main__":
    main()

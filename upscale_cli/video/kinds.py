"""Which files are clips, which containers can be written, and whether PyAV is installed; loads nothing heavy."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from upscale_cli.errors import UsageError

WRITTEN = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
READ = frozenset(
    (*WRITTEN, ".avi", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts", ".vob", ".wmv", ".asf", ".flv", ".f4v", ".ogv")
) | {".ogm", ".3gp", ".3g2", ".mxf", ".y4m", ".nut", ".dv", ".rm", ".rmvb", ".h264", ".264", ".hevc", ".265"}
PATTERN = re.compile(r"%0?(\d*)d")
HOLDS_MOST = ".mkv"  # the container for clips from one that is only read


def is_clip(path: Path) -> bool:
    """Return whether the extension of ``path`` is that of a clip."""
    return path.suffix.lower() in READ


def is_pattern(path: str) -> bool:
    """Return whether ``path`` names numbered pictures, as ``frames/%06d.png`` does."""
    return PATTERN.search(Path(path).name) is not None


def container_for(source: Path) -> str:
    """Return the extension that the result of ``source`` has by default."""
    return source.suffix if source.suffix.lower() in WRITTEN else HOLDS_MOST


def require_pyav() -> None:
    """Raise UsageError where PyAV is not installed."""
    if find_spec("av") is None:
        raise UsageError("Video needs an extra.", "Run: pip install 'upscale-cli[video]'")

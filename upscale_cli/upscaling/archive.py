"""Comics and ZIP files of pictures: pages out of an archive, and larger ones back into another.

Nothing in an archive decides where a file is written: pages are numbered, and what leads out of the archive is refused.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Self

from upscale_cli import atomic
from upscale_cli.errors import InputError
from upscale_cli.images import formats

SUFFIXES = (".cbz", ".zip")
MOST_FILES, MOST_BYTES, MOST_RATIO = 10_000, 2**34, 1000
_DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error)


class Archive:
    """A ZIP file of pictures, opened and found harmless. ``pages``: its pictures, in its order. Raises InputError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError as error:
            raise InputError(f"There is no file {path}.", "Check the path.") from error
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.", "Check its permissions.") from error
        except _DAMAGE as error:
            raise InputError(f"{path} is no ZIP file, or damaged.", "Copy or download it again.") from error
        self.entries = self._zip.infolist()
        self._require_harmless()
        self.pages = [entry for entry in self.entries if _is_page(entry)]
        if not self.pages:
            raise InputError(f"There are no pictures in {path}.", "Check the file.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._zip.close()

    def _require_harmless(self) -> None:
        names, size = [entry.filename for entry in self.entries], sum(entry.file_size for entry in self.entries)
        if len(names) > MOST_FILES:
            raise InputError(f"{self.path} holds {len(names)} files, more than {MOST_FILES}.", "Split it.")
        if size > min(MOST_BYTES, MOST_RATIO * max(1, self.path.stat().st_size)):
            raise InputError(f"{self.path} claims {size} bytes, more than it can honestly hold.", "Check the file.")
        if len(set(names)) < len(names):
            raise InputError(f"{self.path} holds two files of one name.", "Pack it anew in another program.")
        for entry in self.entries:
            if entry.flag_bits & 1:
                raise InputError(f"{self.path} is encrypted.", "Unpack it, and enlarge the folder.")
            if _leads_out(entry):
                raise InputError(f"{self.path} holds {entry.filename!r}, which leads out of it.", "Do not trust it.")

    def extract(self, entry: zipfile.ZipInfo, target: Path) -> None:
        """Write the content of ``entry`` to ``target``. Raises InputError where it is damaged, and OutputError."""
        try:
            with atomic.replacing(target) as temporary, self._zip.open(entry) as content, temporary.open("wb") as file:
                shutil.copyfileobj(content, file)
        except _DAMAGE as error:
            raise InputError(f"{self.path} is damaged at {entry.filename!r}.", "Copy or download it again.") from error

    def rebuild(self, target: Path, pages: Mapping[str, Path], replaces: bool) -> None:
        """Write the archive to ``target`` with the files ``pages``, which give the suffix, in place of entries by name.

        Order, other files and their dates are kept. Raises InputError where those are damaged, and OutputError.
        """
        try:
            with atomic.replacing(target, replaces=replaces) as temporary, zipfile.ZipFile(temporary, "w") as made:
                for entry in self.entries:
                    page = pages.get(entry.filename)
                    name = entry.filename if page is None else renamed(entry.filename, page.suffix)
                    written = zipfile.ZipInfo(name, entry.date_time)
                    written.external_attr = entry.external_attr
                    written.compress_type = zipfile.ZIP_DEFLATED if page is None else zipfile.ZIP_STORED
                    with (
                        self._zip.open(entry) if page is None else page.open("rb") as content,
                        made.open(written, "w", force_zip64=True) as file,
                    ):
                        shutil.copyfileobj(content, file)
        except _DAMAGE as error:
            raise InputError(f"{self.path} is damaged.", "Copy or download it again.") from error


def renamed(name: str, suffix: str) -> str:
    """Return ``name`` with the ``suffix`` of the result, its own where both are of one format."""
    path = PurePosixPath(name)
    same = formats.of_path(Path(name)) == formats.of_path(Path(f"a{suffix}"))
    return name if same else str(path.with_suffix(suffix))


def _is_page(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not entry.is_dir() and not hidden and path.suffix.lower() in formats.EXTENSIONS


def _leads_out(entry: zipfile.ZipInfo) -> bool:
    """Return whether unpacking ``entry`` might write elsewhere: by its name, or as a link."""
    name = entry.filename.replace("\\", "/")
    outside = name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/")
    return outside or stat.S_ISLNK(entry.external_attr >> 16)

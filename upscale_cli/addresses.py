"""Addresses of files in stores that fsspec reaches (s3://, gs://, hf:// …): what they name, and what is there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape, has_magic
from importlib.util import find_spec
from logging import NullHandler, getLogger
from pathlib import Path, PosixPath
from typing import Any

from upscale_cli.errors import InputError, UpscaleError, UsageError

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://.")
ON_DISK = ("file:", "local:")  # whose addresses name no host
PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "hf": "huggingface_hub",
}
CHECK = "Check the address and your permissions."
# Stores whose addresses begin with a bucket, which is the user's to make.
WITH_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})


@dataclass(frozen=True)
class Entry:
    """A file or folder in a folder of a store, as ``os.scandir`` tells of those of a disk."""

    name: str
    folder: bool

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self.folder

    def is_symlink(self) -> bool:
        """Return False: stores are not asked for links."""
        return False


class Address(PosixPath):
    """An address in a store. Its parts, parents and names are those of a path; what there is, the store tells."""

    def __str__(self) -> str:
        """Return the address with the slashes that a path has not."""
        slashes = "///" if self.parts[0] in ON_DISK else "//"
        return super().__str__().replace(":/", f":{slashes}", 1)

    @property
    def protocol(self) -> str:
        """The store's kind."""
        return self.parts[0].removesuffix(":")

    @property
    def bucket(self) -> Address | None:
        """The bucket, None where the store has none."""
        return Address(*self.parts[:2]) if self.protocol in WITH_BUCKETS else None

    def resolve(self, strict: bool = False) -> Address:
        """Return the address itself."""
        return self

    def exists(self, **_: Any) -> bool:
        """Return whether there is a file or folder. Raises InputError where the store does not tell."""
        with explained(f"Cannot read {self}"):
            store, path = store_of(self)
            return bool(store.exists(path))

    def is_dir(self, **_: Any) -> bool:
        """Return whether there is a folder. Raises InputError where the store does not tell."""
        with explained(f"Cannot read {self}"):
            store, path = store_of(self)
            return bool(store.isdir(path))

    def is_symlink(self) -> bool:
        """Return False: stores are not asked for links."""
        return False

    def read_bytes(self) -> bytes:
        """Return the file's content. Raises InputError."""
        with explained(f"Cannot read {self}"):
            store, path = store_of(self)
            return bytes(store.cat_file(path))

    def entries(self) -> list[Entry]:
        """Return what is in the folder, nothing where there is none. Raises InputError."""
        with explained(f"Cannot read the folder {self}"):
            store, path = store_of(self)
            store.invalidate_cache()
            with suppress(FileNotFoundError):
                listed = [(str(each["name"]).rstrip("/"), each["type"]) for each in store.ls(path, detail=True)]
                names = [(name.rsplit("/", 1)[-1], kind) for name, kind in listed if name.strip("/") != path.strip("/")]
                return [Entry(name, kind == "directory") for name, kind in names if name]
        return []

    def matches(self) -> list[Address]:
        """Return the visible files that the address names as a pattern, in order. Raises InputError."""
        with explained(f"Cannot read {self}"):
            base = next(parent for parent in self.parents if not has_magic(str(parent)) or parent.is_dir())
            store, inside = store_of(Address(base))
            pattern = self.relative_to(base).as_posix()
            names = [str(found)[len(inside) :].lstrip("/") for found in store.glob(f"{escape(inside)}/{pattern}")]
            hidden = re.compile(r"(?:^|/)\.")
            return sorted(Address(base / name) for name in names if hidden.search(pattern) or not hidden.search(name))


def is_address(text: str) -> bool:
    """Return whether ``text`` names a file or folder in a store."""
    return SCHEME.match(text) is not None


def place(text: str) -> Path:
    """Return the path, or the address, that ``text`` names. Raises UsageError where a package is missing."""
    if not is_address(text):
        return Path(text)
    if os.name == "nt":
        raise UsageError(f"{text}: addresses are not for Windows.", "Use WSL, or copy the files.")
    if find_spec("fsspec") is None:
        raise UsageError(f"{text} needs an extra.", "Run: pip install 'upscale-cli[remote]'")
    address = Address(text)
    store_of(address)
    return address


def store_of(address: Address) -> tuple[Any, str]:
    """Return the store of ``address``, and its path there.

    Raises UsageError where a package is missing, and InputError where it cannot be reached.
    """
    import fsspec

    try:
        store, path = fsspec.core.url_to_fs(str(address), use_listings_cache=False)
    except ImportError as error:
        reason = str(error).strip().rstrip(".")
        package = PACKAGES.get(address.protocol)
        hint = f"Run: pip install {package}" if package else "Install it beside upscale-cli."
        raise UsageError(f"{address} needs a package: {reason}.", hint) from error
    except ValueError as error:
        raise UsageError(f"{address} is of no kind that fsspec knows.", "Use s3://, gs://, hf:// …") from error
    except Exception as error:  # some ask their server at once
        raise InputError(
            f"Cannot reach {address}: {_reason(error)}.", "Check the address and your permissions."
        ) from error
    # What its library logs goes to who listens, not to the terminal.
    getLogger(type(store).__module__.split(".")[0]).addHandler(NullHandler())
    return store, path.rstrip("/")


@contextmanager
def explained(what: str, kind: type[UpscaleError] = InputError) -> Iterator[None]:
    """Turn whatever a store's library raises into ``kind`` with one sentence; each has exceptions of its own."""
    try:
        yield
    except UpscaleError:
        raise
    except Exception as error:
        absent = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if absent else _reason(error)
        raise kind(f"{what}: {reason}.", CHECK, by_place=not absent) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def shared_place(folders: Sequence[Path]) -> Path:
    """Return the folder that all ``folders`` share. Raises ValueError where there is none, as on several drives."""
    shared = type(folders[0])(os.path.commonpath(folders))
    stores = {folder.parts[:2] if isinstance(folder, Address) else () for folder in folders}
    if len(stores) > 1:
        raise ValueError("several stores")
    return shared

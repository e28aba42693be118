"""Files in stores: fetched, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir

from upscale_cli.addresses import Address, explained, store_of
from upscale_cli.atomic import HOST, is_running
from upscale_cli.errors import OutputError, UpscaleError

TRANSFERS = 8  # files that come from a store, or go to it, at once: each waits for its answers most of the time
# Stores where an object appears with its last byte; elsewhere a file is uploaded under another name, and moved.
WHOLE_AT_ONCE = frozenset(
    {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "oci", "ocilake", "oss", "r2", "memory"}
)
# Stores that refuse an object which appeared in the meantime, without a moment between asking and writing.
CREATES = frozenset({"s3", "s3a", "gs", "gcs"})


@contextmanager
def fetched(source: Path) -> Iterator[Path]:
    """Yield the local file ``source``, or a copy of that in a store, which goes in the end. Raises InputError."""
    if not isinstance(source, Address):
        yield source
        return
    with _own_folder() as folder:
        copy = folder / source.name
        with explained(f"Cannot read {source}"):
            store, path = store_of(source)
            store.get_file(path, str(copy))
        with _named(copy, source):
            yield copy


@contextmanager
def written(target: Path, replaces: bool = True) -> Iterator[Path]:
    """Yield the local file ``target``, or one that becomes that in a store, whole or not at all.

    Without ``replaces`` a file that is there is kept. Raises OutputError.
    """
    if not isinstance(target, Address):
        yield target
        return
    with _own_folder() as folder:
        copy = folder / target.name
        with _named(copy, target):
            yield copy
        if copy.exists():
            _put(copy, target, replaces)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Yield a temporary folder, which goes in the end; those of killed processes of this machine go with it."""
    _remove_those_of_killed()
    prefix = f"upscale-{HOST}-{os.getpid()}-"
    with TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@cache
def _remove_those_of_killed() -> None:
    for folder in Path(gettempdir()).glob(f"upscale-{HOST}-*-*"):
        process = folder.name.split("-")[2]
        if process.isdigit() and not is_running(int(process)):
            rmtree(folder, ignore_errors=True)


def write_bytes(target: Address, data: bytes) -> None:
    """Write ``data`` to ``target``. Raises OutputError."""
    with written(target) as copy:
        copy.write_bytes(data)


def _put(copy: Path, target: Address, replaces: bool) -> None:
    with explained(f"Cannot write {target}", OutputError):
        store, path = store_of(target)
        if target.protocol in CREATES and not replaces:
            try:
                store.put_file(str(copy), path, mode="create")
                return
            except FileExistsError as error:
                raise _appeared(target) from error
            except OSError as error:  # some that speak S3 do not know how
                if error.errno != errno.ENOSYS:
                    raise
        if not replaces and store.exists(path):
            raise _appeared(target)
        if target.protocol in WHOLE_AT_ONCE:
            store.put_file(str(copy), path)
            return
        store.makedirs(store._parent(path), exist_ok=True)
        temporary = f"{store._parent(path)}/.upscale-{secrets.token_hex(8)}.tmp{target.suffix}"
        try:
            store.put_file(str(copy), temporary)
            store.mv(temporary, path)
        except BaseException:
            with suppress(Exception):
                store.rm_file(temporary)
            raise


def _appeared(target: Address) -> OutputError:
    text = f"{target} was made by another program in the meantime, and is kept."
    return OutputError(text, "Add --overwrite, or choose another name with -o.")


@contextmanager
def _named(copy: Path, address: Address) -> Iterator[None]:
    """Name ``address`` in the place of its ``copy`` where something is said of it."""
    try:
        yield
    except UpscaleError as error:
        raise error.saying(error.message.replace(str(copy), str(address))) from error


def existing(outputs: Sequence[Path]) -> set[Path]:
    """Return those of ``outputs`` that exist; a store's folders are listed for it, each once.

    Raises InputError where a store does not tell, and OutputError where the bucket for them is not there.
    """
    folders = [folder for folder in dict.fromkeys(path.parent for path in outputs) if isinstance(folder, Address)]
    listed = {folder / entry.name for folder in folders for entry in folder.entries()}
    empty = {folder.bucket for folder in folders} - {path.bucket for path in listed if isinstance(path, Address)}
    for bucket in sorted(bucket for bucket in empty if bucket and not bucket.exists()):
        raise OutputError(f"There is no bucket {bucket}.", "Make it, or choose another with -o.")
    return {path for path in outputs if (path in listed if isinstance(path, Address) else path.exists())}

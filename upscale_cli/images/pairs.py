"""Which picture belongs to which by their names: ground truth and results, HR and LR."""

from __future__ import annotations

import re
from pathlib import Path

from upscale_cli.errors import InputError
from upscale_cli.images.formats import EXTENSIONS


def pictures_in(folder: Path, recursive: bool = False) -> list[Path]:
    """Return the pictures of a folder, sorted; hidden ones are left out. Raises InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Check the path.")
    found = []
    for path in folder.rglob("*") if recursive else folder.iterdir():
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not is_hidden and path.suffix.lower() in EXTENSIONS and path.is_file():
            found.append(path)
    if not found:
        raise InputError(f"There are no pictures in {folder}.", "Check the path.")
    return sorted(found)


def paired(truth: Path, other: Path, recursive: bool = False, kind: str = "result") -> list[tuple[Path, Path]]:
    """Return (truth, other) for every picture of the folder ``truth``, or of two files.

    Messages name the others by ``kind``.

    baby.png belongs to baby.png, baby_x4.png, babyx4.png or, in the usual packaging of Set5, img_001_SRF_4_HR to
    img_001_SRF_4_LR. Raises InputError naming those without exactly one partner.
    """
    if not truth.is_dir() and not other.is_dir():
        return [(truth, other)]
    if not truth.is_dir() or not other.is_dir():
        raise InputError(f"{truth} and {other} must be two folders or two files.", "Check the paths.")
    truths, others = pictures_in(truth, recursive), pictures_in(other, recursive)
    partners_of = _partners({path: _key(path, truth) for path in truths}, {path: _key(path, other) for path in others})
    for path, partners in partners_of.items():
        if len(partners) != 1:
            found = f"{len(partners)} {kind}s ({', '.join(p.name for p in partners)})" if partners else f"no {kind}"
            raise InputError(f"{path.name} has {found} in {other}.", "Give each result the name of its true picture.")
    return [(path, partners[0]) for path, partners in partners_of.items()]


Key = tuple[str, str]  # folder below the root, and name without suffix


def _key(path: Path, root: Path) -> Key:
    return str(path.relative_to(root).parent), path.stem


def _partners(truths: dict[Path, Key], others: dict[Path, Key]) -> dict[Path, list[Path]]:
    """Return the others of exactly the same name, and for the rest those whose name begins with it: the longest one."""
    by_key: dict[Key, list[Path]] = {}
    for path, key in truths.items():
        by_key.setdefault(key, []).append(path)
    owned: dict[Path, list[Path]] = {path: [] for path in truths}
    for path, key in others.items():
        for owner in by_key.get(key, ()):  # a.jpg and a.png are two pictures
            if len(by_key[key]) == 1 or owner.suffix == path.suffix:
                owned[owner].append(path)
    lonely = [path for path, partners in owned.items() if not partners]
    for path, key in others.items():
        owners = [owner for owner in lonely if key not in by_key and _is_named_after(key, truths[owner])]
        if owners:
            owned[max(owners, key=lambda owner: len(owner.stem))].append(path)
    return owned


def _is_named_after(key: Key, truth: Key) -> bool:
    """Return whether the name is the ground truth's, with LR, SR or nothing for its HR, and perhaps more after it."""
    base = re.sub(r"_HR$", "", truth[1])
    return key[0] == truth[0] and re.match(re.escape(base) + r"(x\d+)?([\W_].*)?$", key[1]) is not None

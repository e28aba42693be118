"""Hostile clips, put through what a user does with them: enlarged into a new clip, with the same sound and subtitles.

    python tests/faults/fuzz_clips.py --soak 3000

Every input follows from its number. None may crash, end in a traceback, or take too long or too much memory.
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parent.parent / name) for name in (".", "video")]

from clips import make as make_clip
from running import Doubling, run
from soak import Soak, Use, refused

from upscale_cli.errors import UpscaleError
from upscale_cli.upscaling.options import UpscaleOptions

HEADERS = 1500  # bytes
CLIPS: tuple[tuple[str, dict[str, object]], ...] = (
    ("a.mp4", {"count": 6, "tone": True, "subtitles": True, "chapters": True}),
    ("b.mkv", {"count": 6, "tone": True, "subtitles": True}),
    ("c.ts", {"count": 6}),
    ("d.avi", {"count": 6, "codec": "mpeg4", "options": {}}),
    ("e.mkv", {"count": 4, "codec": "ffv1", "options": {}}),
    ("f.webm", {"count": 4, "codec": "libvpx-vp9", "options": {"cpu-used": "8"}}),
    ("g.mov", {"count": 4, "codec": "prores_ks", "options": {}, "pix_fmt": "yuv422p10le", "rotation": 90}),
)


@cache
def content(name: str) -> bytes:
    """Return the bytes of the sound clip ``name``."""
    with tempfile.TemporaryDirectory() as folder:
        return make_clip(Path(folder) / name, None, **dict(CLIPS)[name]).read_bytes()


def truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data))]


def flipped(rng: random.Random, data: bytes) -> bytes:
    return _changed(rng, data, len(data))


def flipped_headers(rng: random.Random, data: bytes) -> bytes:
    return _changed(rng, data, min(len(data), HEADERS))


def flipped_index(rng: random.Random, data: bytes) -> bytes:
    """MP4 and AVI keep their tables at the end."""
    start = max(0, len(data) - 2 * HEADERS)
    return data[:start] + _changed(rng, data[start:], len(data) - start)


def _changed(rng: random.Random, data: bytes, end: int) -> bytes:
    changing = bytearray(data)
    for _ in range(rng.choice([1, 4, 40])):
        changing[rng.randrange(end)] = rng.randrange(256)
    return bytes(changing)


def absurd_number(rng: random.Random, data: bytes) -> bytes:
    """Four bytes, mostly of a table, become a number that no clip has: sizes, counts, rates, durations."""
    place = rng.randrange(min(len(data), HEADERS)) if rng.random() < 0.5 else rng.randrange(len(data))
    number = rng.choice([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
    return data[:place] + struct.pack(">I", number) + data[place + 4 :]


def pieces_lost_or_doubled(rng: random.Random, data: bytes) -> bytes:
    first, second = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    piece = data[first:second]
    return data[:first] + rng.choice([b"", piece * 2, piece[::-1], bytes(len(piece))]) + data[second:]


def two_in_one(rng: random.Random, data: bytes) -> bytes:
    other = content(rng.choice(CLIPS)[0])
    return data[: rng.randrange(len(data))] + other if rng.random() < 0.5 else data + other


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    truncated,
    flipped,
    flipped_headers,
    flipped_index,
    absurd_number,
    pieces_lost_or_doubled,
    two_in_one,
)


def make(number: int, folder: Path) -> tuple[str, Use]:
    """Write the clip of that number into ``folder``."""
    rng = random.Random(number)
    name, mutation = CLIPS[number % len(CLIPS)][0], rng.choice(MUTATIONS)
    source, target = folder / name, folder / f"{number}.mkv"
    source.write_bytes(mutation(rng, content(name)))
    skip, options = rng.random() < 0.5, UpscaleOptions(scale=2, max_megapixels=4)

    def use() -> str:
        try:
            run(source, target, upscaler=Doubling(), options=options, preset="ultrafast", skip_damaged=skip)
            outcome = "enlarged"
        except UpscaleError as error:
            outcome = refused(error)
            assert not target.exists(), "a refused clip has a result"
        target.unlink(missing_ok=True)
        return outcome

    return f"{mutation.__name__} {name}", use


SOAK = Soak(__file__, make, seconds=10, megabytes=1200)  # PyTorch alone takes 400 MB

if __name__ == "__main__":
    raise SystemExit(SOAK.main(__doc__))

"""Pictures that are damaged, lie about themselves or are bombs; each follows from its number."""

from __future__ import annotations

import random
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parent.parent))
import rare

from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.chunks import PNG_SIGNATURE, jpeg_segments, png_chunk, png_chunks
from upscale_cli.images.formats import FORMATS
from upscale_cli.images.picture import Metadata, Picture, Pixels
from upscale_cli.images.write import WriteOptions, write_image

HEIGHT, WIDTH = 19, 26
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Mutation = Callable[[random.Random, bytes], bytes]


def pixels(channels: int, depth: int = 8) -> Pixels:
    y, x, c = np.mgrid[:HEIGHT, :WIDTH, :channels]
    levels: Pixels = ((x * 7 + y * 5 + c * 40) % 256).astype(np.uint8)
    return levels if depth == 8 else levels.astype(np.uint16) * 257


def by_pillow(kind: str, channels: int = 3, mode: str | None = None, frames: int = 1, **options: Any) -> bytes:
    content = BytesIO()
    images = [Image.fromarray(pixels(channels)[::step].squeeze().copy()) for step in (1, -1, 1)[:frames]]
    first, *others = [image.convert(mode) if mode else image for image in images]
    moving: dict[str, Any] = {"save_all": True, "append_images": others} if others else {}
    first.save(content, kind, **moving, **options)
    return content.getvalue()


@cache
def seeds() -> dict[str, bytes]:
    """A small file of every format and kind."""
    exif = tags.block(
        [tags.numbers(tags.ORIENTATION, tags.SHORT, 6), tags.Entry(0x10F, 2, b"Maker\0")],
        {tags.EXIF_DIRECTORY: [tags.numbers(tags.PIXEL_WIDTH, tags.LONG, 26), tags.Entry(0x927C, 7, b"note" * 9)]},
    )
    text = ((b"tEXt", b"parameters\0a cat"), (b"zTXt", b"more\0\0" + zlib.compress(b"text" * 99)))
    metadata = Metadata(None, exif, b"<x:xmpmeta/>", text, b"comment", (300.0, 300.0))
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for known in FORMATS:
            for channels in (1, 3):
                for alpha in (False, True):
                    for depth in (8, 16):
                        opacity = pixels(1, depth)[..., 0] if alpha else None
                        path = Path(folder) / "a"
                        write_image(Picture(pixels(channels, depth), opacity, metadata), path, WriteOptions(known))
                        made[f"{known.name}, {channels} channels, alpha {alpha}, {depth} bit"] = path.read_bytes()
    moving: dict[str, Any] = {"frames": 3, "duration": [20, 30, 40], "loop": 2}
    made |= {f"animated {kind}": by_pillow(kind, 4, **moving) for kind in ("GIF", "PNG", "WEBP")}
    made |= {f"animated {kind}, opaque": by_pillow(kind, 3, **moving) for kind in ("GIF", "PNG", "WEBP")}
    made |= {f"animated GIF, disposal {way}": by_pillow("GIF", 4, disposal=way, **moving) for way in (1, 2, 3)}
    made |= {"animated PNG with another": by_pillow("PNG", default_image=True, **moving)}
    made |= {"animated AVIF": by_pillow("AVIF", **moving), "pages of TIFF": by_pillow("TIFF", frames=3)}
    made |= {f"TIFF by {way}": by_pillow("TIFF", compression=way) for way in ("raw", "tiff_lzw", "packbits", "jpeg")}
    made |= {"TIFF by group 4": by_pillow("TIFF", 1, mode="1", compression="group4")}
    for kind, modes in {"TIFF": ("1", "P", "LA", "CMYK", "LAB"), "PNG": ("1", "P", "LA"), "BMP": ("1", "P")}.items():
        made |= {f"{kind}, mode {mode}": by_pillow(kind, 1 if mode == "LA" else 3, mode=mode) for mode in modes}
    made |= {"progressive JPEG": by_pillow("JPEG", progressive=True), "JPEG of CMYK": by_pillow("JPEG", mode="CMYK")}
    made |= {f"TGA by {way}": by_pillow("TGA", 4, compression=way) for way in (None, "tga_rle")}
    made |= {f"DDS by {way}": by_pillow("DDS", 4, pixel_format=way) for way in (None, "DXT1", "DXT5")}
    made |= {"lossless WEBP": by_pillow("WEBP", 4, lossless=True), "PPM of bits": by_pillow("PPM", 1, mode="1")}
    floats = by_pillow("TIFF", 1, mode="F")
    light = {name: pixels(1)[..., 0].astype(np.float32) / 50 for name in "BGRZ"}
    made |= {"TIFF of floats": floats, "EXR of more": rare.exr(light), "DNG": rare.dng(pixels(1, 16)[..., 0])}
    made |= {f"HEIC, {channels} channels": rare.heic(pixels(channels)) for channels in (1, 3, 4)}
    made |= {"HEIC, 10 bits": rare.heic(pixels(3, 16))}
    made |= {"PPM of words": b"P3\n# comment\n2 2\n255\n" + b"1 2 3\n" * 4, "PBM of words": b"P1 2 2 1 0 0 1"}
    return made


def flip_bytes(draw: random.Random, data: bytes) -> bytes:
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 40))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def flip_head(draw: random.Random, data: bytes) -> bytes:
    return flip_bytes(draw, data[:60]) + data[60:]


def truncate(draw: random.Random, data: bytes) -> bytes:
    return data[: draw.randrange(1, max(2, len(data)))]


def move_part(draw: random.Random, data: bytes) -> bytes:
    """A part removed, repeated, or put elsewhere."""
    start, at = draw.randrange(len(data)), draw.randrange(len(data))
    part = data[start : start + draw.choice((1, 2, 4, 12, 100))]
    rest = data.replace(part, b"", 1) if draw.random() < 0.5 else data
    return rest[:at] + part * draw.choice((0, 1, 1, 50)) + rest[at:]


def lie(draw: random.Random, data: bytes) -> bytes:
    """A number somewhere, in either byte order, that is an extreme one."""
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 3)) if len(data) >= 4 else 0):
        code = draw.choice((">H", "<H", ">I", "<I"))
        at = draw.randrange(min(draw.choice((44, len(data))), len(data)) - 3)
        struct.pack_into(code, content, at, draw.choice(NUMBERS) & (0xFFFF if code[1] == "H" else 0xFFFFFFFF))
    return bytes(content)


def change_chunks(draw: random.Random, data: bytes) -> bytes:
    """Chunks of PNG changed, removed, repeated or moved, with checksums that are right."""
    parts = [(kind, bytes(content)) for kind, content in png_chunks(data)] if data.startswith(PNG_SIGNATURE) else []
    if not parts:
        return lie(draw, data)
    for _ in range(draw.choice((1, 1, 2))):
        at = draw.randrange(len(parts))
        kind, content = parts[at]
        inflated = b""
        if kind in (b"IDAT", b"fdAT"):
            with suppress(zlib.error):
                inflated = zlib.decompressobj().decompress(content[4:] if kind == b"fdAT" else content)
        change = draw.randrange(5)
        if change == 0 and inflated:
            head = content[:4] if kind == b"fdAT" else b""
            parts[at] = kind, head + zlib.compress(flip_bytes(draw, inflated))
        elif change <= 2 and content:
            parts[at] = kind, draw.choice((flip_bytes, lie, truncate))(draw, content + bytes(4))[: len(content)]
        elif change == 3:
            parts.insert(draw.randrange(len(parts)), parts.pop(at))
        else:
            parts[at:at] = [parts[at]] * draw.choice((1, 300))
    return PNG_SIGNATURE + b"".join(png_chunk(*part) for part in parts)


def change_tags(draw: random.Random, data: bytes) -> bytes:
    """A tag of TIFF or EXIF with another number, type, count or value."""
    start = max(data.find(b"II*\0"), data.find(b"MM\0*"))
    if start < 0:
        return lie(draw, data)
    content, block = bytearray(data), data[start:]
    order = tags.byte_order(block)
    directory = tags.next_directory(block, 4)
    count = int.from_bytes(block[directory : directory + 2], "little" if order == "<" else "big")
    for _ in range(draw.choice((1, 1, 3))):
        entry = start + directory + 2 + 12 * draw.randrange(max(1, count))
        if entry + 12 <= len(content):
            at, code = draw.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H")))
            value = draw.choice((*NUMBERS, directory, draw.randrange(len(block))))
            struct.pack_into(order + code, content, entry + at, value & (0xFFFF if code == "H" else 0xFFFFFFFF))
    return bytes(content)


def change_segments(draw: random.Random, data: bytes) -> bytes:
    """Segments of JPEG changed, removed or repeated."""
    found = list(jpeg_segments(data)) if data.startswith(b"\xff\xd8") else []
    if not found:
        return lie(draw, data)
    segment = draw.choice(found)
    part = data[segment.position : segment.end]
    changed = draw.choice((b"", part * 2, part * 100, part[:4] + flip_bytes(draw, part[4:] or b"\0"), lie(draw, part)))
    return data[: segment.position] + changed + data[segment.end :]


def claim_size(draw: random.Random, data: bytes) -> bytes:
    """Height and width replaced wherever they stand, as a bomb has them."""
    height, width = draw.choice((0, 1, 4000, 20_000, 65_535)), draw.choice((0, 1, 5000, 20_000, 65_535))
    for order in ("<", ">"):
        for code in ("H", "I"):
            for before, after in (((HEIGHT, WIDTH), (height, width)), ((WIDTH, HEIGHT), (width, height))):
                data = data.replace(struct.pack(order + code * 2, *before), struct.pack(order + code * 2, *after))
    for before_, after_ in ((WIDTH, width), (HEIGHT, height)):  # of TIFF and WebP
        data = data.replace(struct.pack("<HHII", 256, 4, 1, before_), struct.pack("<HHII", 256, 4, 1, after_))
        data = data.replace(struct.pack("<HHII", 257, 4, 1, before_), struct.pack("<HHII", 257, 4, 1, after_))
        data = data.replace((before_ - 1).to_bytes(3, "little"), max(0, after_ - 1).to_bytes(3, "little"))
        data = data.replace(b" %d" % before_, b" %d" % after_)
    return data


MUTATIONS: tuple[Mutation, ...] = (
    *(flip_bytes, flip_head, truncate, move_part, lie, lie, change_chunks, change_tags, change_segments, claim_size),
)


def bombs() -> dict[str, Callable[[], bytes]]:
    """Files that say little and mean much."""

    def of_frames(kind: str, count: int = 100_000) -> bytes:
        data = by_pillow(kind, 3, frames=3, duration=20, loop=0)
        if kind == "GIF":
            start = data.index(b"\x21\xf9", data.index(b"\x21\xf9") + 1)
            return data[:start] + data[start:-1] * count + b";"
        if kind == "WEBP":
            start = data.index(b"ANMF", data.index(b"ANMF") + 1)
            return (
                data[:4]
                + struct.pack("<I", len(data[:start] + data[start:] * count) - 8)
                + data[8:start]
                + data[start:] * count
            )
        parts = list(png_chunks(data))
        frame = next(bytes(content) for name, content in parts if name == b"fdAT")
        chunks = [(name, content) for name, content in parts if name not in (b"fcTL", b"fdAT", b"IEND")]
        chunks[1] = b"acTL", struct.pack(">II", count, 0)
        control = struct.pack(">IIIIHHBB", WIDTH, HEIGHT, 0, 0, 1, 50, 0, 0)
        for number in range(count):
            chunks.append((b"fcTL", struct.pack(">I", 2 * number) + control))
            chunks.append((b"fdAT", struct.pack(">I", 2 * number + 1) + frame[4:]))
        return PNG_SIGNATURE + b"".join(png_chunk(*chunk) for chunk in [*chunks, (b"IEND", b"")])

    def of_png(kind: bytes, head: bytes, content: bytes, count: int) -> bytes:
        data = by_pillow("PNG")
        return data[:33] + png_chunk(kind, head + zlib.compress(content, 9)) * count + data[33:]

    def of_scans() -> bytes:
        data = by_pillow("JPEG", progressive=True)
        scan = data[data.rindex(b"\xff\xda") : -2]
        return data[:-2] + scan * 2000 + data[-2:]

    def of_directories(claimed: int) -> bytes:
        """A TIFF file whose directories lead to each other, each with as many tags as there may be."""
        data = by_pillow("TIFF", compression="raw")
        at = struct.unpack_from("<I", data, 4)[0]
        _, after = tags.read_directory(data)
        links = b"".join(struct.pack("<H", claimed) for _ in range(100_000))
        return data[:after] + struct.pack("<I", len(data)) + data[after + 4 :] + links + struct.pack("<I", at)

    def of_segments() -> bytes:
        data = by_pillow("JPEG")
        return data[:2] + b"\xff\xe1\0\x08Exif\0\0" * 200_000 + data[2:]

    return {
        **{f"frames of {kind}": partial(of_frames, kind) for kind in ("GIF", "WEBP", "PNG")},
        "text of PNG": partial(of_png, b"zTXt", b"a\0\0", bytes(7_900_000), 400),
        "large text of PNG": partial(of_png, b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0", bytes(2**28), 1),
        "many texts of PNG": partial(of_png, b"tEXt", b"a\0", b"", 300_000),
        "profile of PNG": partial(of_png, b"iCCP", b"a\0\0", bytes(2**28), 1),
        "scans of JPEG": of_scans,
        "segments of JPEG": of_segments,
        "directories of TIFF": partial(of_directories, 0),
        "large directories of TIFF": partial(of_directories, 1000),
    }


def made(number: int) -> tuple[str, bytes]:
    """What was done to which seed, and the file."""
    named = bombs()
    if number % 50 == 49:
        name = [*named][number // 50 % len(named)]
        return name, named[name]()
    draw = random.Random(number)
    seed = [*seeds()][number // len(MUTATIONS) % len(seeds())]
    data = seeds()[seed]
    mutations = [MUTATIONS[number % len(MUTATIONS)], *draw.choices(MUTATIONS, k=draw.choice((0, 0, 1)))]
    for mutate in mutations:
        data = mutate(draw, data) or b"\0"
    return f"{seed}: {', '.join(mutate.__name__ for mutate in mutations)}", data

"""What a TIFF file says of its pictures."""

from __future__ import annotations

from contextlib import suppress

from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.header import Header, per_inch
from upscale_cli.images.picture import Metadata
from upscale_cli.images.tiff_tags import Buffer, Directory

MOST_PAGES = 1000
LEAST_BY_OPENCV = 1024
_PROFILED = frozenset({5, 8})  # photometric interpretations: separated inks, and CIE LAB
_DENSE = frozenset({1, 5, 7, 8, 32773, 32946})  # compressions: none, LZW, JPEG, Deflate, PackBits, Deflate


def read(data: memoryview) -> Header:
    """Return the header of a TIFF file's first picture. Raises pillow.ERRORS where it is damaged."""
    main, after = tags.read_directory(data)
    children = {}
    for tag in (tags.EXIF_DIRECTORY, tags.GPS_DIRECTORY):
        with suppress(KeyError, tags.TiffError):
            child, _ = tags.read_directory(data, main[tag].number)
            children[tag] = [entry for entry in child.values() if entry.tag != tags.INTEROPERABILITY_DIRECTORY]
    kept = [entry for entry in main.values() if entry.tag in tags.DESCRIBING or entry.tag == tags.ORIENTATION]
    exif = tags.block(kept, children) if kept or children else None
    icc, xmp = (main[tag].value if tag in main else None for tag in (tags.ICC, tags.XMP))
    resolution = None
    if {tags.X_RESOLUTION, tags.Y_RESOLUTION} <= main.keys():
        unit = main[tags.RESOLUTION_UNIT].number if tags.RESOLUTION_UNIT in main else 2
        x, y = main[tags.X_RESOLUTION].fraction, main[tags.Y_RESOLUTION].fraction
        resolution = per_inch(x, y, {2: 1.0, 3: 2.54}.get(unit))
    found = Metadata(icc, exif, xmp, resolution=resolution, pages=1 + len(further_pages(data, after)))
    dense = tags.COMPRESSION not in main or main[tags.COMPRESSION].number in _DENSE
    size = main[tags.IMAGE_LENGTH].number, main[tags.IMAGE_WIDTH].number
    samples = main[tags.SAMPLES_PER_PIXEL].number if tags.SAMPLES_PER_PIXEL in main else 1
    profiled = tags.PHOTOMETRIC in main and main[tags.PHOTOMETRIC].number in _PROFILED
    floating = tags.SAMPLE_FORMAT in main and main[tags.SAMPLE_FORMAT].number == 3
    kinds = {"gray_alpha": samples == 2, "transparent": samples == 2 or (samples == 4 and not profiled)}
    depth = main[tags.BITS_PER_SAMPLE].number if tags.BITS_PER_SAMPLE in main else 1
    by_pillow = profiled or _has_smallest_tiles(main, depth * samples)
    kinds |= {"floating": floating, "by_pillow": by_pillow, "profiled": profiled, "dense": dense}
    channels = 3 if samples == 1 and tags.COLOR_MAP in main else samples
    return Header(*size, found, weight=2 if floating else 1, pixel_bytes=channels * min(2, max(1, depth // 8)), **kinds)


def _has_smallest_tiles(main: Directory, bits: int) -> bool:
    """Return whether there are uncompressed tiles of less than 1,024 bytes, which OpenCV does not read from memory.

    ``bits``: of a pixel.
    """
    if not {tags.TILE_WIDTH, tags.TILE_LENGTH} <= main.keys():
        return False
    if tags.COMPRESSION in main and main[tags.COMPRESSION].number != 1:
        return False
    return -(-main[tags.TILE_WIDTH].number * bits // 8) * main[tags.TILE_LENGTH].number < LEAST_BY_OPENCV


def further_pages(data: Buffer, after: int) -> list[int]:
    """Return where the directories of a TIFF file's pictures behind the first are, without smaller versions and masks.

    ``after``: where the position of the second directory is stored.
    """
    seen = {tags.first_directory(data)}
    pages = []
    with suppress(tags.TiffError):
        while (position := tags.next_directory(data, after)) and position not in seen and len(seen) < MOST_PAGES:
            seen.add(position)
            page, after = tags.read_directory(data, position, {tags.SUBFILE_TYPE})
            if tags.SUBFILE_TYPE not in page or not page[tags.SUBFILE_TYPE].number & 5:
                pages.append(position)
    return pages

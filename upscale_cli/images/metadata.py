"""Metadata on its way from one file to another: what turning and enlarging a picture makes untrue is corrected."""

from __future__ import annotations

import re
import struct
from dataclasses import replace

from upscale_cli.images import tiff_tags as tags
from upscale_cli.images.picture import Metadata
from upscale_cli.images.tiff_tags import Entry, TiffError

# Of a TIFF file's own directory: what describes the picture, not how the file stores it.
_DESCRIBING = {0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298}
_ICC_SPACES = {b"GRAY": 1, b"RGB ": 3}
_XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
_LARGEST_SEGMENT = 65533


def orientation(exif: bytes | None) -> int:
    """How the stored pixels must be turned to stand upright, 1 (not at all) to 8 (EXIF 2.3, tag 0x0112)."""
    try:
        entries, _ = tags.read_directory(exif or b"", tags.first_directory(exif or b""))
    except TiffError:
        return 1
    entry = tags.find(entries, tags.ORIENTATION)
    return entry.number if entry and entry.kind in (tags.SHORT, tags.LONG) and 1 <= entry.number <= 8 else 1


def for_size(metadata: Metadata, width: int, height: int) -> Metadata:
    """The metadata of an upright picture of that size: sizes corrected, the stale thumbnail dropped."""
    exif = _exif_for_size(metadata.exif, width, height) if metadata.exif else None
    xmp = _xmp_for_size(metadata.xmp, width, height) if metadata.xmp else None
    return replace(metadata, exif=exif, xmp=xmp)


def _exif_for_size(exif: bytes, width: int, height: int) -> bytes | None:
    """Edits values where they stand: moving anything would break what camera makers hide behind fixed positions."""
    block = bytearray(exif)
    try:
        main, next_directory = tags.read_directory(exif, tags.first_directory(exif))
        sub = tags.find(main, tags.EXIF_DIRECTORY)
        entries = main + (tags.read_directory(exif, sub.number)[0] if sub else [])
    except TiffError:
        return None
    corrected = {
        tags.ORIENTATION: 1,
        tags.IMAGE_WIDTH: width,
        tags.IMAGE_LENGTH: height,
        tags.PIXEL_WIDTH: width,
        tags.PIXEL_HEIGHT: height,
    }
    for entry in entries:
        if entry.tag in corrected and entry.kind in (tags.SHORT, tags.LONG):
            _overwrite(block, entry, corrected[entry.tag])
    block[next_directory : next_directory + 4] = bytes(4)  # the thumbnail shows the picture as it was
    return bytes(block)


def _overwrite(block: bytearray, entry: Entry, value: int) -> None:
    code, most = ("H", 0xFFFF) if entry.kind == tags.SHORT else ("I", 0xFFFFFFFF)
    struct.pack_into(tags.byte_order(bytes(block[:4])) + code, block, entry.position, min(value, most))


def _xmp_for_size(xmp: bytes, width: int, height: int) -> bytes:
    values = {
        b"tiff:Orientation": 1,
        b"tiff:ImageWidth": width,
        b"tiff:ImageLength": height,
        b"exif:PixelXDimension": width,
        b"exif:PixelYDimension": height,
    }
    for name, value in values.items():
        xmp = re.sub(rb"(" + name + rb"\s*=\s*[\"'])\d+", rb"\g<1>%d" % value, xmp)
        xmp = re.sub(rb"(<" + name + rb">)\d+", rb"\g<1>%d" % value, xmp)
    return xmp


def icc_fits(icc: bytes, channels: int) -> bool:
    """Whether the profile describes pixels of 1 (gray) or 3 (RGB) channels (ICC.1:2010, header bytes 16 to 19)."""
    return _ICC_SPACES.get(icc[16:20]) == channels


def of_tiff(data: bytes) -> Metadata:
    """The metadata in a TIFF file, EXIF as a block of its own. Damaged directories count as none."""
    try:
        main, _ = tags.read_directory(data, tags.first_directory(data))
        children = {
            tag: tags.read_directory(data, entry.number)[0]
            for tag in (tags.EXIF_DIRECTORY, tags.GPS_DIRECTORY)
            if (entry := tags.find(main, tag))
        }
    except TiffError:
        return Metadata()
    kept = [entry for entry in main if entry.tag in _DESCRIBING or entry.tag == tags.ORIENTATION]
    exif = b"II*\0\x08\0\0\0" + tags.write_tree(kept, children, 8) if kept or children else None
    icc, xmp = tags.find(main, tags.ICC), tags.find(main, tags.XMP)
    return Metadata(icc.value if icc else None, exif, xmp.value if xmp else None)


def of_avif(data: bytes) -> Metadata:
    """ICC profile and XMP packet of an AVIF file, which OpenCV writes but does not read."""
    box = data.find(b"colrprof")
    icc = data[box + 8 : box - 4 + int.from_bytes(data[box - 4 : box], "big")] if box >= 4 else None
    xmp = re.search(rb"<x:xmpmeta.*?</x:xmpmeta>", data, re.DOTALL)
    return Metadata(icc=icc, xmp=xmp[0] if xmp else None)


def into_tiff(data: bytes, metadata: Metadata, with_alpha: bool) -> bytes:
    """A little-endian TIFF file with the metadata (and what its fourth channel means) added to its directory."""
    main, _ = tags.read_directory(data, tags.first_directory(data))
    added = [Entry(tags.ICC, tags.UNDEFINED, metadata.icc)] if metadata.icc else []
    added += [Entry(tags.XMP, tags.BYTE, metadata.xmp)] if metadata.xmp else []
    added += [tags.number_entry(tags.EXTRA_SAMPLES, 2, tags.SHORT)] if with_alpha else []
    described, children = _tree_of_exif(metadata.exif)
    data += b"\0" * (len(data) % 2)
    tree = tags.write_tree([*described, *main, *added], children, len(data))
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + tree


def _tree_of_exif(exif: bytes | None) -> tuple[list[Entry], dict[int, list[Entry]]]:
    if not exif:
        return [], {}
    main, _ = tags.read_directory(exif, tags.first_directory(exif))
    children = {}
    for tag in (tags.EXIF_DIRECTORY, tags.GPS_DIRECTORY):
        entry = tags.find(main, tag)
        if entry:
            children[tag] = tags.read_directory(exif, entry.number)[0]
    return [entry for entry in main if entry.tag in _DESCRIBING], children


def with_plain_alpha(data: bytes) -> bytes:
    """The TIFF file with its alpha declared as any channel, so that no decoder multiplies it into the colours."""
    try:
        main, _ = tags.read_directory(data, tags.first_directory(data))
    except TiffError:
        return data
    extra = tags.find(main, tags.EXTRA_SAMPLES)
    if extra is None or extra.number != 2:
        return data
    block = bytearray(data)
    _overwrite(block, extra, 0)
    return bytes(block)


def into_jpeg(data: bytes, xmp: bytes) -> bytes:
    """A JPEG file with the XMP packet in a segment of its own (XMP specification part 3, section 1.1.3)."""
    segment = _XMP_HEADER + xmp
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def fits_jpeg(xmp: bytes) -> bool:
    """Whether the packet fits one JPEG segment."""
    return len(_XMP_HEADER) + len(xmp) <= _LARGEST_SEGMENT

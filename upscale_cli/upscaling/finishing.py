"""What is made of a network's result: how much of its detail stays, the input's colours, sharpness and grain.

Results are large: everything works on strips of their integer pixels, most of it where they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.borders import Wraps
from upscale_cli.images.picture import Pixels
from upscale_cli.images.storage import MEMORY, Storage
from upscale_cli.levels import top
from upscale_cli.resize import resized_strips
from upscale_cli.tiling import Box, cut_out
from upscale_cli.upscaling.options import UpscaleOptions

BLOCK = 32  # pixels of the result whose mean colour counts as a low frequency
# One round is exact but where colours saturate: there further ones aim beyond. Levels of 255.
MOST_ROUNDS, BEYOND, CLOSE_ENOUGH = 20, 1.9, 0.5
RADIUS, REACH = 1.0, 4  # pixels: the blur's standard deviation that sharpening undoes, and how far it is followed
STRIP = 1 << 20  # pixels that are worked on at a time

Floats = NDArray[np.floating[Any]]


def finished(result: Pixels, source: Pixels, options: UpscaleOptions, storage: Storage = MEMORY) -> Pixels:
    """Return ``result`` (H, W, C), which may be changed where it is, as ``options`` ask for it.

    ``source`` (h, w, C) is what it was made from; new arrays are those of ``storage``.
    """
    if not options.finishes:
        return result
    mixed = storage.changeable("mixed", result)
    last = storage.step("sharpened", result.shape, result.dtype) if options.sharpen else mixed
    if not last.complete:
        _mix_and_match(mixed.pixels, source, options)
        if options.sharpen:
            _sharpen(mixed.pixels, last.pixels, options.sharpen, options.wraps)
        if options.grain:
            _add_grain(last.pixels, options.grain, options.seed or 0)
        last.end()
    return last.pixels


def _mix_and_match(result: Pixels, source: Pixels, options: UpscaleOptions) -> None:
    if options.strength < 1 or options.keep_colors:
        colors = block_means(source if options.keep_colors else result, result.shape[:2])
        if options.strength < 1:
            _mix(result, source, options.strength, options.wraps)
        _match(result, colors, options.wraps)


def block_means(pixels: Pixels, size: tuple[int, ...]) -> Floats:
    """Return the mean colours (n, m, C) of ``pixels`` (h, w, C) in what would be blocks of BLOCK pixels at ``size``."""
    rows, columns = (_edges(side) * (of / side) for side, of in zip(size, pixels.shape[:2], strict=True))
    positions = np.arange(pixels.shape[1] + 1)
    means = np.empty((len(rows) - 1, len(columns) - 1, pixels.shape[2]))
    for number, (first, last) in enumerate(pairwise(rows)):
        index = np.arange(math.floor(first), min(math.ceil(last), len(pixels)))
        weights = np.minimum(index + 1, last) - np.maximum(index, first)
        line = np.tensordot(weights.astype(np.float32), pixels[index[0] : index[-1] + 1].astype(np.float32), 1)
        summed = np.concatenate([np.zeros((1, pixels.shape[2])), np.cumsum(line, 0, np.float64)])
        ends = np.stack([np.interp(columns, positions, channel) for channel in summed.T], -1)
        means[number] = np.diff(ends, axis=0) / (np.diff(columns)[:, None] * (last - first))
    return means


def _edges(length: int) -> NDArray[np.intp]:
    """Return where blocks begin and end in ``length`` pixels; the last may be narrower."""
    return np.array([*range(0, length, BLOCK), length])


def _mix(result: Pixels, source: Pixels, strength: float, wraps: Wraps) -> None:
    """Leave ``strength`` of the difference of ``result`` to the Lanczos enlargement of ``source``."""
    done = 0
    for strip in resized_strips(source, result.shape[:2], "lanczos", result.dtype, wraps):
        part = result[done : done + len(strip)]
        part[...] = np.rint(strip + np.float32(strength) * (part.astype(np.float32) - strip))
        done += len(strip)


def _match(result: Pixels, colors: Floats, wraps: Wraps) -> None:
    """Shift ``result`` smoothly so that the mean colours of its blocks are ``colors`` (n, m, C)."""
    down, across = (_Smooth(*axis) for axis in zip(result.shape[:2], wraps, strict=True))
    level = top(result.dtype) / 255
    for number in range(MOST_ROUNDS):
        wanted = colors - block_means(result, result.shape[:2])
        if np.abs(wanted).max() < CLOSE_ENOUGH * level:
            return
        wanted *= BEYOND if number else 1
        values = np.swapaxes(across.solved(np.swapaxes(down.solved(wanted), 0, 1)), 0, 1)
        for rows in _strips(result):
            shift = across.rows(np.swapaxes(down.rows(values, rows), 0, 1))
            result[rows] = _rounded(result[rows] + np.swapaxes(shift, 0, 1), result)


class _Smooth:
    """Linear interpolation between the middles of the blocks of one axis, constant or, if it wraps, going on beyond."""

    def __init__(self, length: int, wraps: bool) -> None:
        edges = _edges(length)
        blocks, middles = len(edges) - 1, (edges[1:] + edges[:-1]) / 2
        around = np.concatenate([middles[-1:] - length, middles, middles[:1] + length])
        values = np.arange(-1, blocks + 1) % blocks if wraps else np.arange(-1, blocks + 1).clip(0, blocks - 1)
        pixels = np.arange(length) + 0.5
        after = np.searchsorted(around, pixels)
        self._before, self._after = values[after - 1], values[after]
        self._share = ((pixels - around[after - 1]) / (around[after] - around[after - 1])).astype(np.float32)
        block = np.arange(length) // BLOCK
        self._means = np.zeros((blocks, blocks))  # of blocks, from the values at their middles
        np.add.at(self._means, (block, self._before), (1 - self._share) / np.diff(edges)[block])
        np.add.at(self._means, (block, self._after), self._share / np.diff(edges)[block])

    def solved(self, means: Floats) -> Floats:
        """Return the values at the middles from which blocks get ``means``, both along the first axis."""
        return np.linalg.solve(self._means, means.reshape(len(means), -1)).reshape(means.shape)

    def rows(self, values: Floats, wanted: slice = slice(None)) -> Floats:
        """Return the ``wanted`` pixels along the first axis, from the ``values`` at the middles."""
        share = self._share[wanted, None, None]
        before, after = (values[ends[wanted]].astype(np.float32) for ends in (self._before, self._after))
        pixels: Floats = before + share * (after - before)
        return pixels


def _sharpen(result: Pixels, sharp: Pixels, amount: float, wraps: Wraps) -> None:
    """Write ``result`` into ``sharp`` with ``amount`` times what a Gaussian blur takes away added (unsharp masking)."""
    from scipy.ndimage import gaussian_filter

    height, width = result.shape[:2]
    for rows in _strips(result):
        box = Box(rows.start - REACH, -REACH, min(rows.stop, height) + REACH, width + REACH)
        wide = cut_out(result, box, wraps).astype(np.float32)
        detail = wide - gaussian_filter(wide, (RADIUS, RADIUS, 0), truncate=REACH / RADIUS)
        sharp[rows] = _rounded((wide + np.float32(amount) * detail)[REACH:-REACH, REACH:-REACH], result)


def _add_grain(result: Pixels, deviation: float, seed: int) -> None:
    """Add noise of that standard deviation, in levels of 255, equal in all channels; ``seed`` decides on it."""
    generator, scale = np.random.default_rng(seed), np.float32(deviation * top(result.dtype) / 255)
    for rows in _strips(result):
        part = result[rows]
        noise = generator.standard_normal((*part.shape[:2], 1), np.float32)
        part[...] = _rounded(part + scale * noise, result)


def _strips(result: Pixels) -> Iterator[slice]:
    height = max(1, STRIP // result.shape[1])
    return (slice(first, first + height) for first in range(0, len(result), height))


def _rounded(values: Floats, like: Pixels) -> Pixels:
    return np.rint(values).clip(0, top(like.dtype)).astype(like.dtype)

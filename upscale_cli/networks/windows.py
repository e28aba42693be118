"""Attention inside windows that tile the picture, or tile it shifted by half a window (Liu et al. 2021, Swin).

Features are (N, H, W, C) here, with H and W multiples of the window's height and width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.networks.layers import chain

Window = tuple[int, int]

MASKED = -100.0  # added to the scores of pixels that only the roll brought into one window
INITIAL_STD = 0.02
PUBLISHED_SIDE = 64  # of the pictures that authors trained with; those for windows of 7 have 126


def windows_of(x: Tensor, window: Window) -> Tensor:
    """Return (N, rows of windows, columns of windows, pixels of a window, C)."""
    n, height, width, channels = x.shape
    high, wide = window
    parts = x.reshape(n, height // high, high, width // wide, wide, channels)
    return parts.transpose(2, 3).reshape(n, height // high, width // wide, high * wide, channels)


def picture_of(windows: Tensor, window: Window) -> Tensor:
    """Return (N, H, W, C), the inverse of ``windows_of``."""
    n, rows, columns, _, channels = windows.shape
    high, wide = window
    parts = windows.reshape(n, rows, columns, high, wide, channels).transpose(2, 3)
    return parts.reshape(n, rows * high, columns * wide, channels)


def relative_positions(window: Window, device: torch.device) -> Tensor:
    """Return (pixels, pixels): where a table of (2h-1)·(2w-1) offsets holds that of two pixels of a window."""
    high, wide = window
    rows = torch.arange(high, device=device).repeat_interleave(wide)
    columns = torch.arange(wide, device=device).repeat(high)
    down, across = rows[:, None] - rows, columns[:, None] - columns
    return (down + high - 1) * (2 * wide - 1) + across + wide - 1


def published_mask(window: Window) -> Tensor:
    """Return (windows, pixels, pixels), -100 or 0, as files hold it: for shifted windows in pictures of training.

    It keeps apart what comes from both edges of the picture. Programs compute it anew for other sizes.
    """
    unit = math.lcm(*window)
    side = 126 if unit == 7 else unit * max(2, PUBLISHED_SIDE // unit)
    pixels = torch.arange(side)
    rows, columns = ((pixels >= side - length).long() + (pixels >= side - length // 2).long() for length in window)
    parts = windows_of((3 * rows[:, None] + columns)[None, :, :, None], window).reshape(-1, window[0] * window[1])
    return (parts[:, None] != parts[:, :, None]) * torch.tensor(MASKED)


def attention(qkv: Tensor, heads: int, window: Window, bias: Tensor, shifted: bool) -> Tensor:
    """Return (N, H, W, C): every pixel's values averaged over its window, weighted by how queries meet keys.

    ``qkv``: (N, H, W, 3·C), queries, keys and values. ``bias``: (heads, pixels, pixels), added to the scores.
    ``shifted``: by half a window; then windows of the last row and column hold pixels of both edges, kept apart.
    """
    shift = (window[0] // 2, window[1] // 2)
    if shifted:
        qkv = qkv.roll((-shift[0], -shift[1]), (1, 2))
    windows = windows_of(qkv, window)
    grid = windows.reshape(*windows.shape[:-1], 3, heads, -1).permute(4, 0, 1, 2, 5, 3, 6)
    bias = bias.to(qkv.dtype)
    if not shifted:
        return picture_of(_attended(grid, bias), window)
    below, beside = _seams(window, shift, qkv)
    inner, right = _attended(grid[:, :, :-1, :-1], bias), _attended(grid[:, :, :-1, -1:], bias + beside)
    lower, corner = (
        _attended(grid[:, :, -1:, :-1], bias + below),
        _attended(grid[:, :, -1:, -1:], bias + torch.minimum(below, beside)),
    )
    joined = torch.cat((torch.cat((inner, right), 2), torch.cat((lower, corner), 2)), 1)
    return picture_of(joined, window).roll(shift, (1, 2))


def _attended(grid: Tensor, bias: Tensor) -> Tensor:
    """Return (N, rows, columns, pixels, heads·depth) of ``grid``, (3, N, rows, columns, heads, pixels, depth)."""
    queries, keys, values = grid.flatten(1, 3)
    # With all four dimensions the bias goes to the fused kernels, which hold no scores in memory.
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.expand(queries.shape[0], -1, -1, -1))
    _, heads, pixels, depth = mixed.shape
    return mixed.transpose(1, 2).reshape(*grid.shape[1:4], pixels, heads * depth)


def _seams(window: Window, shift: Window, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return two (pixels, pixels): ``MASKED`` where the seam of the roll runs between pixels, below and beside."""
    high, wide = window
    rows = torch.arange(high, device=like.device).repeat_interleave(wide) >= high - shift[0]
    columns = torch.arange(wide, device=like.device).repeat(high) >= wide - shift[1]
    below, beside = (MASKED * (side[:, None] != side).to(like.dtype) for side in (rows, columns))
    return below, beside


class WindowAttention(nn.Module):
    """Attention in square windows, ``shifted`` or on the grid, with a learned bias by relative position."""

    def __init__(self, features: int, heads: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shifted = heads, (window, window), shifted
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``, (N, H, W, features)."""
        bias = self.relative_position_bias_table[relative_positions(self.window, x.device)].permute(2, 0, 1)
        result: Tensor = self.proj(attention(self.qkv(x), self.heads, self.window, bias, self.shifted))
        return result


def mlp(features: int, hidden: int) -> nn.Module:
    """Return two linear layers with ``hidden`` features between them."""
    return chain(fc1=nn.Linear(features, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, features))


def draw(module: nn.Module) -> None:
    """Draw linear layers and position biases from a truncated normal of 0.02, biases 0; the rest as PyTorch does."""
    for key, parameter in module.named_parameters():
        if key.endswith("relative_position_bias_table"):
            nn.init.trunc_normal_(parameter, std=INITIAL_STD)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=INITIAL_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def reach(cell: int, steps: Iterable[int | tuple[int, int]]) -> int:
    """Return how far beyond a cell of so many pixels, aligned to the windows, its results depend on the input.

    ``steps``, from the output back: the radius of a convolution, or (side of windows, where they begin).
    """
    low, high = 0, cell
    for step in steps:
        if isinstance(step, int):
            low, high = low - step, high + step
        else:
            side, begin = step
            low = (low - begin) // side * side + begin
            high = -((begin - high) // side * side) + begin
    return max(-low, high - cell)

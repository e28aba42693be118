"""Which network is meant where none is named. Free of PyTorch, for what must be quick."""

from __future__ import annotations

CLEAN = ("lite-x4", "lite-x2")  # embedded networks that sharpen what compression left
LARGEST_SCALE_BY_X2 = 2  # up to here a network for twice the size is the default
DENOISED = "realesr-general-x4v3"
DEFAULT_PAIR = "esrgan-x4"  # and its PSNR-trained partner
BLIND = ("blind-x4", "blind-x2")  # embedded networks that are given the kernel
ZERO_SHOT = "zssr"  # a network that is trained on the picture itself


def defaults(scale: float) -> tuple[str, str]:
    """Return the best network for ``scale``, the default on a GPU, and the embedded one, the default on a CPU."""
    return ("realesrgan-x2plus", "lite-x2") if scale <= LARGEST_SCALE_BY_X2 else ("realesrgan-x4plus", "lite-x4")


def blind(scale: float) -> str:
    """Return the embedded network for ``scale`` that is given the kernel."""
    return BLIND[scale <= LARGEST_SCALE_BY_X2]

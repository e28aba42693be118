"""LPIPS and DISTS, distances that networks learned, by their authors' libraries and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from upscale_cli.errors import DownloadError, UsageError
from upscale_cli.metrics import Levels

Distance = Callable[[Levels, Levels], float]


def lpips_distance() -> Distance:
    """Return LPIPS 0.1 on AlexNet (Zhang et al. 2018, arXiv:1801.03924) for uint8 (H, W, 3).

    Raises UsageError without the library, DownloadError where AlexNet's weights cannot be had.
    """
    with _saying_what_is_missing("LPIPS", "AlexNet", "upscale-cli[lpips]"):
        from lpips import LPIPS

        network = LPIPS(net="alex", verbose=False).eval()

    @torch.inference_mode()
    def distance(a: Levels, b: Levels) -> float:
        return float(network(*(2 * plane - 1 for plane in _planes(a, b))))

    return distance


def dists_distance() -> Distance:
    """Return DISTS (Ding et al. 2020, arXiv:2004.07728) for uint8 (H, W, 3). Raises what ``lpips_distance`` raises."""
    with _saying_what_is_missing("DISTS", "VGG16", "DISTS-pytorch"):
        from DISTS_pytorch import DISTS

        network = DISTS().eval()

    @torch.inference_mode()
    def distance(a: Levels, b: Levels) -> float:
        return float(network(*_planes(a, b)))

    return distance


@contextmanager
def _saying_what_is_missing(name: str, network: str, package: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UsageError(f"{name} is not installed.", f"Run: pip install '{package}'") from error
    except RuntimeError as error:
        raise UsageError(f"{name} does not load: {error}.", "Install the torchvision that fits your torch.") from error
    except OSError as error:
        reason = f"{network}'s weights for {name} cannot be had: {error}."
        raise DownloadError(reason, f"Leave out {name.lower()}.") from error


def _planes(*pictures: Levels) -> Iterator[torch.Tensor]:
    """Yield pictures (1, 3, H, W) in [0, 1]."""
    for picture in pictures:
        yield torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255

"""The pair pool: finished pairs wait and are exchanged at random, so that the pairs of a batch come from many batches.

Real-ESRGAN's "training pair pool" (Wang et al. 2021, section 4.1; 180 pairs): the pictures of one degraded batch share
what is drawn per batch, sizes above all, and the pool breaks this up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

DEFAULT_SIZE = 180


class PairPool:
    """Up to ``size`` pairs (LR, HR) in 8 bits, on ``device``, as those given to it must be."""

    def __init__(self, size: int = DEFAULT_SIZE, device: torch.device | str = "cpu") -> None:
        if size < 0:
            raise ValueError(f"a pool cannot hold {size} pairs")
        self.size, self._device = size, device
        self._lr: Tensor | None = None
        self._hr: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self._lr is None else self._lr.shape[0]

    def exchange(self, lr: Tensor, hr: Tensor, seed: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Take pairs (N, 3, h, w), (N, 3, H, W) in [0, 1] and return as many, determined by the seed and the pool.

        While there is room, new pairs are stored and also returned as they are. Afterwards each takes the place of one
        at random, which is returned for it; where a batch is larger than the pool, the surplus passes through. What
        comes out of the pool is in whole levels of 255.
        """
        rng = np.random.default_rng(seed)
        stored = min(self.size - len(self), lr.shape[0])
        if stored > 0:
            new_lr, new_hr = _levels(lr[:stored]), _levels(hr[:stored])
            self._lr = new_lr if self._lr is None else torch.cat([self._lr, new_lr])
            self._hr = new_hr if self._hr is None else torch.cat([self._hr, new_hr])
        swapped = min(len(self) - stored, lr.shape[0] - stored)
        if swapped <= 0:
            return lr, hr
        places = torch.from_numpy(rng.choice(len(self) - stored, swapped, replace=False)).to(lr.device)
        which = slice(stored, stored + swapped)
        assert self._lr is not None
        assert self._hr is not None
        lr_out, hr_out = lr.clone(), hr.clone()
        lr_out[which], hr_out[which] = self._lr[places].to(lr) / 255, self._hr[places].to(hr) / 255
        self._lr[places], self._hr[places] = _levels(lr[which]), _levels(hr[which])
        return lr_out, hr_out

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is in the pool: nothing, or ``lr`` and ``hr`` (pairs, 3, H, W), uint8."""
        return {} if self._lr is None or self._hr is None else {"lr": self._lr.clone(), "hr": self._hr.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what ``state_dict`` returned. Raises ValueError where it holds more pairs than this pool."""
        if "lr" in state and state["lr"].shape[0] > self.size:
            raise ValueError(f"{state['lr'].shape[0]} pairs do not fit into a pool of {self.size}")
        self._lr, self._hr = (state[name].to(self._device).clone() if name in state else None for name in ("lr", "hr"))


def _levels(images: Tensor) -> Tensor:
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)

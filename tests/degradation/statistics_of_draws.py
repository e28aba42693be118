"""Bounds for what random draws may show: five standard deviations, so that an honest draw fails once in a million."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def assert_frequency(hits: int, trials: int, probability: float) -> None:
    """``hits`` of ``trials`` agree with the probability (binomial standard deviation)."""
    assert abs(hits - trials * probability) <= 5 * math.sqrt(trials * probability * (1 - probability))


def assert_uniform(values: Sequence[float], low: float, high: float) -> None:
    """All lie in [low, high], and each quarter of it holds a quarter of them."""
    array = np.asarray(values)
    assert len(array) >= 100
    assert low <= array.min()
    assert array.max() <= high
    for hits in np.histogram(array, 4, (low, high))[0]:
        assert_frequency(int(hits), len(array), 0.25)

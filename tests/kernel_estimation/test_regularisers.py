"""What is asked of kernels, against the formulas in NumPy; and when."""

from __future__ import annotations

import numpy as np
import torch

from upscale_cli.kernel_estimation.regularisers import Schedule, regularisers


def drawn(seed: int = 0) -> torch.Tensor:
    return torch.rand(13, 13, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float() / 100


def wanted(kernel: np.ndarray, shaped: bool) -> float:
    offsets = np.arange(13) - 6
    mask = 30 * (1 - np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 13**2)))
    mask[2:-2, 2:-2] = 0
    loss = 0.5 * abs(1 - kernel.sum()) + 0.5 * np.mean(np.abs(kernel) * mask)
    if shaped:
        center = np.array([kernel.sum(1) @ np.arange(13), kernel.sum(0) @ np.arange(13)]) / kernel.sum()
        loss += 5 * np.mean(np.abs(kernel) ** 0.2) + np.mean((center - 6.5) ** 2)
    return float(loss)


def test_the_loss_is_the_sum_of_the_published_terms() -> None:
    rules, kernel = regularisers(13, 2), drawn()
    for shaped in (False, True):
        assert abs(float(rules.loss(kernel, shaped)) - wanted(kernel.double().numpy(), shaped)) < 1e-5


def test_a_point_in_the_wanted_place_costs_its_sparsity_alone() -> None:
    kernel = torch.zeros(13, 13)
    kernel[6:8, 6:8] = 0.25
    assert float(regularisers(13, 2).loss(kernel, shaped=False)) == 0
    assert abs(float(regularisers(13, 2).loss(kernel, shaped=True)) - 5 * 4 * 0.25**0.2 / 169) < 1e-6


def test_the_bicubic_term_falls_once_kernels_were_similar_three_times_in_a_row() -> None:
    schedule = Schedule()
    for iteration, loss in enumerate([0.3, 0.3, 0.5, 0.3, 0.3]):
        schedule.advance(iteration, loss)
    assert schedule.times_similar == 2
    schedule.advance(5, 0.1)
    weights = {}
    for iteration in range(6, 1201):
        schedule.advance(iteration, 1.0)
        weights[iteration] = schedule.bicubic, schedule.shaped
    assert weights[199] == (5.0, False)
    assert weights[200] == (0.05, False)
    assert weights[400] == (5e-4, True)
    assert weights[600] == (5e-6, True)
    assert weights[1200] == (5e-6, True)

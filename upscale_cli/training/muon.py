"""Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers"): steps whose directions all count the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from upscale_cli.training.recipe import Optimizer

MOMENTUM = 0.95
# The quintic of Jordan et al. 2024: five times, it takes singular values of 0.01 to 1 to 0.7 to 1.2.
QUINTIC, TIMES = (3.4445, -4.7750, 2.0315), 5
# Liu et al. 2025 (arXiv:2502.16982, eq. 4): changes are then as large as Adam's, and want the same rate.
LIKE_ADAM = 0.2


class Muon(Adam):
    """Muon for the weights of the convolutions and linear layers between a network's first and last, Adam for the rest.

    A weight's momentum, as a matrix of outputs × inputs, is replaced by the nearest orthogonal one. PyTorch has Muon
    for matrices alone.
    """

    def __init__(self, network: nn.Module, settings: Optimizer, fused: bool) -> None:
        super().__init__(
            network.parameters(), settings.rate, settings.betas, weight_decay=settings.weight_decay, fused=fused
        )
        self._step_supports_amp_scaling = False  # gradients must be unscaled before they become a momentum
        self.hidden = hidden_weights(network)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change all parameters by one step along their gradients, which are used up."""
        if closure is not None:
            raise ValueError("Muon takes no closure.")
        (group,) = self.param_groups
        alike = defaultdict(list)
        for weight in self.hidden:
            if weight.grad is not None:
                alike[weight.shape].append(weight)
        for weights in alike.values():
            self._step_together(weights, group["lr"], group["weight_decay"])
        return super().step()

    def _step_together(self, weights: list[Tensor], rate: float, decay: float) -> None:
        """Change weights of one shape, and take their gradients away from Adam."""
        directions = orthogonal(torch.stack([momentum.flatten(1) for momentum in self._momenta(weights)]))
        length = LIKE_ADAM * max(directions.shape[1:]) ** 0.5
        torch._foreach_mul_(weights, 1 - rate * decay)
        steps = [direction.view_as(weight) for weight, direction in zip(weights, directions, strict=True)]
        torch._foreach_add_(weights, steps, alpha=-rate * length)
        for weight in weights:
            weight.grad = None

    def _momenta(self, weights: list[Tensor]) -> Sequence[Tensor]:
        """Return the running means of the weights' gradients, the newest counted once more (Nesterov)."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            if not self.state[weight]:
                # Adam asks every state that it loads for its step.
                self.state[weight] |= {"momentum": torch.zeros_like(weight), "step": torch.zeros(())}
        means = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(means, gradients, 1 - MOMENTUM)
        newest: Sequence[Tensor] = torch._foreach_lerp(gradients, means, MOMENTUM)
        return newest


def hidden_weights(network: nn.Module) -> list[Tensor]:
    """Return what Muon trains: weights that mix channels, but the first layer's and the last one's."""
    layers = [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    ]
    return layers[1:-1]


def orthogonal(matrices: Tensor) -> Tensor:
    """Return (N, R, C) of ``matrices``, (N, R, C): about the nearest with singular values 1, by Newton and Schulz."""
    tall = matrices.shape[1] > matrices.shape[2]
    matrices = matrices.mT if tall else matrices
    linear, cubic, quintic = QUINTIC
    x: Tensor = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-12)
    for _ in range(TIMES):
        square = x @ x.mT
        x = linear * x + (cubic * square + quintic * square @ square) @ x
    return x.mT if tall else x

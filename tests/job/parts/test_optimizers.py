"""Stacked optimisers against torch.optim, member by member."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from noiselab.parts import Momentum
from torch import Tensor

from harness.job.parts.optimizers import SGD, Adam, Optimizer, RMSprop
from harness.training.optimizers import StackedOptimizer

PAIRS: list[tuple[Callable[[float], Optimizer], Callable[[Tensor, float], torch.optim.Optimizer]]] = [
    (lambda rate: Adam(learning_rate=rate, betas=(0.5, 0.9)), lambda p, rate: torch.optim.Adam([p], rate, (0.5, 0.9))),
    (lambda rate: RMSprop(name="rmsprop", learning_rate=rate), lambda p, rate: torch.optim.RMSprop([p], rate)),
    (lambda rate: SGD(name="sgd", learning_rate=rate), lambda p, rate: torch.optim.SGD([p], rate)),
    (lambda rate: Momentum(learning_rate=rate, momentum=0.8), lambda p, rate: torch.optim.SGD([p], rate, momentum=0.8)),
]


@pytest.mark.parametrize(("spec", "reference"), PAIRS, ids=["adam", "rmsprop", "sgd", "of a user"])
def test_members_of_different_rates_follow_torch_optim(
    spec: Callable[[float], Optimizer], reference: Callable[[Tensor, float], torch.optim.Optimizer]
) -> None:
    generator = torch.Generator().manual_seed(0)
    rates = [1e-3, 0.1]
    weights = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    update = StackedOptimizer([spec(rate) for rate in rates], weights)
    plain = [row.clone().requires_grad_() for row in weights]
    optimizers = [reference(parameter, rate) for parameter, rate in zip(plain, rates, strict=True)]
    for _ in range(20):
        gradient = torch.randn(2, 5, generator=generator, dtype=torch.float64)
        weights = update(weights, gradient)
        for parameter, optimizer, row in zip(plain, optimizers, gradient, strict=True):
            parameter.grad = row
            optimizer.step()
    torch.testing.assert_close(weights, torch.stack([p.detach() for p in plain]), atol=1e-10, rtol=1e-8)

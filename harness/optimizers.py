"""Optimisers of stacked members: elementwise updates of ``[k, p]`` parameters, one learning rate a member.

torch.optim has one learning rate a parameter group, so members that differ in it could not share a pack; the
updates below are checked against torch.optim in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .components import SGD, Adam, RMSprop

Update = Callable[[Tensor, Tensor], Tensor]


def make_optimizer(specs: Sequence[Adam | RMSprop | SGD], like: Tensor) -> Update:
    """A function ``(parameters, gradient) -> new parameters``, all ``[k, p]``, that keeps its own state.

    Args:
      specs: One a member, equal in everything but the learning rate.
      like: Gives shape, dtype and device of the parameters.
    """
    rates = torch.tensor([[spec.learning_rate] for spec in specs], dtype=like.dtype, device=like.device)
    first = specs[0]
    if isinstance(first, Adam):
        return _adam(rates, torch.zeros_like(like), torch.zeros_like(like), betas=first.betas)
    if isinstance(first, RMSprop):
        return _rmsprop(rates, torch.zeros_like(like), alpha=first.alpha)
    return lambda parameters, gradient: parameters - rates * gradient


def _adam(rates: Tensor, mean: Tensor, square: Tensor, *, betas: tuple[float, float], eps: float = 1e-8) -> Update:
    num_updates = 0

    def update(parameters: Tensor, gradient: Tensor) -> Tensor:
        nonlocal num_updates
        num_updates += 1
        mean.lerp_(gradient, 1 - betas[0])
        square.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        denominator = (square / (1 - betas[1] ** num_updates)).sqrt_().add_(eps)
        return parameters - rates * (mean / denominator) / (1 - betas[0] ** num_updates)

    return update


def _rmsprop(rates: Tensor, square: Tensor, *, alpha: float, eps: float = 1e-8) -> Update:
    def update(parameters: Tensor, gradient: Tensor) -> Tensor:
        square.mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
        return parameters - rates * gradient / square.sqrt().add_(eps)

    return update

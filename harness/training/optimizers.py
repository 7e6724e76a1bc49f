"""Optimisers of stacked members: elementwise updates of ``[k, p]`` parameters, one learning rate a member.

torch.optim has one learning rate a parameter group, so members that differ in it could not share a pack; the
updates below are checked against torch.optim in the tests.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor

from ..job.parts.optimizers import SGD, Adam, AnyOptimizer, RMSprop


class Optimizer(abc.ABC):
    """An update rule with its state.

    Attributes:
      state: By name, what the rule remembers of every member: ``[k, ...]``, changed in place.
    """

    def __init__(self, rates: Tensor, state: dict[str, Tensor]) -> None:
        self._rates, self.state = rates, state

    @abc.abstractmethod
    def __call__(self, parameters: Tensor, gradient: Tensor) -> Tensor:
        """New parameters, ``[k, p], [k, p] -> [k, p]``."""


def make_optimizer(specs: Sequence[AnyOptimizer], like: Tensor) -> Optimizer:
    """The optimiser of a pack.

    Args:
      specs: One a member, equal in everything but the learning rate.
      like: Gives shape ``[k, p]``, dtype and device of the parameters.
    """
    rates = torch.tensor([[spec.learning_rate] for spec in specs], dtype=like.dtype, device=like.device)
    match specs[0]:
        case Adam(betas=betas):
            return _Adam(rates, like, betas=betas)
        case RMSprop(alpha=alpha):
            return _RMSprop(rates, like, alpha=alpha)
        case SGD():
            return _SGD(rates, {})


class _Adam(Optimizer):
    def __init__(self, rates: Tensor, like: Tensor, *, betas: tuple[float, float], eps: float = 1e-8) -> None:
        # members may have done different numbers of updates; float64, since 1 - beta^n is a difference of near equals
        num_updates = torch.zeros(len(like), 1, dtype=torch.float64, device=like.device)
        moments = {"mean": torch.zeros_like(like), "square": torch.zeros_like(like)}
        super().__init__(rates, {**moments, "num_updates": num_updates})
        self._betas, self._eps = betas, eps

    def __call__(self, parameters: Tensor, gradient: Tensor) -> Tensor:
        mean, square, num_updates = self.state["mean"], self.state["square"], self.state["num_updates"]
        num_updates += 1
        first, second = ((1 - beta**num_updates).to(mean.dtype) for beta in self._betas)  # [k, 1]
        mean.lerp_(gradient, 1 - self._betas[0])
        square.mul_(self._betas[1]).addcmul_(gradient, gradient, value=1 - self._betas[1])
        denominator = (square / second).sqrt_().add_(self._eps)
        return parameters - self._rates * (mean / denominator) / first


class _RMSprop(Optimizer):
    def __init__(self, rates: Tensor, like: Tensor, *, alpha: float, eps: float = 1e-8) -> None:
        super().__init__(rates, {"square": torch.zeros_like(like)})
        self._alpha, self._eps = alpha, eps

    def __call__(self, parameters: Tensor, gradient: Tensor) -> Tensor:
        square = self.state["square"]
        square.mul_(self._alpha).addcmul_(gradient, gradient, value=1 - self._alpha)
        return parameters - self._rates * gradient / square.sqrt().add_(self._eps)


class _SGD(Optimizer):
    def __call__(self, parameters: Tensor, gradient: Tensor) -> Tensor:
        return parameters - self._rates * gradient

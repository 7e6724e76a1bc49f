"""The optimiser of a pack: one rule, and a learning rate and a state for each member."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..job.parts.optimizers import Optimizer


class StackedOptimizer:
    """The update rule of a pack, with what it remembers.

    Args:
      specs: One per member, equal in everything but the learning rate.
      like: Gives shape ``[k, p]``, dtype and device of the parameters.

    Attributes:
      state: By name, what the rule remembers of every member: ``[k, ...]``, changed in place.
    """

    def __init__(self, specs: Sequence[Optimizer], like: Tensor) -> None:
        self._rule = specs[0]
        self._rates = torch.tensor([[spec.learning_rate] for spec in specs], dtype=like.dtype, device=like.device)
        self.state = self._rule.start(like)

    def __call__(self, parameters: Tensor, gradient: Tensor) -> Tensor:
        """New parameters, ``[k, p], [k, p] -> [k, p]``."""
        return self._rule.step(parameters, gradient, self.state, self._rates)

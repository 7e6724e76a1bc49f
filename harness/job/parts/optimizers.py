"""Optimisers: elementwise updates of stacked parameters, one learning rate per member.

torch.optim has one learning rate a parameter group, so members that differ in it could not share a pack; the updates
below are checked against torch.optim in the tests.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from ..spec import FiniteFloat, to_tuple
from .part import Part, chooser

if TYPE_CHECKING:
    from torch import Tensor

Beta = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Annotated[FiniteFloat, Field(gt=0)]


class Optimizer(Part):
    """Base of all optimisers. Members of a pack may differ in the learning rate, and in nothing else."""

    kind: ClassVar[str] = "optimizer"

    learning_rate: LearningRate

    def start(self, like: Tensor) -> dict[str, Tensor]:
        """What the rule remembers, before the first update.

        Args:
          like: Gives shape ``[k, p]``, dtype and device of the parameters.

        Returns:
          By name, ``[k, ...]`` each; `step` changes them in place.
        """
        del like
        return {}

    @abc.abstractmethod
    def step(self, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Tensor) -> Tensor:
        """New parameters, ``[k, p], [k, p] -> [k, p]``, with the members' learning rates ``[k, 1]``.

        Nothing may be read back from the device, and no member may see another.
        """


class Adam(Optimizer):
    """Kingma & Ba (2015), with the betas of Radford et al. (2016)"""

    name: Literal["adam"] = "adam"
    learning_rate: LearningRate = 2e-4
    betas: Annotated[tuple[Beta, Beta], BeforeValidator(to_tuple)] = (0.5, 0.999)

    def start(self, like: Tensor) -> dict[str, Tensor]:
        import torch

        # members may have done different numbers of updates; float64, since 1 - beta^n is a difference of near equals
        num_updates = torch.zeros(len(like), 1, dtype=torch.float64, device=like.device)
        return {"mean": torch.zeros_like(like), "square": torch.zeros_like(like), "num_updates": num_updates}

    def step(self, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Tensor) -> Tensor:
        mean, square, num_updates = state["mean"], state["square"], state["num_updates"]
        num_updates += 1
        first, second = ((1 - beta**num_updates).to(mean.dtype) for beta in self.betas)  # [k, 1]
        mean.lerp_(gradient, 1 - self.betas[0])
        square.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
        denominator = (square / second).sqrt_().add_(_EPSILON)
        return parameters.addcdiv(mean * (-rates / first), denominator)


class RMSprop(Optimizer):
    """Hinton's RMSprop; the default of Arjovsky, Chintala & Bottou (2017)"""

    name: Literal["rmsprop"] = "rmsprop"
    learning_rate: LearningRate = 5e-5
    alpha: Beta = 0.99

    def start(self, like: Tensor) -> dict[str, Tensor]:
        import torch

        return {"square": torch.zeros_like(like)}

    def step(self, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Tensor) -> Tensor:
        square = state["square"]
        square.mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
        return parameters - rates * gradient / square.sqrt().add_(_EPSILON)


class SGD(Optimizer):
    """Plain gradient descent"""

    name: Literal["sgd"] = "sgd"
    learning_rate: LearningRate = 1e-2

    def step(self, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Tensor) -> Tensor:
        return parameters - rates * gradient


_EPSILON = 1e-8

OPTIMIZERS: Mapping[str, type[Optimizer]] = {"adam": Adam, "rmsprop": RMSprop, "sgd": SGD}
AnyOptimizer = Annotated[SerializeAsAny[Optimizer], BeforeValidator(chooser(Optimizer, OPTIMIZERS))]
"""An optimiser as a job names it."""

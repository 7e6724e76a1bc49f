"""Optimisers a job can name."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from ..spec import FiniteFloat, Spec, to_tuple

# --- optimisers, penalties, losses, noise -----------------------------------------------------------------------

Beta = Annotated[float, Field(ge=0, lt=1)]


class Adam(Spec):
    """Kingma & Ba (2015), with the betas of Radford et al. (2016)."""

    name: Literal["adam"] = "adam"
    learning_rate: FiniteFloat = Field(2e-4, gt=0)
    betas: Annotated[tuple[Beta, Beta], BeforeValidator(to_tuple)] = (0.5, 0.999)


class RMSprop(Spec):
    """Hinton's RMSprop; the default of Arjovsky, Chintala & Bottou (2017)."""

    name: Literal["rmsprop"]
    learning_rate: FiniteFloat = Field(5e-5, gt=0)
    alpha: Beta = 0.99


class SGD(Spec):
    """Plain gradient descent."""

    name: Literal["sgd"]
    learning_rate: FiniteFloat = Field(1e-2, gt=0)


OPTIMIZERS: dict[str, type[Spec]] = {"adam": Adam, "rmsprop": RMSprop, "sgd": SGD}
AnyOptimizer: TypeAlias = Adam | RMSprop | SGD
Optimizer = Annotated[AnyOptimizer, Field(discriminator="name")]

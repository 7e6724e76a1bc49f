"""Regularisers of the discriminator: terms of its loss, or acts on its weights.

Every gradient penalty is a function of the norms ``||grad_x D(x)||`` at some points; what differs is where (on real
samples, on fakes, on the segments between them, around real samples) and towards which norm. That of Roth weighs them
by the logits too.

References:
  Arjovsky, Chintala & Bottou (2017), "Wasserstein GAN" (weight_clip); Gulrajani et al. (2017), "Improved training of
  Wasserstein GANs" (gradient_penalty); Kodali et al. (2017), "On convergence and stability of GANs" (dragan);
  Mescheder et al. (2018), "Which training methods for GANs do actually converge?" (r1, r2, zero_centred); Roth et al.
  (2017), "Stabilizing training of generative adversarial networks through regularization" (roth); Huang et al. (2024),
  "The GAN is dead; long live the GAN! A modern GAN baseline" (r1_r2, with the loss relativistic).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from ..spec import FiniteFloat, MistakesError, to_tuple
from .part import chooser
from .penalty import Discriminator, Draws, Weight, number, one_a_member
from .penalty import Penalty as Penalty
from .penalty import Strength as Strength
from .schedules import Schedule

if TYPE_CHECKING:
    from torch import Tensor

    from ...theory.dirac import LinearPenalty
    from ...theory.losses import Loss


class NoPenalty(Penalty):
    """No regulariser"""

    name: Literal["none"] = "none"

    @classmethod
    def undefined(cls) -> list[str]:
        return []

    def on_linear(self) -> LinearPenalty:
        from ...theory.dirac import LinearPenalty

        return LinearPenalty()


class WeightClip(Penalty):
    """Clamp every discriminator parameter to [-limit, limit] after each step"""

    name: Literal["weight_clip"] = "weight_clip"
    limit: FiniteFloat = Field(0.01, gt=0)

    def constrain(self, weights: Tensor) -> Tensor:
        return weights.clamp(min=-self.limit, max=self.limit)

    def on_linear(self) -> LinearPenalty:
        from ...theory.dirac import LinearPenalty

        return LinearPenalty(clip=self.limit)


class GradientPenalty(Penalty):
    """weight mean (||grad D|| - 1)^2 on segments between real and fake samples"""

    name: Literal["gradient_penalty"] = "gradient_penalty"
    weight: Strength = 10.0

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        return {"alpha": (batch,)}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        points = penalties.on_segments(real, fake, draws["alpha"])
        squared = penalties.squared_gradient_norms(discriminator, points)
        return penalties.towards_one(squared, weight=number(self.weight))

    def on_linear(self) -> LinearPenalty:
        return _on_linear(number(self.weight), target=1.0)


class Dragan(Penalty):
    """weight mean (||grad D|| - 1)^2 around real samples, at distances up to spread deviations of the batch"""

    name: Literal["dragan"] = "dragan"
    weight: Strength = 10.0
    spread: Weight = 0.5

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        return {"alpha": (batch,), "perturbation": (batch, *shape)}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        points = penalties.around(real, draws["alpha"], draws["perturbation"], spread=self.spread)
        squared = penalties.squared_gradient_norms(discriminator, points)
        return penalties.towards_one(squared, weight=number(self.weight))

    def on_linear(self) -> LinearPenalty:
        return _on_linear(number(self.weight), target=1.0)


class R1(Penalty):
    """gamma/2 mean ||grad D||^2 on real samples"""

    name: Literal["r1"] = "r1"
    gamma: Strength = 10.0

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        squared = penalties.squared_gradient_norms(discriminator, real)
        return penalties.towards_zero(squared, weight=number(self.gamma) / 2)

    def on_linear(self) -> LinearPenalty:
        return _on_linear(number(self.gamma) / 2, target=0.0)


class R2(Penalty):
    """gamma/2 mean ||grad D||^2 on fake samples"""

    name: Literal["r2"] = "r2"
    gamma: Strength = 10.0

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        squared = penalties.squared_gradient_norms(discriminator, fake)
        return penalties.towards_zero(squared, weight=number(self.gamma) / 2)

    def on_linear(self) -> LinearPenalty:
        return _on_linear(number(self.gamma) / 2, target=0.0)


class R1R2(Penalty):
    """gamma/2 (mean ||grad D||^2 on real + mean ||grad D||^2 on fake samples); with the loss relativistic R3GAN"""

    name: Literal["r1_r2"] = "r1_r2"
    gamma: Strength = 10.0

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        norms = (penalties.squared_gradient_norms(discriminator, samples) for samples in (real, fake))
        on_real, on_fake = (penalties.towards_zero(squared, weight=number(self.gamma) / 2) for squared in norms)
        return on_real + on_fake

    def on_linear(self) -> LinearPenalty:
        return _on_linear(number(self.gamma), target=0.0)


class Roth(Penalty):
    """gamma/2 (mean (1 - s)^2 ||grad D||^2 on real + mean s^2 ||grad D||^2 on fake samples), s = sigmoid(D)

    What instance noise of variance gamma adds to the loss, in second order and at the optimal discriminator (see
    `theory.penalties.roth`). As in the authors' code, it is differentiated through s too.
    """

    name: Literal["roth"] = "roth"
    gamma: Strength = 0.1

    def why_not(self, loss: Loss) -> str | None:
        if loss.objective.is_cross_entropy:
            return None
        return (
            "roth weighs gradients by sigmoid(D), the probability that a sample is real under cross-entropy alone; "
            f"loss {loss.name} has another objective: use minimax or non_saturating, or another penalty"
        )

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        on_real, on_fake = (penalties.logits_and_squared_norms(discriminator, samples) for samples in (real, fake))
        return penalties.roth(on_real, on_fake, gamma=number(self.gamma))

    def on_linear(self) -> LinearPenalty:
        from ...theory.dirac import LinearPenalty

        return LinearPenalty(roth=number(self.gamma))


class ZeroCentred(Penalty):
    """weight mean ||grad D||^2 on segments between real and fake samples"""

    name: Literal["zero_centred"] = "zero_centred"
    weight: Strength = 10.0

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        return {"alpha": (batch,)}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        points = penalties.on_segments(real, fake, draws["alpha"])
        squared = penalties.squared_gradient_norms(discriminator, points)
        return penalties.towards_zero(squared, weight=number(self.weight))

    def on_linear(self) -> LinearPenalty:
        return _on_linear(number(self.weight), target=0.0)


def _on_linear(weight: float, *, target: float) -> LinearPenalty:
    from ...theory.dirac import LinearPenalty

    return LinearPenalty(weight=weight, target=target)


class Sum(Penalty):
    """Several penalties at once, written {sum: [r1, {name: r2, gamma: 1}]}

    Its value is the sum of theirs. Each has random numbers of its own, and constrains the weights in the order given.
    """

    name: Literal["sum"] = "sum"
    sum: Annotated[
        tuple[Annotated[SerializeAsAny[Penalty], BeforeValidator(lambda value: _penalty_of(value))], ...],
        BeforeValidator(to_tuple),
    ]

    @field_validator("sum")
    @classmethod
    def _is_one(cls, terms: tuple[Penalty, ...]) -> tuple[Penalty, ...]:
        if len(terms) < 2:
            raise ValueError(f"a sum has at least two penalties, got {len(terms)}; name a single one by itself")
        for index, term in enumerate(terms):
            if isinstance(term, (Sum, NoPenalty)):
                text = f"{term.name} cannot be part of a sum; list the penalties that act, each once"
                raise MistakesError([((index,), text)])
            if term.name in [other.name for other in terms[:index]]:
                text = f"{term.name} occurs twice in a sum; list it once, with the strength of both"
                raise MistakesError([((index,), text)])
        return terms

    @functools.cached_property
    def description(self) -> str:
        """``r1(gamma=10) + r2(gamma=1)``"""
        return " + ".join(term.description for term in self.sum)

    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "sum": [term.identity() for term in self.sum]}

    @property
    def terms(self) -> tuple[Penalty, ...]:
        return self.sum

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        return tuple(schedule for term in self.sum for schedule in term.schedules)

    def at(self, strength: Callable[[Schedule], Tensor | float]) -> Self:
        return self.model_copy(update={"sum": tuple(term.at(strength) for term in self.sum)})

    def why_not(self, loss: Loss) -> str | None:
        return next((reason for term in self.sum if (reason := term.why_not(loss)) is not None), None)

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        asked = ((place, term.draws(batch, shape)) for place, term in self._places())
        return {f"{place}{name}": wanted for place, shapes in asked for name, wanted in shapes.items()}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        value: Tensor | float = 0.0
        for place, term in self._places():
            own = {name.removeprefix(place): drawn for name, drawn in draws.items() if name.startswith(place)}
            value = value + one_a_member(term, term(discriminator, real, fake, Draws(own)), num_members=len(real))
        return value

    def constrain(self, weights: Tensor) -> Tensor:
        for term in self.sum:
            weights = term.constrain(weights)
        return weights

    def on_linear(self) -> LinearPenalty:
        first, *others = (term.on_linear() for term in self.sum)
        for other in others:
            first = first + other
        return first

    def _places(self) -> Iterator[tuple[str, Penalty]]:
        """The terms, and what their draws' names begin with: two may ask for one name."""
        return ((f"{index} ", term) for index, term in enumerate(self.sum))


PENALTIES: Mapping[str, type[Penalty]] = {
    "none": NoPenalty,
    "weight_clip": WeightClip,
    "gradient_penalty": GradientPenalty,
    "dragan": Dragan,
    "r1": R1,
    "r2": R2,
    "r1_r2": R1R2,
    "zero_centred": ZeroCentred,
    "roth": Roth,
    "sum": Sum,
}
_named_penalty = chooser(Penalty, PENALTIES)


def _penalty_of(value: Any) -> Any:
    """The penalty a job names, of which a sum need not say that it is one."""
    if isinstance(value, (list, tuple)):
        raise ValueError(f"penalties that act together are a sum, {{sum: [r1, r2]}}; got the list {value}")
    return _named_penalty({"name": "sum", **value} if isinstance(value, Mapping) and "sum" in value else value)


AnyPenalty = Annotated[SerializeAsAny[Penalty], BeforeValidator(_penalty_of)]
"""A penalty as a job names it."""

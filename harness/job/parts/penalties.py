"""Regularisers of the discriminator: terms of its loss, or acts on its weights.

Every gradient penalty is a function of the norms ``||grad_x D(x)||`` at some points; what differs is where (on real
samples, on fakes, on the segments between them, around real samples) and towards which norm.

References:
  Arjovsky, Chintala & Bottou (2017), "Wasserstein GAN" (weight_clip); Gulrajani et al. (2017), "Improved training of
  Wasserstein GANs" (gradient_penalty); Kodali et al. (2017), "On convergence and stability of GANs" (dragan);
  Mescheder et al. (2018), "Which training methods for GANs do actually converge?" (r1, r2, zero_centred).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from ..spec import FiniteFloat
from .part import Part, chooser

if TYPE_CHECKING:
    from torch import Tensor

    from ...theory.dirac import LinearPenalty

Weight = Annotated[FiniteFloat, Field(ge=0)]
Discriminator = Callable[["Tensor"], "Tensor"]
"""From samples ``[k, b, *shape]`` of k members to logits ``[k, b]``."""


class Penalty(Part):
    """Base of all penalties."""

    kind: ClassVar[str] = "penalty"

    @classmethod
    def undefined(cls) -> list[str]:
        acts = cls.__call__ is not Penalty.__call__ or cls.constrain is not Penalty.constrain
        return [] if acts or cls is NoPenalty else ["__call__ or constrain"]

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        """Shapes, by name, of the uniform random numbers in [0, 1) that each member needs in a step."""
        del batch, shape
        return {}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        """The term of each member's loss, ``[k]``, differentiable in the discriminators' weights; 0 for none.

        Args:
          discriminator: Of all k members.
          real, fake: The noisy batches they see, ``[k, b, *shape]``, data units.
          draws: What `draws` asked for, ``[k, ...]`` each.
        """
        return 0.0

    def constrain(self, weights: Tensor) -> Tensor:
        """The discriminators' weights ``[k, p]`` after an update, as the penalty allows them."""
        return weights

    def on_linear(self) -> LinearPenalty:
        """What the penalty is for the discriminator ``D(x) = psi x`` of the Dirac-GAN (protocol dirac).

        Raises:
          ValueError: If the penalty does not say.
        """
        raise ValueError(f"penalty {self.name} does not say what it is on the Dirac-GAN; it has no on_linear")


class NoPenalty(Penalty):
    """No regulariser"""

    name: Literal["none"] = "none"

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
    weight: Weight = 10.0

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        return {"alpha": (batch,)}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        points = penalties.on_segments(real, fake, draws["alpha"])
        return penalties.towards_one(penalties.squared_gradient_norms(discriminator, points), weight=self.weight)

    def on_linear(self) -> LinearPenalty:
        return _on_linear(self.weight, target=1.0)


class Dragan(Penalty):
    """weight mean (||grad D|| - 1)^2 around real samples, at distances up to spread deviations of the batch"""

    name: Literal["dragan"] = "dragan"
    weight: Weight = 10.0
    spread: Weight = 0.5

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        return {"alpha": (batch,), "perturbation": (batch, *shape)}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        points = penalties.around(real, draws["alpha"], draws["perturbation"], spread=self.spread)
        return penalties.towards_one(penalties.squared_gradient_norms(discriminator, points), weight=self.weight)

    def on_linear(self) -> LinearPenalty:
        return _on_linear(self.weight, target=1.0)


class R1(Penalty):
    """gamma/2 mean ||grad D||^2 on real samples"""

    name: Literal["r1"] = "r1"
    gamma: Weight = 10.0

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        return penalties.towards_zero(penalties.squared_gradient_norms(discriminator, real), weight=self.gamma / 2)

    def on_linear(self) -> LinearPenalty:
        return _on_linear(self.gamma / 2, target=0.0)


class R2(Penalty):
    """gamma/2 mean ||grad D||^2 on fake samples"""

    name: Literal["r2"] = "r2"
    gamma: Weight = 10.0

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        return penalties.towards_zero(penalties.squared_gradient_norms(discriminator, fake), weight=self.gamma / 2)

    def on_linear(self) -> LinearPenalty:
        return _on_linear(self.gamma / 2, target=0.0)


class ZeroCentred(Penalty):
    """weight mean ||grad D||^2 on segments between real and fake samples"""

    name: Literal["zero_centred"] = "zero_centred"
    weight: Weight = 10.0

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        return {"alpha": (batch,)}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        from ...theory import penalties

        points = penalties.on_segments(real, fake, draws["alpha"])
        return penalties.towards_zero(penalties.squared_gradient_norms(discriminator, points), weight=self.weight)

    def on_linear(self) -> LinearPenalty:
        return _on_linear(self.weight, target=0.0)


def _on_linear(weight: float, *, target: float) -> LinearPenalty:
    from ...theory.dirac import LinearPenalty

    return LinearPenalty(weight=weight, target=target)


PENALTIES: Mapping[str, type[Penalty]] = {
    "none": NoPenalty,
    "weight_clip": WeightClip,
    "gradient_penalty": GradientPenalty,
    "dragan": Dragan,
    "r1": R1,
    "r2": R2,
    "zero_centred": ZeroCentred,
}
AnyPenalty = Annotated[SerializeAsAny[Penalty], BeforeValidator(chooser(Penalty, PENALTIES))]
"""A penalty as a job names it."""

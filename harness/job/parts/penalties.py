"""Regularisers of the discriminator that a job can name."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from ..spec import FiniteFloat, Spec, by_name


class NoPenalty(Spec):
    """No regulariser."""

    name: Literal["none"] = "none"


class WeightClip(Spec):
    """Discriminator parameters clamped to [-limit, limit] after each step."""

    name: Literal["weight_clip"]
    limit: FiniteFloat = Field(0.01, gt=0)


Weight = Annotated[FiniteFloat, Field(ge=0)]


class GradientPenalty(Spec):
    """Gulrajani et al. (2017): gradient norm 1 on the segments between real and fake samples."""

    name: Literal["gradient_penalty"]
    weight: Weight = 10.0


class Dragan(Spec):
    """Kodali et al. (2017): gradient norm 1 around real samples."""

    name: Literal["dragan"]
    weight: Weight = 10.0
    spread: Weight = 0.5


class R1(Spec):
    """Mescheder et al. (2018): gradient norm 0 on real samples."""

    name: Literal["r1"]
    gamma: Weight = 10.0


class R2(Spec):
    """Mescheder et al. (2018): gradient norm 0 on fake samples."""

    name: Literal["r2"]
    gamma: Weight = 10.0


class ZeroCentred(Spec):
    """Gradient norm 0 on the segments between real and fake samples."""

    name: Literal["zero_centred"]
    weight: Weight = 10.0


AnyPenalty: TypeAlias = NoPenalty | WeightClip | GradientPenalty | Dragan | R1 | R2 | ZeroCentred
Penalty = Annotated[Annotated[AnyPenalty, Field(discriminator="name")], BeforeValidator(by_name)]

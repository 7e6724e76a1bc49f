"""What a job is made of: networks, optimisers, penalties, losses and noise, as frozen, validated objects."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_serializer

from .extensions import resolve, source_digest
from .spec import FiniteFloat, Spec, exact
from .theory import schedules
from .theory.losses import LOSSES, Loss
from .theory.schedules import SCHEDULES, Schedule


def to_tuple(value: Any) -> Any:
    """A YAML list as the tuple a frozen object needs."""
    return tuple(value) if isinstance(value, list) else value


# --- networks ---------------------------------------------------------------------------------------------------


BatchNorm: TypeAlias = Literal["joint", "separate", "none"]


class MLP(Spec):
    """Fully connected generator and discriminator of equal width and depth.

    `spectral_norm` divides every weight matrix of the discriminator by its largest singular value.
    """

    name: Literal["mlp"]
    width: int = Field(64, ge=1)
    depth: int = Field(2, ge=1)
    latent: int = Field(8, ge=1)
    spectral_norm: bool = False

    @property
    def batch_norm(self) -> BatchNorm:
        """How the discriminator normalises real and fake batches: not at all."""
        return "none"


class DCGAN(Spec):
    """Radford et al. (2016) for square images of a power-of-two size from 8 to 128.

    `batch_norm` is the discriminator's: ``separate`` normalises real and fake batches apart (which leaks the label),
    ``joint`` together, ``none`` has no normalisation. The generator always has it. `spectral_norm` divides every weight
    matrix of the discriminator by its largest singular value (Miyato et al. 2018).
    """

    name: Literal["dcgan"]
    width: int = Field(16, ge=1)
    latent: int = Field(32, ge=1)
    batch_norm: BatchNorm = "joint"
    spectral_norm: bool = False


NETWORKS: dict[str, type[Spec]] = {"mlp": MLP, "dcgan": DCGAN}
Networks = Annotated[MLP | DCGAN, Field(discriminator="name")]


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
Optimizer = Annotated[Adam | RMSprop | SGD, Field(discriminator="name")]


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


def _penalty_by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


AnyPenalty: TypeAlias = NoPenalty | WeightClip | GradientPenalty | Dragan | R1 | R2 | ZeroCentred
Penalty = Annotated[Annotated[AnyPenalty, Field(discriminator="name")], BeforeValidator(_penalty_by_name)]


def find_loss(name: str) -> Loss:
    """The loss of this name, built in or ``package.module:name``."""
    loss = resolve(name, LOSSES, kind="loss")
    if not isinstance(loss, Loss):
        raise ValueError(f"'{name}' is a {type(loss).__name__}; a loss must be a harness.theory.losses.Loss")
    return loss


def _known_loss(name: str) -> str:
    find_loss(name)
    return name


LossName = Annotated[str, AfterValidator(_known_loss)]


class Sigma(Spec):
    """Noise over training time: a schedule family with its parameters, or the constant of a plain number."""

    schedule: str = "constant"
    parameters: tuple[tuple[str, FiniteFloat], ...] = ()

    def function(self) -> Schedule:
        """``sigma(t)``, t in [0, 1]."""
        return resolve(self.schedule, SCHEDULES, kind="schedule")(**dict(self.parameters))

    def identity(self) -> list[Any]:
        """What determines the values: family, parameters, and for a user's own the hash of its source."""
        return [self.schedule, dict(self.parameters), source_digest(self.schedule)]

    @property
    def is_constant(self) -> bool:
        return self.schedule == "constant"

    @model_serializer
    def _as_in_a_job_file(self) -> float | dict[str, float | str]:
        if self.is_constant:
            return dict(self.parameters)["sigma"]
        return {"schedule": self.schedule, **dict(self.parameters)}

    def __str__(self) -> str:
        if self.is_constant:
            return exact(self.parameters[0][1])
        return f"{self.schedule}({', '.join(f'{name}={exact(value)}' for name, value in self.parameters)})"


def _parse_sigma(value: Any) -> Any:
    if isinstance(value, Sigma):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = {"schedule": "constant", "sigma": value}
    if not isinstance(value, dict) or "schedule" not in value:
        raise ValueError(
            f"must be a number >= 0 or a schedule such as {{schedule: linear, start: 0.5, end: 0}}, got {value!r}"
        )
    given = {name: item for name, item in value.items() if name != "schedule"}
    factory = resolve(str(value["schedule"]), SCHEDULES, kind="schedule")
    for name, item in given.items():
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            raise ValueError(f"{name} must be a number, got {item!r}")
    if value["schedule"] in SCHEDULES and set(given) != set(schedules.parameters(value["schedule"])):
        raise ValueError(
            f"schedule {value['schedule']} takes {', '.join(schedules.parameters(value['schedule']))}; "
            f"got {', '.join(given) or 'nothing'}"
        )
    _check_schedule(factory, given)
    return Sigma(schedule=value["schedule"], parameters=tuple(sorted((name, float(x)) for name, x in given.items())))


SMALLEST_SIGMA = 1e-20


def _check_schedule(factory: Any, given: dict[str, Any]) -> None:
    """Calls a schedule, which may be a user's own, at a few times."""
    try:
        schedule = factory(**{name: float(value) for name, value in given.items()})
        values = [float(schedule(t)) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    except ValueError:
        raise
    except Exception as error:  # a user's own code may raise anything
        raise ValueError(f"the schedule cannot be used: {type(error).__name__}: {error}") from error
    for value in values:
        if not (value == 0 or SMALLEST_SIGMA <= value < math.inf):
            raise ValueError(f"sigma must be 0, or finite and at least {SMALLEST_SIGMA}; the schedule gives {value}")


SigmaValue = Annotated[Sigma, BeforeValidator(_parse_sigma)]

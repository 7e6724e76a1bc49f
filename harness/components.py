"""What a job is made of: networks, optimisers, penalties, losses and noise, as frozen, validated objects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_serializer,
)

from .errors import suggest
from .extensions import resolve, source_digest
from .spec import FiniteFloat, Spec, exact
from .theory import schedules
from .theory.losses import LOSSES, Loss
from .theory.noise import NOISES
from .theory.schedules import SCHEDULES, Adaptive, Schedule


def to_tuple(value: Any) -> Any:
    """A YAML list as the tuple a frozen object needs."""
    return tuple(value) if isinstance(value, list) else value


def to_matrix(value: Any) -> Any:
    """A YAML list of lists as a tuple of tuples."""
    return tuple(to_tuple(row) for row in value) if isinstance(value, (list, tuple)) else value


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


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
AnyOptimizer: TypeAlias = Adam | RMSprop | SGD
Optimizer = Annotated[AnyOptimizer, Field(discriminator="name")]


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
Penalty = Annotated[Annotated[AnyPenalty, Field(discriminator="name")], BeforeValidator(_by_name)]


def find_loss(name: str) -> Loss:
    """The loss of this name, built in or ``package.module:name``."""
    loss = resolve(name, LOSSES, kind="loss")
    if not isinstance(loss, Loss):
        raise ValueError(f"'{name}' is a {type(loss).__name__}; a loss must be a harness.theory.losses.Loss")
    if name in LOSSES or any(loss.objective is known.objective for known in LOSSES.values()):
        return loss
    # losses share probes and packs by their objective's name: a user's own must not be taken for another
    return replace(loss, objective=replace(loss.objective, name=f"{name} {loss.objective.name}"))


def named_with_source(loss: str) -> str:
    """A loss's name, and for a user's own the hash of its source."""
    return f"{loss} {source_digest(loss)}".strip()


def describe_spec(spec: Spec) -> str:
    """A short text for a column: ``weight_clip(limit=0.01)``, or just the name."""
    values = spec.model_dump(exclude={"name"})
    inner = ", ".join(f"{key}={exact(value) if isinstance(value, float) else value}" for key, value in values.items())
    return f"{spec.name}({inner})" if inner else str(spec.name)  # type: ignore[attr-defined]


def _known_loss(name: str) -> str:
    find_loss(name)
    return name


LossName = Annotated[str, AfterValidator(_known_loss)]


class PlainNoise(Spec):
    """A family of noise without options."""

    name: Literal["truncated", "gaussian", "cauchy"]

    def __str__(self) -> str:
        return self.name


LARGEST_COVARIANCE = 4096
"""Coordinates of samples whose covariance is still made: it has 128 MiB, and factorising it takes seconds."""


class FullCovarianceNoise(Spec):
    """Gaussian noise with a covariance of its own.

    `covariance` is that of the noise at sigma 1, a matrix, or ``data``: nine parts of the covariance of the training
    samples, scaled to trace d, and one part identity, so that constant pixels get noise too.
    """

    name: Literal["full_covariance"]
    covariance: Literal["data"] | Annotated[tuple[tuple[FiniteFloat, ...], ...], BeforeValidator(to_matrix)] = "data"

    def __str__(self) -> str:
        return self.name if self.covariance == "data" else f"{self.name}({self.covariance})"

    @field_validator("covariance")
    @classmethod
    def _positive_definite(cls, value: Any) -> Any:
        if value != "data":
            import numpy as np

            if not value or any(len(row) != len(value) for row in value):
                raise ValueError("must be a square matrix, or data")
            matrix = np.array(value)
            if not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix).min() <= 0:
                raise ValueError("must be symmetric and positive definite")
        return value


AnyNoise: TypeAlias = PlainNoise | FullCovarianceNoise
TRUNCATED = PlainNoise(name="truncated")
NoiseValue = Annotated[Annotated[AnyNoise, Field(discriminator="name")], BeforeValidator(_by_name)]
_noise_adapter: TypeAdapter[AnyNoise] = TypeAdapter(NoiseValue)


class Sigma(Spec):
    """Noise over training time: a schedule with its parameters, or the constant of a plain number, and a family."""

    schedule: str = "constant"
    parameters: tuple[tuple[str, FiniteFloat], ...] = ()
    noise: AnyNoise = TRUNCATED

    def function(self) -> Schedule | Adaptive:
        """``sigma(t)``, t in [0, 1]; for an adaptive schedule its rule."""
        return resolve(self.schedule, SCHEDULES, kind="schedule")(**dict(self.parameters))

    def at(self, t: float) -> float | None:
        """``sigma(t)``; None for an adaptive schedule, of which only the training can tell."""
        function = self.function()
        return None if isinstance(function, Adaptive) else function(t)

    def identity(self) -> list[Any]:
        """What determines the values: family, parameters, and for a user's own the hash of its source."""
        noise = [] if self.noise == TRUNCATED else [self.noise.model_dump(mode="json")]
        return [self.schedule, dict(self.parameters), source_digest(self.schedule), *noise]

    @property
    def is_constant(self) -> bool:
        return self.schedule == "constant"

    @model_serializer
    def _as_in_a_job_file(self) -> float | dict[str, Any]:
        values = dict(self.parameters)
        if self.noise == TRUNCATED:
            return values["sigma"] if self.is_constant else {"schedule": self.schedule, **values}
        noise = self.noise.model_dump(mode="json") if isinstance(self.noise, FullCovarianceNoise) else self.noise.name
        return {**({} if self.is_constant else {"schedule": self.schedule}), **values, "noise": noise}

    def __str__(self) -> str:
        inner = ", ".join(f"{name}={exact(value)}" for name, value in self.parameters)
        text = exact(self.parameters[0][1]) if self.is_constant else f"{self.schedule}({inner})"
        return text if self.noise == TRUNCATED else f"{text} {self.noise}"


def _parse_sigma(value: Any) -> Any:
    if isinstance(value, Sigma):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = {"sigma": value}
    if not isinstance(value, dict) or not {"schedule", "sigma"} & set(value):
        raise ValueError(
            "must be a number >= 0, a schedule such as {schedule: linear, start: 0.5, end: 0}, or another family of "
            f"noise such as {{sigma: 0.5, noise: gaussian}}; got {value!r}"
        )
    noise = _parse_noise(value.get("noise", TRUNCATED))
    value = {"schedule": "constant", **{name: item for name, item in value.items() if name != "noise"}}
    given = {name: item for name, item in value.items() if name != "schedule"}
    resolve(str(value["schedule"]), SCHEDULES, kind="schedule")
    for name, item in given.items():
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            raise ValueError(f"{name} must be a number, got {item!r}")
    if value["schedule"] in SCHEDULES:
        schedules.check_names(value["schedule"], given)
    return sigma_from(value["schedule"], given, noise)


def sigma_from(schedule: str, parameters: Mapping[str, float], noise: AnyNoise) -> Sigma:
    """A schedule from its parameters, checked.

    Raises:
      ValueError: If they do not make a schedule.
    """
    _check_schedule(resolve(schedule, SCHEDULES, kind="schedule"), dict(parameters))
    # a default that is written out is no other schedule
    defaults = schedules.defaults(schedule) if schedule in SCHEDULES else {}
    given = tuple(sorted((name, float(x)) for name, x in parameters.items() if defaults.get(name) != x))
    return Sigma(schedule=schedule, parameters=given, noise=noise)


def _parse_noise(value: Any) -> AnyNoise:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", value)
    if not isinstance(name, str) or name not in NOISES:
        raise ValueError(f"unknown noise {name!r}.{suggest(str(name), NOISES)}")
    try:
        return _noise_adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"noise {name}: {first['msg'].removeprefix('Value error, ')}") from None


SMALLEST_SIGMA = 1e-20


def _check_schedule(factory: Any, given: dict[str, Any]) -> None:
    """Calls a schedule, which may be a user's own, at a few times."""
    try:
        schedule = factory(**{name: float(value) for name, value in given.items()})
        if isinstance(schedule, Adaptive):
            schedule = schedules.constant(sigma=schedule.start)
        values = [float(schedule(t)) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    except ValueError:
        raise
    except Exception as error:  # a user's own code may raise anything
        raise ValueError(f"the schedule cannot be used: {type(error).__name__}: {error}") from error
    for value in values:
        if not (value == 0 or SMALLEST_SIGMA <= value < math.inf):
            raise ValueError(f"sigma must be 0, or finite and at least {SMALLEST_SIGMA}; the schedule gives {value}")


SigmaValue = Annotated[Sigma, BeforeValidator(_parse_sigma)]

"""Noise over training time: a family of noise, and a schedule of its scale."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, field_validator, model_serializer

from ...errors import suggest
from ...identity import canonical_json
from ...theory import schedules
from ...theory.noise import NOISES
from ...theory.schedules import SCHEDULES, Adaptive, Schedule
from ..extensions import resolve, source_digest
from ..spec import FiniteFloat, Spec, by_name, exact, to_matrix


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
NoiseValue = Annotated[Annotated[AnyNoise, Field(discriminator="name")], BeforeValidator(by_name)]
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

    @functools.cached_property
    def canonical(self) -> str:
        """What determines the values: family, parameters, and for a user's own the hash of its source."""
        noise = [] if self.noise == TRUNCATED else [self.noise.model_dump(mode="json")]
        return canonical_json([self.schedule, dict(self.parameters), source_digest(self.schedule), *noise])

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
        return self.description

    @functools.cached_property
    def description(self) -> str:
        """``0.5``, ``linear(end=0, start=0.5)``, ``0.5 gaussian``."""
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

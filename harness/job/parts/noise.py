"""Noise over training time: a family of noise, and a schedule of its scale.

The mathematics of the families - draws, densities, moments - is `theory.noise`; here is what a job may say of them.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    field_validator,
    model_serializer,
    model_validator,
)

from ...identity import canonical_json
from ..extensions import source_digest
from ..spec import FiniteFloat, InnerError, MistakesError, Spec, exact, to_matrix, to_tuple
from .part import Part, chooser
from .schedules import Constant, Schedule

if TYPE_CHECKING:
    from torch import Tensor

    from ...theory.levels import MixedLevels as LevelledFamily
    from ...theory.noise import Noise as NoiseFamily

MAX_COVARIANCE = 4096
"""Coordinates of samples whose covariance is still made: it has 128 MiB, and factorising it takes seconds."""

MIN_LEVEL = 1e-6
"""The smallest multiple of sigma other than 0: float32 squares of smaller ones are lost beside that of sigma."""
MAX_LEVELS = 64
"""Levels of noise of a sample, each of which is a pass over all pairs of samples."""


class Noise(Part):
    """Base of all families of noise."""

    kind: ClassVar[str] = "noise"

    def needs(self, dimension: int) -> str | None:
        """What is wrong with samples of this dimension; None if nothing is."""
        del dimension
        return None

    @abc.abstractmethod
    def family(self, samples: Callable[[int], Tensor]) -> NoiseFamily:
        """The family's draws, densities and moments.

        Args:
          samples: Gives that many training samples of the problem, ``[at most num, *shape]``.
        """

    def as_in_a_job_file(self) -> str | dict[str, Any]:
        """The name alone where there are no parameters."""
        values = self.model_dump(mode="json")
        return values if len(values) > 1 else self.name


class Truncated(Noise):
    """eps ~ N(0, sigma^2 I) given ||eps|| <= sigma (sqrt(d) + 5); the default, for which all bounds hold"""

    name: Literal["truncated"] = "truncated"

    def family(self, samples: Callable[[int], Tensor]) -> NoiseFamily:
        from ...theory.noise import Truncated

        return Truncated()


class Gaussian(Noise):
    """eps ~ N(0, sigma^2 I); unbounded, so of the full bounds only weighted holds"""

    name: Literal["gaussian"] = "gaussian"

    def family(self, samples: Callable[[int], Tensor]) -> NoiseFamily:
        from ...theory.noise import Gaussian

        return Gaussian()


class FullCovariance(Noise):
    """eps ~ N(0, sigma^2 S), S the data's own covariance or a given one; unbounded, only weighted holds

    `covariance` is that of the noise at sigma 1, a matrix, or ``data``: nine parts of the covariance of the training
    samples, scaled to trace d, and one part identity, so that constant pixels get noise too.
    """

    name: Literal["full_covariance"] = "full_covariance"
    covariance: Literal["data"] | Annotated[tuple[tuple[FiniteFloat, ...], ...], BeforeValidator(to_matrix)] = "data"

    @functools.cached_property
    def description(self) -> str:
        return self.name if self.covariance == "data" else f"{self.name}({self.covariance})"

    @field_validator("covariance")
    @classmethod
    def _positive_definite(cls, value: Any) -> Any:
        if value != "data":
            import numpy as np

            if not value or any(len(row) != len(value) for row in value):
                raise ValueError("must be a square matrix, or data")
            matrix = np.array(value)
            with np.errstate(all="ignore"):  # entries of 1e308 overflow on the way to the answer
                is_one = np.allclose(matrix, matrix.T) and np.linalg.eigvalsh(matrix).min() > 0
            if not is_one:
                raise ValueError("must be symmetric and positive definite")
        return value

    def needs(self, dimension: int) -> str | None:
        if self.covariance == "data" and dimension > MAX_COVARIANCE:
            return (
                f"full_covariance noise in {dimension} dimensions needs a matrix of {dimension}^2 numbers; use samples "
                f"of at most {MAX_COVARIANCE} coordinates, or another family"
            )
        if self.covariance != "data" and len(self.covariance) != dimension:
            size = len(self.covariance)
            return f"the covariance is {size}x{size}, a sample has {dimension} coordinates; give one of its size"
        return None

    def family(self, samples: Callable[[int], Tensor]) -> NoiseFamily:
        from ...theory.noise import FullCovariance, data_covariance

        if self.covariance == "data":
            return FullCovariance(data_covariance(samples(10_000).flatten(1)))
        return FullCovariance(self.covariance)


class Cauchy(Noise):
    """density ~ (1 + ||eps||^2 / sigma^2)^(-(d+1)/2); no mean, so no full bound holds"""

    name: Literal["cauchy"] = "cauchy"

    def family(self, samples: Callable[[int], Tensor]) -> NoiseFamily:
        from ...theory.noise import Cauchy

        return Cauchy()


class MixedLevels(Noise):
    """truncated noise of sigma m, m drawn for each sample from levels with weights; of 0 and 1, DFGAN; all bounds hold

    `levels` are multiples of sigma, the largest 1. `weights` are their probabilities, up to a common factor; null: all
    alike. The default is the noise of Jenni & Favaro (2019), which half of the samples of a batch get.
    """

    name: Literal["mixed_levels"] = "mixed_levels"
    levels: Annotated[tuple[FiniteFloat, ...], BeforeValidator(to_tuple)] = (0.0, 1.0)
    weights: Annotated[tuple[FiniteFloat, ...], BeforeValidator(to_tuple)] | None = None

    @field_validator("levels")
    @classmethod
    def _multiples_of_sigma(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or max(value) != 1:
            raise ValueError(f"levels are multiples of sigma, the largest of them 1; got {list(value)}")
        if any(level != 0 and not level >= MIN_LEVEL for level in value):
            raise ValueError(f"levels must be 0 or at least {MIN_LEVEL:g}; got {list(value)}")
        if len(set(value)) < len(value) or len(value) > MAX_LEVELS:
            raise ValueError(f"levels must be distinct, and no more than {MAX_LEVELS}; got {list(value)}")
        return value

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not all(1e-9 <= weight <= 1e9 for weight in value):
            raise ValueError(
                f"weights must be > 0 (from 1e-9 to 1e9); leave a level out that is to have none; got {list(value)}"
            )
        return value

    @model_validator(mode="after")
    def _one_for_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.levels):
            raise ValueError(
                f"there are {len(self.levels)} levels and {len(self.weights)} weights; give one for each, or none"
            )
        return self

    @functools.cached_property
    def description(self) -> str:
        if self == MixedLevels():
            return self.name
        weights = "" if self.weights is None else f", weights={' '.join(map(exact, self.weights))}"
        return f"{self.name}(levels={' '.join(map(exact, self.levels))}{weights})"

    def family(self, samples: Callable[[int], Tensor]) -> LevelledFamily:
        from ...theory.levels import MixedLevels

        weights = self.weights or (1.0,) * len(self.levels)
        return MixedLevels(self.name, self.levels, tuple(weight / sum(weights) for weight in weights))


class Diffusion(Noise):
    """truncated noise, for each sample that of a step of a diffusion chain, whose last has sigma; all bounds hold

    The levels of Wang et al. (2022): see `theory.diffusion`. `steps` is T, `clean` the share of samples without noise,
    `levels` how many steps stand for all (each for those before it), `distribution` how likely step t is.
    """

    name: Literal["diffusion"] = "diffusion"
    steps: int = Field(500, ge=1, le=2000)
    clean: FiniteFloat = Field(0.5, ge=0, lt=1)
    distribution: Literal["priority", "uniform"] = "priority"
    levels: int = Field(16, ge=1, le=MAX_LEVELS)

    @functools.cached_property
    def description(self) -> str:
        values = self.model_dump(exclude={"name"}, exclude_defaults=True)
        inner = ", ".join(
            f"{key}={exact(value) if isinstance(value, float) else value}" for key, value in values.items()
        )
        return f"{self.name}({inner})" if inner else self.name

    def family(self, samples: Callable[[int], Tensor]) -> LevelledFamily:
        from ...theory.diffusion import chain_levels
        from ...theory.levels import MixedLevels

        weight_of = chain_levels(self.steps, num_levels=self.levels, distribution=self.distribution, clean=self.clean)
        return MixedLevels(self.name, tuple(weight_of), tuple(weight_of.values()))


NOISES: Mapping[str, type[Noise]] = {
    "truncated": Truncated,
    "gaussian": Gaussian,
    "full_covariance": FullCovariance,
    "cauchy": Cauchy,
    "mixed_levels": MixedLevels,
    "diffusion": Diffusion,
}
BOUNDED = ("truncated", "mixed_levels", "diffusion")
"""Families for which all bounds hold."""
TRUNCATED = Truncated()
_noise_of = chooser(Noise, NOISES)
NoiseOn = Literal["both", "discriminator"]
NOISE_ON: tuple[NoiseOn, ...] = get_args(NoiseOn)
"""Players in whose steps noise is added."""
AnyNoise = Annotated[SerializeAsAny[Noise], BeforeValidator(_noise_of)]
"""A family of noise as a job names it."""


def noise_named(name: str) -> Noise:
    """The family of this name, with its default parameters.

    Raises:
      ValueError: If there is none, or a parameter of it has no default.
    """
    noise: Noise = _noise_of(name)
    return noise


def _with_defaults(value: str) -> str:
    noise_named(value)
    return value


NoiseName = Annotated[str, AfterValidator(_with_defaults)]
"""The name of a family of noise that needs no parameters."""


class NoiseSchedule(Spec):
    """Noise over training time: sigma by a schedule, the constant of a plain number among them, and a family.

    In a job file: ``0.5``, ``{schedule: linear, start: 0.5, end: 0}``, ``{sigma: 0.5, noise: gaussian}``,
    ``{sigma: 0.5, noise_on: discriminator}``.

    Attributes:
      noise_on: In which steps noise is added: those of both players, or the discriminator's alone, so that it judges
        the generator's samples as they are in the generator's step.
    """

    schedule: SerializeAsAny[Schedule]
    noise: AnyNoise = TRUNCATED
    noise_on: NoiseOn = "both"

    @model_validator(mode="after")
    def _has_noise(self) -> Self:
        if self.noise_on != "both" and self.is_constant and self.schedule(0.0) == 0:
            raise ValueError(
                "noise_on says where noise is added, and there is none at sigma 0; remove it, or use 0 alone"
            )
        return self

    def at(self, t: float) -> float | None:
        """``sigma(t)``; None for an adaptive schedule, of which only the training can tell."""
        return None if self.schedule.adapts else self.schedule(t)

    @property
    def is_constant(self) -> bool:
        """Whether sigma is one number."""
        return isinstance(self.schedule, Constant)

    @functools.cached_property
    def canonical(self) -> str:
        """What determines the values: family, parameters, and for a user's own the hash of its source."""
        schedule, noise = self.schedule, self.noise
        family = [] if noise == TRUNCATED else [noise.with_source(noise.model_dump(mode="json"))]
        steps = [] if self.noise_on == "both" else [{"noise_on": self.noise_on}]
        return canonical_json([schedule.name, schedule.given(), source_digest(schedule.name), *family, *steps])

    @functools.cached_property
    def description(self) -> str:
        """``0.5``, ``linear(end=0, start=0.5)``, ``0.5 gaussian``, ``0.5 discriminator only``."""
        return (exact(self.schedule(0.0)) if self.is_constant else self.schedule.description) + self.remark

    @property
    def remark(self) -> str:
        """What the description says after sigma, with a space before each word; empty for what is usual."""
        family = "" if self.noise == TRUNCATED else f" {self.noise.description}"
        return family if self.noise_on == "both" else f"{family} {self.noise_on} only"

    def __str__(self) -> str:
        return self.description

    @model_serializer
    def _as_in_a_job_file(self) -> float | dict[str, Any]:
        values: dict[str, Any] = dict(self.schedule.given())
        if self.noise == TRUNCATED and self.is_constant and self.noise_on == "both":
            return float(values["sigma"])
        named = {} if self.is_constant else {"schedule": self.schedule.name}
        noise = {} if self.noise == TRUNCATED else {"noise": self.noise.as_in_a_job_file()}
        steps = {} if self.noise_on == "both" else {"noise_on": self.noise_on}
        return {**named, **values, **noise, **steps}


def constant_noise(sigma: float) -> NoiseSchedule:
    """Truncated noise of one sigma, data units."""
    return NoiseSchedule(schedule=Constant(sigma=sigma))


def _parse(value: Any) -> Any:
    if isinstance(value, NoiseSchedule):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = {"sigma": value}
    if not isinstance(value, dict) or not {"schedule", "sigma"} & set(value):
        raise ValueError(
            "must be a number >= 0, a schedule such as {schedule: linear, start: 0.5, end: 0}, or another family of "
            f"noise such as {{sigma: 0.5, noise: gaussian}}; got {value!r}"
        )
    given = {name: item for name, item in value.items() if name not in ("schedule", "noise", "noise_on")}
    schedule = Schedule.of(str(value.get("schedule", "constant")), given)
    noise = _parse_noise(value["noise"]) if "noise" in value else TRUNCATED
    return NoiseSchedule(schedule=schedule, noise=noise, noise_on=_parse_steps(value.get("noise_on", "both")))


def _parse_steps(value: Any) -> NoiseOn:
    if value not in NOISE_ON:
        text = f"noise_on says in whose steps noise is added: {' or '.join(NOISE_ON)}; got {value!r}"
        raise MistakesError([(("noise_on",), text)])
    steps: NoiseOn = value
    return steps


def _parse_noise(value: Any) -> Noise:
    try:
        noise: Noise = _noise_of(value)
    except MistakesError as error:
        raise MistakesError((("noise", *place), text) for place, text in error.found) from error
    except InnerError as error:
        raise error.within("noise") from error
    except ValueError as error:
        raise MistakesError([(("noise",), str(error))]) from error
    return noise


AnySigma = Annotated[NoiseSchedule, BeforeValidator(_parse)]
"""Noise as a job says it, under ``sigma``."""

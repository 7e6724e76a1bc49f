"""Schedules ``sigma(t)`` of noise, and of a penalty's strength; ``t`` in [0, 1] is the fraction of training done.

    >>> Linear(start=1.0, end=0.0)(0.25)
    0.75

Those that lead from `start` to `end` arrive after a `fraction` of training, if one is given, and stay there:
``u = min(t / fraction, 1)`` in their formulas. `Adaptive` and `Overconfidence` are no functions of ``t``: they move
sigma by what the discriminator does.
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from ..spec import WHOLE, exact
from ..synonyms import key_hint
from .part import Part, find_class, validated

if TYPE_CHECKING:
    from torch import Tensor

    from ...theory.losses import Loss

MIN_SIGMA = 1e-20
"""The smallest sigma other than 0, data units: squares of smaller ones underflow."""


def _not_negative(value: float, info: ValidationInfo) -> float:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{info.field_name} must be finite and >= 0, got {value}")
    return value


def _fraction(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"fraction must be in (0, 1], the part of training in which sigma changes; got {value}")
    return value


NotNegative = Annotated[float, AfterValidator(_not_negative)]
Fraction = Annotated[float, AfterValidator(_fraction)]


class Schedule(Part):
    """Base of all schedules; their parameters are numbers."""

    kind: ClassVar[str] = "schedule"
    adapts: ClassVar[bool] = False
    """Whether sigma is moved by what the discriminators do, from where the schedule begins (see `Adaptive`)."""

    @abc.abstractmethod
    def __call__(self, t: float) -> float:
        """sigma, data units, after this fraction of training."""

    def why_not(self, loss: Loss) -> str | None:
        """What keeps the schedule from going with a loss; None if nothing does."""
        del loss
        return None

    def given(self) -> dict[str, float]:
        """The parameters that are not their defaults, by name in the order of the alphabet."""
        fields = type(self).model_fields
        values = {name: getattr(self, name) for name in sorted(fields) if name != "name"}
        return {name: value for name, value in values.items() if fields[name].default != value}

    @functools.cached_property
    def description(self) -> str:
        """``linear(end=0, start=0.5)``: what is given, as `given` orders it."""
        return f"{self.name}({', '.join(f'{name}={exact(value)}' for name, value in self.given().items())})"

    @classmethod
    def defaults(cls) -> dict[str, float]:
        """The parameters that may be left out, with what they are then."""
        optional = [key for key, needed in cls.parameters().items() if not needed]
        return {key: cls.model_fields[key].default for key in optional}

    @classmethod
    def check_names(cls, name: str, given: Collection[str]) -> None:
        """Refuses a wrong set of parameters.

        Raises:
          ValueError: If one is missing or unknown.
        """
        known = cls.parameters()
        required = [key for key, needed in known.items() if needed]
        optional = [key for key, needed in known.items() if not needed]
        if not set(required) <= set(given) <= set(known):
            may = f" and may have {', '.join(optional)}" if optional else ""
            slips = [key_hint(key, known) for key in given if key not in known]
            raise ValueError(
                f"schedule {name} takes {', '.join(required) or 'nothing'}{may}; "
                f"got {', '.join(given) or 'nothing'}" + (f".{''.join(slips)}" if any(slips) else "")
            )

    @classmethod
    def of(cls, name: str, given: Mapping[str, float], *, what: str = "sigma") -> Schedule:
        """The schedule of this name, built in or a user's own, with these parameters; checked.

        Args:
          what: Is scheduled, for messages.

        Raises:
          ValueError: If there is none, or the parameters do not make one.
        """
        found = schedule_class(name)
        found.check_names(name, given)
        schedule = validated(found, {"name": name, **given})
        schedule.check_values(what)
        return schedule

    def check_values(self, what: str = "sigma") -> None:
        """Calls the schedule, which may be a user's own, at a few times.

        Raises:
          ValueError: If it cannot be called, or gives no value for what is scheduled.
        """
        try:
            values = [float(self(t)) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
        except (Exception, SystemExit) as error:  # a user's own code may raise anything
            raise ValueError(f"the schedule cannot be used: {type(error).__name__}: {error}") from error
        for value in values:
            if not (value == 0 or MIN_SIGMA <= value < math.inf):
                raise ValueError(f"{what} must be 0, or finite and at least {MIN_SIGMA}; the schedule gives {value}")


class Constant(Schedule):
    """``sigma(t) = sigma``"""

    name: Literal["constant"] = "constant"
    sigma: NotNegative

    def __call__(self, t: float) -> float:
        return self.sigma


class Linear(Schedule):
    """``sigma(t) = start + (end - start) u``"""

    name: Literal["linear"] = "linear"
    start: NotNegative
    end: NotNegative
    fraction: Fraction = 1.0

    def __call__(self, t: float) -> float:
        return self.start + (self.end - self.start) * _progress(t, self.fraction)


class Exponential(Schedule):
    """``sigma(t) = start (end / start)^u``; both ends must be positive"""

    name: Literal["exponential"] = "exponential"
    start: NotNegative
    end: NotNegative
    fraction: Fraction = 1.0

    @field_validator("start", "end")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value == 0:
            raise ValueError("an exponential schedule needs start > 0 and end > 0; use linear to reach 0")
        return value

    def __call__(self, t: float) -> float:
        return float(self.start * (self.end / self.start) ** _progress(t, self.fraction))


class Cosine(Schedule):
    """``sigma(t) = end + (start - end) (1 + cos(pi u)) / 2``"""

    name: Literal["cosine"] = "cosine"
    start: NotNegative
    end: NotNegative
    fraction: Fraction = 1.0

    def __call__(self, t: float) -> float:
        u = _progress(t, self.fraction)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * u)) / 2


class Step(Schedule):
    """``sigma(t) = start`` for ``t < at``, else ``end``; `at` in (0, 1)"""

    name: Literal["step"] = "step"
    start: NotNegative
    end: NotNegative
    at: NotNegative

    @field_validator("at")
    @classmethod
    def _within_training(cls, value: float) -> float:
        if not 0 < value < 1:
            raise ValueError(f"at must be in (0, 1), the fraction of training after which sigma changes; got {value}")
        return value

    def __call__(self, t: float) -> float:
        return self.start if t < self.at else self.end


class InverseTime(Schedule):
    """``sigma(t) = start / (1 + decay t)``"""

    name: Literal["inverse_time"] = "inverse_time"
    start: NotNegative
    decay: NotNegative

    def __call__(self, t: float) -> float:
        return self.start / (1 + self.decay * t)


class Polynomial(Schedule):
    """``sigma(t) = end + (start - end) (1 - u)^power``; `power` > 0"""

    name: Literal["polynomial"] = "polynomial"
    start: NotNegative
    end: NotNegative
    power: NotNegative
    fraction: Fraction = 1.0

    @field_validator("power")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value == 0:
            raise ValueError("power must be > 0; use constant for a sigma that does not change")
        return value

    def __call__(self, t: float) -> float:
        return float(self.end + (self.start - self.end) * (1 - _progress(t, self.fraction)) ** self.power)


class Adaptive(Schedule):
    """``d log sigma / dt = rate (running accuracy of the discriminator - target)``; start > 0, target in (0, 1)

    More noise while the discriminator is too often right, less while it is too often wrong. `rate` is the change of
    log sigma over the whole training, per unit of excess accuracy.

    References:
      Karras et al. (2020), "Training generative adversarial networks with limited data", whose augmentation
      probability is driven in this way.
    """

    name: Literal["adaptive"] = "adaptive"
    adapts: ClassVar[bool] = True
    start: NotNegative
    target: NotNegative
    rate: NotNegative

    @field_validator("start")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value == 0:
            raise ValueError("an adaptive schedule needs start > 0: sigma moves by factors")
        return value

    @field_validator("target")
    @classmethod
    def _an_accuracy(cls, value: float) -> float:
        if not 0 < value < 1:
            raise ValueError(f"target must be in (0, 1), the accuracy to be held; got {value}")
        return value

    def __call__(self, t: float) -> float:
        """Where sigma begins; from there the training moves it."""
        return self.start

    def next(self, sigma: Tensor, accuracy: Tensor, *, num_steps: int) -> Tensor:
        """sigma after one of `num_steps` steps of training, elementwise; never beyond 1000 times or 1/1000 of start."""
        moved = sigma * (self.rate / num_steps * (accuracy - self.target)).exp()
        return moved.clamp(self.start / 1000, self.start * 1000)


def _whole(value: float, info: ValidationInfo) -> float:
    if not (value == int(value) and 1 <= value <= 1000):
        raise ValueError(f"{info.field_name} must be a whole number of steps from 1 to 1000; got {value:g}")
    return value


NumSteps = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_whole), WHOLE]


class Overconfidence(Schedule):
    """``sigma = scale sqrt((1 - abar_T) / abar_T)``, T = shortest + round(p (longest - shortest)); target in (-1, 1)

    That of the last step of a diffusion chain (`theory.diffusion`) whose length T follows the discriminator. p begins
    at 0 and is moved every four of its steps, within [0, 1]: up while ``E sign(D(x))`` over the real samples of these
    steps exceeds the target, else down. `rate` is how far p would go over the whole training if it went one way.

    References:
      Wang et al. (2022), "Diffusion-GAN: training GANs with diffusion", arXiv:2206.02262, section 3.3.
    """

    name: Literal["overconfidence"] = "overconfidence"
    adapts: ClassVar[bool] = True
    period: ClassVar[int] = 4
    rate: NotNegative
    scale: NotNegative = 0.05
    shortest: NumSteps = 10.0
    longest: NumSteps = 500.0
    target: float = 0.6

    @field_validator("scale")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value == 0:
            raise ValueError("an overconfidence schedule needs scale > 0; use 0 for no noise")
        return value

    @field_validator("target")
    @classmethod
    def _a_mean_of_signs(cls, value: float) -> float:
        if not -1 < value < 1:
            raise ValueError(f"target must be in (-1, 1), the mean sign of D on real samples to be held; got {value}")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest must not exceed longest, got {self.shortest:g} and {self.longest:g}")
        return self

    def __call__(self, t: float) -> float:
        """Where sigma begins; from there the training moves it."""
        return self.sigmas[0]

    def why_not(self, loss: Loss) -> str | None:
        if loss.objective.threshold is not None:
            return None
        return (
            "overconfidence counts logits above a threshold, which the discriminator of loss "
            f"{loss.name} does not have; use adaptive, which follows P(r > f) there"
        )

    @functools.cached_property
    def sigmas(self) -> tuple[float, ...]:
        """sigma of a chain of each length, the shortest first."""
        from ...theory.diffusion import noise_to_signal

        lengths = range(int(self.shortest), int(self.longest) + 1)
        return tuple(self.scale * noise_to_signal(length)[-1] for length in lengths)

    def next(self, p: Tensor, confidence: Tensor, *, num_steps: int) -> Tensor:
        """p after one of ``num_steps / 4`` moves, elementwise, by the mean sign of D on real samples since the last."""
        return (p + self.rate * self.period / num_steps * (confidence - self.target).sign()).clamp(0.0, 1.0)


def schedule_class(name: str) -> type[Schedule]:
    """The class of this name, built in or a user's own.

    Raises:
      ValueError: If there is none.
    """
    return find_class(name, Schedule, SCHEDULES)


def _progress(t: float, fraction: float) -> float:
    return min(t / fraction, 1.0)


SCHEDULES: Mapping[str, type[Schedule]] = {
    "constant": Constant,
    "linear": Linear,
    "exponential": Exponential,
    "cosine": Cosine,
    "step": Step,
    "inverse_time": InverseTime,
    "polynomial": Polynomial,
    "adaptive": Adaptive,
    "overconfidence": Overconfidence,
}

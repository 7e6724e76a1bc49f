"""What a search over schedules may try."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from .parts.losses import LossName
from .parts.noise import NoiseName, NoiseOn, NoiseSchedule, noise_named
from .parts.part import Part, find_class, validated
from .parts.penalties import PENALTIES, Penalty, Sum
from .parts.schedules import SCHEDULES, Schedule, schedule_class
from .parts.settings import Axis
from .spec import MAX_COUNT, FiniteFloat, Spec, to_tuple
from .synonyms import key_hint

Parameters: TypeAlias = Mapping[str, Any]
"""One point of a space: ``{schedule: linear, linear.start: 0.5, ..., loss: minimax, penalty: r1, r1.gamma: 1.0}``."""


class Range(Spec):
    """All numbers from `low` to `high`, evenly, or evenly on a log scale."""

    low: FiniteFloat = Field(description="its least number")
    high: FiniteFloat = Field(description="its largest number")
    log: bool = Field(False, description="evenly on a log scale")

    @model_validator(mode="before")
    @classmethod
    def _no_schedule(cls, value: Any) -> Any:
        if isinstance(value, dict) and "schedule" in value:
            raise ValueError(
                "a search tries numbers: give one, or {low: ..., high: ...}; a number that follows a schedule belongs "
                "to a grid, and the families of schedules that are tried stand under space.schedule"
            )
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got low {self.low:g} and high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale needs low > 0, got {self.low:g}")
        return self

    @property
    def scale(self) -> str:
        """``log`` or ``even``."""
        return "log" if self.log else "even"

    def holds(self, value: float) -> bool:
        """Whether a value is in the range, to the last digits of a logarithm's exponential."""
        inside = self.low <= value <= self.high
        return inside or math.isclose(value, self.low, rel_tol=1e-12) or math.isclose(value, self.high, rel_tol=1e-12)

    def num_points(self, num: int) -> int:
        """How many `points` there are."""
        return num

    def points(self, num: int) -> list[float]:
        """`num` values from low to high, both included."""
        if num == 1:
            return [self.low]
        between = [index / (num - 1) for index in range(1, num - 1)]
        if self.log:
            inner = [self.low * (self.high / self.low) ** step for step in between]
        else:
            inner = [self.low + (self.high - self.low) * step for step in between]
        return [self.low, *inner, self.high]


class WholeRange(Range):
    """The whole numbers of a range: what there is to search of a parameter that counts."""

    @property
    def scale(self) -> str:
        """As of all ranges, and that its numbers are whole."""
        return f"whole {super().scale}"

    def holds(self, value: float) -> bool:
        """Whether a value is a whole number of the range."""
        return super().holds(value) and value == int(value)

    def num_points(self, num: int) -> int:
        """How many `points` there are: no more than whole numbers."""
        return len(self.points(num))

    def points(self, num: int) -> list[float]:
        """`num` whole numbers from low to high, both included; fewer where two values round to one."""
        return sorted({round(value) for value in super().points(min(num, int(self.high - self.low) + 1))})


Parameter: TypeAlias = Annotated[
    Annotated[FiniteFloat, Tag("number")] | Annotated[Range, Tag("range")],
    Discriminator(lambda value: "range" if isinstance(value, (dict, Range)) else "number"),
]
"""A fixed number, or a range to search."""

OwnParameters: TypeAlias = dict[str, Parameter]


def _families(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("sum"), list):
            raise ValueError("a search has no sums; use r1_r2, or a grid")
        return value
    names = value if isinstance(value, list) else [value]
    as_mapping = ", ".join(f"{name}: {{}}" for name in names)
    raise ValueError(
        f"must have families with their parameters, {{FAMILY: {{PARAMETER: {{low: ..., high: ...}}}}}}: "
        f"{{{as_mapping}}} for those with none to search"
    )


_Families: TypeAlias = Annotated[dict[str, OwnParameters], BeforeValidator(_families)]


def as_tuple(value: Any) -> Any:
    """A single value as the tuple of itself, a YAML list as a tuple."""
    return (value,) if isinstance(value, (str, int)) else to_tuple(value)


class Space(Spec):
    """What a trial may be: families of schedules and of penalties with their own parameters, and further choices.

    A parameter is a number or a range; a choice is one value or a list. What is left out is as in `training`, or the
    loss's default.
    """

    schedule: _Families = Field(min_length=1, description="families of schedules, each with its own parameters")
    loss: Annotated[Axis[LossName], BeforeValidator(as_tuple)] = Field(("minimax",), description="a choice")
    penalty: Annotated[_Families, Field(min_length=1)] | None = Field(
        None, description="families of penalties, each with its own parameters; null: the loss's usual one"
    )
    learning_rate: Parameter | None = Field(None, description="null: the training's")
    discriminator_steps: (
        Annotated[Axis[Annotated[int, Field(ge=1, le=MAX_COUNT)]], BeforeValidator(as_tuple)] | None
    ) = Field(None, description="a choice; null: the training's")
    noise: Annotated[Axis[NoiseName], BeforeValidator(as_tuple)] | None = Field(
        None, description="a choice of families with their default parameters; null: truncated"
    )
    noise_on: Annotated[Axis[NoiseOn], BeforeValidator(as_tuple)] | None = Field(
        None, description="a choice of the steps in which noise is added; null: both"
    )

    def choices(self) -> dict[str, list[Any]]:
        """The categorical parameters and their values."""
        names = ("penalty", "discriminator_steps", "noise", "noise_on")
        optional = {name: getattr(self, name) for name in names}
        named = {name: list(values) for name, values in optional.items() if values is not None}
        return {"schedule": list(self.schedule), "loss": list(self.loss), **named}

    def numbers(self, chosen: Parameters) -> dict[str, float | Range]:
        """The numeric parameters that a choice of families leaves: ``{linear.start: ..., learning_rate: ...}``."""
        own = _numbers_of(str(chosen["schedule"]), self.schedule, Schedule, SCHEDULES)
        if self.penalty is not None:
            own |= _numbers_of(str(chosen["penalty"]), self.penalty, Penalty, PENALTIES)
        return own if self.learning_rate is None else {**own, "learning_rate": self.learning_rate}

    def points(self, num: int) -> Iterator[dict[str, Any]]:
        """The grid with `num` values of every range."""
        choices = self.choices()
        for values in itertools.product(*choices.values()):
            chosen = dict(zip(choices, values, strict=True))
            numbers = self.numbers(chosen)
            axes = [space.points(num) if isinstance(space, Range) else [space] for space in numbers.values()]
            for point in itertools.product(*axes):
                yield {**chosen, **dict(zip(numbers, point, strict=True))}

    def num_points(self, num: int) -> int:
        """How many `points` there are."""
        choices = self.choices()
        combinations = (dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values()))
        return sum(
            math.prod(space.num_points(num) for space in self.numbers(chosen).values() if isinstance(space, Range))
            for chosen in combinations
        )

    def holds(self, parameters: Parameters) -> bool:
        """Whether a point is in the space."""
        if not all(parameters.get(name) in values for name, values in self.choices().items()):
            return False
        numbers = self.numbers(parameters)
        return set(parameters) == {*self.choices(), *numbers} and all(
            space.holds(parameters[name]) if isinstance(space, Range) else parameters[name] == space
            for name, space in numbers.items()
        )

    def scales(self) -> dict[str, str]:
        """Of the parameters of all families: log or even."""
        numbers: dict[str, float | Range] = {}
        for schedule, penalty in itertools.product(self.schedule, self.penalty or (None,)):
            numbers |= self.numbers({"schedule": schedule, "penalty": penalty})
        return {name: space.scale if isinstance(space, Range) else "even" for name, space in numbers.items()}


def _numbers_of(
    family: str, table: _Families, base: type[Part], builtin: Mapping[str, type[Part]]
) -> dict[str, float | Range]:
    """The parameters of a family by their names in a point; of those that count, ranges of whole numbers."""
    counts = find_class(family, base, builtin).counts()
    return {
        f"{family}.{name}": WholeRange(**space.model_dump()) if isinstance(space, Range) and name in counts else space
        for name, space in table[family].items()
    }


def _counted(found: type[Part], values: Mapping[str, float]) -> dict[str, float]:
    """Values of which those that count are whole numbers, as far as they are."""
    counts = found.counts()
    return {name: int(value) if name in counts and value == int(value) else value for name, value in values.items()}


def make_schedule(
    family: str, values: Mapping[str, float], *, noise: str = "truncated", noise_on: NoiseOn = "both"
) -> NoiseSchedule:
    """Noise by a schedule of this name with these parameters.

    Raises:
      ValueError: If they do not make one.
    """
    schedule = Schedule.of(family, _counted(schedule_class(family), values))
    return NoiseSchedule(schedule=schedule, noise=noise_named(noise), noise_on=noise_on)


def make_penalty(family: str, values: Mapping[str, float]) -> Penalty:
    """The penalty of this name with these parameters.

    Raises:
      ValueError: If they do not make one.
    """
    found = find_class(family, Penalty, PENALTIES)
    if found is Sum:
        raise ValueError(
            "a sum has no numbers to search; r1_r2 is r1 and r2 of one gamma, other sums belong to a grid, or make a "
            "penalty of your own"
        )
    known = found.parameters()
    for name in values:
        if name not in known:
            takes = f"penalty {family} takes {', '.join(known) or 'no parameters'}; got {name}"
            hint = key_hint(name, known)
            raise ValueError(f"{takes}.{hint}" if hint else takes)
    try:
        return validated(found, {"name": family, **_counted(found, values)})
    except ValueError as error:
        raise ValueError(f"penalty {family}: {error}") from error


def sigma_of(parameters: Parameters) -> NoiseSchedule:
    """The schedule of a point of a space."""
    family = str(parameters["schedule"])
    chosen = {name: parameters[name] for name in ("noise", "noise_on") if name in parameters}
    return make_schedule(family, own_parameters(family, parameters), **chosen)


def schedule_text(sigma: NoiseSchedule) -> str:
    """A schedule for a person, with numbers to three digits: ``linear(start=0.342, end=0.05)``."""
    values = sigma.schedule.given()
    if sigma.is_constant:
        return f"{values['sigma']:.3g}{sigma.remark}"
    order = [name for name in sigma.schedule.parameters() if name in values]
    return f"{sigma.schedule.name}({', '.join(f'{name}={values[name]:.3g}' for name in order)}){sigma.remark}"


def penalty_of(parameters: Parameters) -> Penalty:
    """The penalty of a point of a space."""
    family = str(parameters["penalty"])
    return make_penalty(family, own_parameters(family, parameters))


def own_parameters(family: str, parameters: Parameters) -> dict[str, float]:
    """The parameters that belong to a family, whose name may have dots itself."""
    prefix = f"{family}."
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}

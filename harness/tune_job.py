"""Protocol ``tune``: what a search over noise schedules may try, and what it minimises. Frozen and validated."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError, model_validator

from .components import TRUNCATED, AnyPenalty, LossName, Networks, Penalty, Sigma, sigma_from, to_tuple
from .errors import suggest
from .job import Evaluation, Grid, Job, JobName, PathInJob, Problem, Resources, Training, axis
from .spec import FiniteFloat, Spec
from .theory import schedules
from .theory.penalties import PENALTIES
from .theory.schedules import SCHEDULES

Parameters: TypeAlias = Mapping[str, Any]
"""One point of a space: ``{schedule: linear, linear.start: 0.5, ..., loss: minimax, penalty: r1, r1.gamma: 1.0}``."""


class Range(Spec):
    """All numbers from `low` to `high`, evenly, or evenly on a log scale."""

    low: FiniteFloat
    high: FiniteFloat
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got low {self.low:g} and high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale needs low > 0, got {self.low:g}")
        return self

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


Parameter: TypeAlias = Annotated[
    Annotated[FiniteFloat, Tag("number")] | Annotated[Range, Tag("range")],
    Discriminator(lambda value: "range" if isinstance(value, (dict, Range)) else "number"),
]
"""A fixed number, or a range to search."""

_Own: TypeAlias = dict[str, Parameter]
_Families: TypeAlias = dict[str, _Own]
_penalty: TypeAdapter[AnyPenalty] = TypeAdapter(Penalty)
_PENALTY_CLASSES: dict[str, type[Spec]] = {
    typing.get_args(kind.model_fields["name"].annotation)[0]: kind for kind in typing.get_args(AnyPenalty)
}


def _one_or_more(value: Any) -> Any:
    """A single value as the tuple of itself, a YAML list as a tuple."""
    return (value,) if isinstance(value, (str, int)) else to_tuple(value)


class Space(Spec):
    """What a trial may be: families of schedules and of penalties with their own parameters, and further choices.

    A parameter is a number or a range; a choice is one value or a list. What is left out is as in `training`, or the
    loss's default.
    """

    schedule: _Families = Field(min_length=1)
    loss: Annotated[axis(LossName), BeforeValidator(_one_or_more)] = ("minimax",)  # type: ignore[valid-type]
    penalty: Annotated[_Families, Field(min_length=1)] | None = None
    learning_rate: Parameter | None = None
    discriminator_steps: (
        Annotated[axis(Annotated[int, Field(ge=1)]), BeforeValidator(_one_or_more)] | None  # type: ignore[valid-type]
    ) = None

    def choices(self) -> dict[str, list[Any]]:
        """The categorical parameters and their values."""
        optional = {"penalty": self.penalty, "discriminator_steps": self.discriminator_steps}
        named = {name: list(values) for name, values in optional.items() if values is not None}
        return {"schedule": list(self.schedule), "loss": list(self.loss), **named}

    def numbers(self, chosen: Parameters) -> dict[str, float | Range]:
        """The numeric parameters that a choice of families leaves: ``{linear.start: ..., learning_rate: ...}``."""
        families = [(self.schedule, chosen["schedule"])]
        if self.penalty is not None:
            families.append((self.penalty, chosen["penalty"]))
        own = {f"{name}.{key}": space for table, name in families for key, space in table[name].items()}
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
            num ** sum(isinstance(space, Range) for space in self.numbers(chosen).values()) for chosen in combinations
        )

    def holds(self, parameters: Parameters) -> bool:
        """Whether a point is in the space."""
        if not all(parameters.get(name) in values for name, values in self.choices().items()):
            return False
        numbers = self.numbers(parameters)
        return set(parameters) == {*self.choices(), *numbers} and all(
            space.low <= parameters[name] <= space.high if isinstance(space, Range) else parameters[name] == space
            for name, space in numbers.items()
        )

    def scales(self) -> dict[str, str]:
        """Of the parameters of all families: log or even."""
        own = {
            f"{family}.{name}": space
            for table in (self.schedule, self.penalty or {})
            for family, parameters in table.items()
            for name, space in parameters.items()
        }
        numbers = {**own, "learning_rate": self.learning_rate}
        return {
            name: "log" if isinstance(space, Range) and space.log else "even"
            for name, space in numbers.items()
            if space is not None
        }


class Objective(Spec):
    """What is minimised: a bound of the trained generator, always with the exact divergences.

    Attributes:
      bound: None for ``sliced`` on images and ``paper`` elsewhere.
      sigma: Of the bound: ``best``, the least over the evaluation's grid, which compares between schedules; ``final``,
        the schedule's own last; or a number for all.
      reduce: Over seeds.
      minimise: With ``seconds`` too, the search looks for the Pareto front of bound and computing time.
    """

    bound: Literal["paper", "sharp", "weighted", "sliced"] | None = None
    sigma: Literal["best", "final"] | Annotated[FiniteFloat, Field(gt=0)] = "best"
    reduce: Literal["median", "mean", "worst"] = "median"
    minimise: Annotated[tuple[Literal["bound", "seconds"], ...], BeforeValidator(_one_or_more)] = ("bound",)

    @model_validator(mode="after")
    def _minimises_the_bound(self) -> Objective:
        if self.minimise not in (("bound",), ("bound", "seconds")):
            raise ValueError(f"minimise must be [bound] or [bound, seconds], got {list(self.minimise)}")
        return self


class Search(Spec):
    """How a space is searched.

    Attributes:
      trials: How many schedules are tried, each with `seeds` seeds.
      points: Sampler ``grid``: values of every range.
      pruner: None for ``median``, or ``none`` with several objectives. ``halving`` keeps the better half at each
        report.
      report: Epochs at which intermediate bounds are reported and trials may be given up; ``auto`` is one and two
        thirds of the way, or never without a pruner.
      seed: Of the sampler.
      finalists, finalist_seeds: How many of the best trials get how many further seeds, to choose the best among them.
      confirmation_seeds: How many fresh seeds the chosen schedule and the baselines are compared on.
    """

    trials: int = Field(48, ge=1)
    seeds: int = Field(3, ge=1)
    sampler: Literal["tpe", "gp", "cmaes", "random", "grid"] = "tpe"
    points: int = Field(5, ge=1)
    pruner: Literal["median", "halving", "none"] | None = None
    report: (
        Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(to_tuple), Field(min_length=1)]
        | Literal["auto"]
    ) = "auto"
    seed: int = Field(0, ge=0)
    finalists: int = Field(4, ge=1)
    finalist_seeds: int = Field(5, ge=0)
    confirmation_seeds: int = Field(5, ge=1)


_COLUMNS = {
    "paper": ("bound_best", "bound_paper"),
    "sharp": ("bound_sharp_best", "bound_sharp"),
    "weighted": ("bound_weighted_best", "bound_weighted"),
    "sliced": ("bound_sliced_best", "bound_sliced"),
}


class TuneJob(Spec):
    """A search for the noise schedule whose trained generator has the least Wasserstein bound."""

    name: JobName
    protocol: Literal["tune"]
    problem: Problem
    networks: Networks
    training: Training = Training()
    epochs: int = Field(ge=1)
    space: Space
    objective: Objective = Objective()
    search: Search = Search()
    evaluation: Evaluation = Evaluation()
    resources: Resources = Resources()

    @property
    def kind_of_bound(self) -> Literal["paper", "sharp", "weighted", "sliced"]:
        """That of the objective, or the default for the problem."""
        return self.objective.bound or ("sliced" if len(self.problem.facts().shape) == 3 else "paper")

    @property
    def bound(self) -> str:
        """The column that is minimised."""
        return _COLUMNS[self.kind_of_bound][self.objective.sigma == "final"]

    @property
    def comparable_bound(self) -> str:
        """The column by which schedules are compared in the end: at the best sigma, whatever is minimised."""
        return _COLUMNS[self.kind_of_bound][0]

    @property
    def distance(self) -> str:
        """The column of the exact distance that the minimised bound is a bound of."""
        return "w1_sliced" if self.kind_of_bound == "sliced" else "w1"

    @property
    def pruner(self) -> str:
        """What gives trials up."""
        prunable = len(self.objective.minimise) == 1 and self.objective.sigma != "final"
        return self.search.pruner or ("median" if prunable else "none")

    @property
    def stages(self) -> tuple[int, ...]:
        """The epochs a trial is trained to, one after another; the last is its end."""
        if self.search.report == "auto":
            reports = [] if self.pruner == "none" else [self.epochs * part // 3 for part in (1, 2)]
        else:
            reports = [epoch for epoch in self.search.report if epoch < self.epochs]
        return (*sorted({epoch for epoch in reports if epoch > 0}), self.epochs)

    def training_job(self, name: str, grids: Sequence[Grid]) -> Job:
        """The job of protocol ``train`` that computes these cells."""
        parts = ("problem", "networks", "training", "evaluation", "resources")
        shared: dict[str, Any] = {part: getattr(self, part) for part in parts}
        if isinstance(self.objective.sigma, float):
            shared["evaluation"] = self.evaluation.model_copy(update={"sigmas": (self.objective.sigma,)})
        return Job(name=name, protocol="train", grid=tuple(dict.fromkeys(grids)), **shared)

    def grid(self, parameters: Parameters, *, seeds: Sequence[int], epochs: Sequence[int] | None = None) -> Grid:
        """The cells of a point of the space, at the last epoch unless others are named."""
        rate, steps = parameters.get("learning_rate"), parameters.get("discriminator_steps")
        penalty = None if parameters.get("penalty") is None else penalty_of(parameters)
        return Grid(
            loss=(parameters["loss"],),
            sigma=(sigma_of(parameters),),
            epoch=tuple(epochs or (self.epochs,)),
            seed=tuple(seeds),
            penalty=None if penalty is None else (penalty,),
            learning_rate=None if rate is None else (rate,),
            discriminator_steps=None if steps is None else (steps,),
        )


def impossibilities(job: TuneJob) -> Iterator[tuple[PathInJob, str]]:
    """Mistakes between valid parts of a search: where, and what."""
    mistakes = list(_mistakes_of_families(job.space))
    yield from mistakes
    if job.search.report != "auto":
        for index, epoch in enumerate(job.search.report):
            if epoch >= job.epochs:
                yield ("search", "report", index), f"a report at epoch {epoch} is not before the end, {job.epochs}"
    if job.search.pruner not in (None, "none") and len(job.objective.minimise) > 1:
        yield ("search", "pruner"), "a search for a Pareto front has no order to prune by; set pruner: none"
    if job.objective.sigma == "final":
        yield from _mistakes_of_final(job)
    if job.search.sampler == "cmaes" and len(job.objective.minimise) > 1:
        yield ("search", "sampler"), "cmaes has one objective; use tpe or gp for a Pareto front"
    if job.search.sampler == "grid" and not mistakes:
        num_points = job.space.num_points(job.search.points)
        if num_points > job.search.trials:
            yield (
                ("search", "trials"),
                f"the grid has {num_points} points, more than {job.search.trials} trials; raise trials, or lower "
                f"search.points from {job.search.points}",
            )


def _mistakes_of_final(job: TuneJob) -> Iterator[tuple[PathInJob, str]]:
    """A bound at the schedule's own last sigma says nothing without noise, nor before the end."""
    if job.search.pruner not in (None, "none"):
        yield ("search", "pruner"), "with sigma: final the bounds of a report are at another sigma; set pruner: none"
    for family, parameters in job.space.schedule.items():
        for name in ("end", "sigma"):
            space = parameters.get(name)
            if (space.low if isinstance(space, Range) else space) == 0:
                yield (
                    ("space", "schedule", family, name),
                    "with sigma: final a schedule may not end at 0, where every bound is trivial; use sigma: best",
                )


def _mistakes_of_families(space: Space) -> Iterator[tuple[PathInJob, str]]:
    """Families that are unknown, and parameters that are or whose ends make no schedule or penalty."""
    kinds: list[tuple[str, Mapping[str, Any], Mapping[str, _Own], Callable[..., Any]]] = [
        ("schedule", SCHEDULES, space.schedule, _make_schedule),
        ("penalty", PENALTIES, space.penalty or {}, _make_penalty),
    ]
    for kind, known, families, make in kinds:
        for family, parameters in families.items():
            place: PathInJob = ("space", kind, family)
            if family not in known:
                yield place, f"unknown {kind} '{family}'.{suggest(family, known)}"
                continue
            for end in ("low", "high"):
                try:
                    make(family, {n: getattr(p, end) if isinstance(p, Range) else p for n, p in parameters.items()})
                except ValueError as error:
                    yield place, str(error)
                    break
    rate = space.learning_rate
    lowest = rate.low if isinstance(rate, Range) else rate
    if lowest is not None and lowest <= 0:
        yield ("space", "learning_rate"), f"learning_rate must be > 0, got {lowest:g}"


def _make_schedule(family: str, values: Mapping[str, float]) -> Sigma:
    schedules.check_names(family, values)
    return sigma_from(family, values, TRUNCATED)


def example_grid(job: TuneJob) -> Grid:
    """One point of the space, to check everything else of a search by."""
    return Grid(loss=job.space.loss[:1], sigma=(0.0,), epoch=(job.epochs,), seed=(0,))


def sigma_of(parameters: Parameters) -> Sigma:
    """The schedule of a point of a space."""
    family = str(parameters["schedule"])
    return _make_schedule(family, _own(family, parameters))


def schedule_text(sigma: Sigma) -> str:
    """A schedule for a person, with numbers to three digits: ``linear(start=0.342, end=0.05)``."""
    values = dict(sigma.parameters)
    if sigma.is_constant:
        return f"{values['sigma']:.3g}"
    order = [name for name in schedules.parameters(sigma.schedule) if name in values]
    return f"{sigma.schedule}({', '.join(f'{name}={values[name]:.3g}' for name in order)})"


def penalty_of(parameters: Parameters) -> AnyPenalty:
    """The penalty of a point of a space."""
    family = str(parameters["penalty"])
    return _make_penalty(family, _own(family, parameters))


def _own(family: str, parameters: Parameters) -> dict[str, float]:
    return {name.split(".")[1]: value for name, value in parameters.items() if name.startswith(f"{family}.")}


def _make_penalty(family: str, values: Mapping[str, float]) -> AnyPenalty:
    known = [name for name in _PENALTY_CLASSES[family].model_fields if name != "name"]
    for name in values:
        if name not in known:
            raise ValueError(f"penalty {family} takes {', '.join(known) or 'no parameters'}; got {name}")
    try:
        return _penalty.validate_python({"name": family, **values})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"penalty {family}: {first['loc'][-1]}: {first['msg']}") from None

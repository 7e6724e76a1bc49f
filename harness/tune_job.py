"""Protocol ``tune``: what a search over noise schedules may try, and what it minimises. Frozen and validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from .components import TRUNCATED, LossName, Networks, Sigma, sigma_from, to_tuple
from .errors import suggest
from .job import Evaluation, Grid, Job, JobName, Problem, Resources, Training
from .spec import FiniteFloat, Spec
from .theory import schedules
from .theory.schedules import SCHEDULES


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


Parameter: TypeAlias = Annotated[
    Annotated[FiniteFloat, Tag("number")] | Annotated[Range, Tag("range")],
    Discriminator(lambda value: "range" if isinstance(value, (dict, Range)) else "number"),
]
"""A fixed number, or a range to search."""


class Space(Spec):
    """Schedule families with their own parameters, each a number or a range; and the loss and learning rate."""

    schedule: dict[str, dict[str, Parameter]] = Field(min_length=1)
    loss: Annotated[tuple[LossName, ...], BeforeValidator(to_tuple), Field(min_length=1)] = ("minimax",)
    learning_rate: Parameter | None = None

    @model_validator(mode="after")
    def _known_schedules(self) -> Space:
        for family, parameters in self.schedule.items():
            if family not in SCHEDULES:
                raise ValueError(f"unknown schedule '{family}'.{suggest(family, SCHEDULES)}")
            wanted = schedules.parameters(family)
            if set(parameters) != set(wanted):
                raise ValueError(
                    f"schedule {family} takes {', '.join(wanted)}; got {', '.join(parameters) or 'nothing'}"
                )
            # both ends of every range must make a schedule
            for end in ("low", "high"):
                values = {n: getattr(p, end) if isinstance(p, Range) else p for n, p in parameters.items()}
                sigma_from(family, values, TRUNCATED)
        return self


class Objective(Spec):
    """What is minimised: a bound of the trained generator, always with the exact divergences.

    Attributes:
      bound: None for ``sliced`` on images and ``paper`` elsewhere; both at the best sigma of the evaluation's grid.
      reduce: Over seeds.
    """

    bound: Literal["paper", "sliced"] | None = None
    reduce: Literal["median", "mean", "worst"] = "median"


class Search(Spec):
    """How many trials, over how many seeds, and by which sampler."""

    trials: int = Field(48, ge=1)
    seeds: int = Field(3, ge=1)
    batch: int = Field(8, ge=1)
    sampler: Literal["tpe", "gp", "random"] = "tpe"
    seed: int = Field(0, ge=0)
    confirmation_seeds: int = Field(5, ge=1)


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
    def bound(self) -> str:
        """The column that is minimised."""
        wanted = self.objective.bound or ("sliced" if len(self.problem.facts().shape) == 3 else "paper")
        return {"paper": "bound_best", "sliced": "bound_sliced_best"}[wanted]

    def training_job(self, name: str, grids: tuple[Grid, ...]) -> Job:
        """The job of protocol ``train`` that computes these cells."""
        shared = {part: getattr(self, part) for part in ("problem", "networks", "training", "evaluation", "resources")}
        return Job(name=name, protocol="train", grid=grids, **shared)


def example_grid(job: TuneJob) -> Grid:
    """One point of the space, to check everything else of a search by."""
    return Grid(loss=job.space.loss[:1], sigma=(0.0,), epoch=(job.epochs,), seed=(0,))


def sigma_of(parameters: Mapping[str, Any]) -> Sigma:
    """The schedule of a trial's parameters, ``{schedule: linear, linear.start: 0.5, ...}``."""
    family = str(parameters["schedule"])
    own = {name.split(".")[1]: value for name, value in parameters.items() if name.startswith(f"{family}.")}
    return sigma_from(family, own, TRUNCATED)

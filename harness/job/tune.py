"""Protocol ``tune``: what a search over noise schedules may try, and what it minimises. Frozen and validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .job import Grid, Job
from .parts.networks import AnyNetwork
from .parts.noise import constant_noise
from .parts.problems import AnyProblem
from .parts.settings import Evaluation, JobName, Resources, Training
from .space import Parameters, Space, as_tuple, penalty_of, sigma_of
from .spec import MAX_COUNT, FiniteFloat, MistakesError, Spec, short_repr, to_tuple
from .strategies import Pruner, Sampler, WithOptions
from .validation import validate_tune_job


class SearchObjective(Spec):
    """What is minimised: a bound of the trained generator, always with the exact divergences."""

    bound: Literal["paper", "sharp", "weighted", "sliced"] | None = Field(
        None, description="which; null: sliced for images, paper elsewhere"
    )
    sigma: Literal["best", "final"] | Annotated[FiniteFloat, Field(gt=0)] = Field(
        "best",
        description="at which the bound is taken; best: the least over the evaluation's grid, which compares between "
        "schedules; final: the schedule's own last, which may not be 0; or one number for all",
    )
    reduce: Literal["median", "mean", "worst"] = Field("median", description="over seeds")
    minimise: Annotated[tuple[Literal["bound", "seconds"], ...], BeforeValidator(as_tuple)] = Field(
        ("bound",),
        description="[bound], or [bound, seconds] for the Pareto front of bound and computing time (a trial's share of "
        "its packs' time: rough)",
    )

    @model_validator(mode="after")
    def _minimises_the_bound(self) -> SearchObjective:
        if self.minimise not in (("bound",), ("bound", "seconds")):
            raise ValueError(f"minimise must be [bound] or [bound, seconds], got {list(self.minimise)}")
        return self


class Search(Spec):
    """How a space is searched."""

    trials: int = Field(48, ge=1, le=MAX_COUNT, description="how many schedules are tried")
    seeds: int = Field(3, ge=1, le=MAX_COUNT, description="of each trial")
    sampler: Sampler = Field(
        "tpe", description="a name, or one's own: called with seed= and its options, it makes an Optuna sampler"
    )
    points: int = Field(5, ge=1, le=MAX_COUNT, description="sampler grid: values of every range")
    pruner: Pruner | None = Field(
        None,
        description="a name, or one's own: called with its options, it makes an Optuna pruner; null: median, and none "
        "for a Pareto front and for objective.sigma final",
    )
    report: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=MAX_COUNT)], ...], BeforeValidator(to_tuple), Field(min_length=1)]
        | Literal["auto"]
    ) = Field(
        "auto",
        description="epochs at which bounds are reported and trials may be pruned; auto: one and two thirds of the "
        "way, or never without a pruner",
    )
    seed: int = Field(0, ge=0, le=MAX_COUNT, description="of the sampler")
    finalists: int = Field(4, ge=1, le=MAX_COUNT, description="how many of the best trials get further seeds")
    finalist_seeds: int = Field(
        5, ge=0, le=MAX_COUNT, description="how many further seeds each of them gets, by which the best is chosen"
    )
    confirmation_seeds: int = Field(
        20, ge=1, le=MAX_COUNT, description="fresh seeds on which the chosen schedule and the baselines are compared"
    )


_COLUMNS = {
    "paper": ("bound_best", "bound_paper"),
    "sharp": ("bound_sharp_best", "bound_sharp"),
    "weighted": ("bound_weighted_best", "bound_weighted"),
    "sliced": ("bound_sliced_best", "bound_sliced"),
}


class TuneJob(Spec):
    """A search for the noise schedule whose trained generator has the least Wasserstein bound."""

    name: JobName = Field(description="of the search, and of its folder of results")
    protocol: Literal["tune"] = Field(description="a search over noise schedules")
    problem: AnyProblem = Field(description="where real samples come from")
    networks: AnyNetwork = Field(description="generator and discriminator")
    training: Training = Field(Training(), description="how generators are trained, but for what the space varies")
    epochs: int = Field(ge=1, le=MAX_COUNT, description="how far every trial is trained")
    space: Space = Field(description="what may be tried")
    objective: SearchObjective = Field(SearchObjective(), description="what is minimised")
    search: Search = Field(Search(), description="how the space is searched")
    evaluation: Evaluation = Field(Evaluation(), description="how generators are measured")
    resources: Resources = Field(Resources(), description="what an actor holds; it changes no number")

    def __repr__(self) -> str:
        return short_repr(self)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if found := tuple(validate_tune_job(self)):
            raise MistakesError(found)
        return self

    def example(self) -> Job:
        """A job of one point of the space, to check everything else of a search by."""
        return self.training_job(self.name, (example_grid(self),))

    @property
    def kind_of_bound(self) -> Literal["paper", "sharp", "weighted", "sliced"]:
        """That of the objective, or the default for the problem."""
        return self.objective.bound or ("sliced" if len(self.problem.info().shape) == 3 else "paper")

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
    def pruner(self) -> str | WithOptions:
        """What prunes trials."""
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


def example_grid(job: TuneJob) -> Grid:
    """One point of the space, to check everything else of a search by."""
    return Grid(loss=job.space.loss[:1], sigma=(constant_noise(0.0),), epoch=(job.epochs,), seed=(0,))

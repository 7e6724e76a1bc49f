"""Settings that jobs of all protocols share."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from ...identity import canonical_json
from ..spec import MAX_COUNT, FiniteFloat, Spec, to_tuple
from .features import PIXELS, AnyFeatures
from .losses import LossName
from .metrics import AnyMetric, FeatureMetric, Metric
from .noise import AnySigma, constant_noise
from .optimizers import AnyOptimizer
from .penalties import AnyPenalty
from .schedules import MIN_SIGMA

if TYPE_CHECKING:
    from .problem import Problem

T = TypeVar("T")


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """Refuses a value that occurs twice."""
    seen: set[T] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"duplicate value {_short(value)}; every value of an axis may occur once")
        seen.add(value)
    return values


def _short(value: object) -> str:
    return value.description if isinstance(value, Spec) else str(value)


class Training(Spec):
    """How generators are trained. What is left out is as usual for the loss (`losses.default_*`)."""

    batch: int = Field(64, ge=2, le=MAX_COUNT, description="samples of a step, real and generated each")
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        le=MAX_COUNT,
        description="generator steps of an epoch, whatever discriminator_steps; null: as many as take the "
        "discriminator once through the training set, n // (batch * discriminator_steps), at least 1; needed where a "
        "problem has no training set",
    )
    optimizer: AnyOptimizer | None = Field(
        None, description="of both players; null: adam, and for wasserstein rmsprop, with their defaults"
    )
    discriminator_steps: int | None = Field(
        None, ge=1, le=MAX_COUNT, description="before each generator step; null: 1, and for wasserstein 5"
    )


class Reference(Spec):
    """Protocol ``probe``: the run whose snapshots are probed."""

    loss: LossName = Field("non_saturating", description="it is trained with")
    sigma: AnySigma = Field(constant_noise(0.0), description="noise it is trained with, data units")
    penalty: AnyPenalty | None = Field(None, description="null: weight_clip for wasserstein, none for all others")


class ProbeSettings(Spec):
    """Protocol ``probe``: how fresh discriminators are trained and measured."""

    iterations: int = Field(500, ge=1, le=MAX_COUNT, description="steps a fresh discriminator is trained for")
    batch: int = Field(64, ge=2, le=MAX_COUNT, description="samples of a step, real and generated each")
    optimizer: AnyOptimizer | None = Field(None, description="null: as in training")
    measurements: int = Field(20, ge=1, le=MAX_COUNT, description="log-spaced iterations at which curves are measured")
    generator_batches: int = Field(
        16,
        ge=2,
        le=MAX_COUNT,
        description="fresh batches a measurement averages over; with fewer than 16 the gradient's tails are not judged",
    )

    @functools.cached_property
    def canonical(self) -> str:
        """Without the optimiser, which a cell names itself: a learning rate may be an axis."""
        return canonical_json(self.model_dump(mode="json", exclude={"optimizer"}))


SigmaGrid = Annotated[
    tuple[Annotated[FiniteFloat, Field(ge=MIN_SIGMA)], ...], BeforeValidator(to_tuple), Field(min_length=1)
]


class Collapsed(Spec):
    """What counts as a collapsed seed: a distance above a limit, in data units, or fewer modes than so many."""

    w1: FiniteFloat | None = Field(None, gt=0, description="a W1 above this, data units")
    w1_sliced: FiniteFloat | None = Field(None, gt=0, description="a sliced W1 above this, data units")
    modes: int | None = Field(None, ge=1, le=MAX_COUNT, description="fewer modes than this, by the metric modes")

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, value: Any) -> Any:
        if not isinstance(value, (dict, Collapsed)):
            raise ValueError(f"names a metric with its limit, such as {{w1: 0.3}}; got {value!r}")
        return value

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if len(self.given()) != 1:
            raise ValueError("collapsed names one of w1, w1_sliced and modes, with its limit")
        return self

    def given(self) -> dict[str, float]:
        """The one limit, by its metric."""
        return self.model_dump(exclude_none=True)

    @property
    def metric(self) -> str:
        """What is looked at."""
        return next(iter(self.given()))

    def why_not(self, problem: Problem) -> str | None:
        """What keeps seeds from being told so on a problem; None if nothing does."""
        mixture = problem.mixture()
        if self.modes is None or mixture is None or self.modes <= len(mixture.centres):
            return None
        return f"problem {problem.name} has {len(mixture.centres)} modes; fewer than all of them is the limit"

    def says(self, value: float | None) -> bool:
        """Whether a seed of this value of the metric has collapsed; one without a value has."""
        limit = self.given()[self.metric]
        return value is None or (value < limit if self.metric == "modes" else value > limit)


class Evaluation(Spec):
    """How generators are measured."""

    samples: int = Field(
        1000,
        ge=4,
        le=MAX_COUNT,
        description="largest size of a sample set; a problem with fewer held-out samples uses them all",
    )
    draws: int = Field(2000, ge=10, le=MAX_COUNT, description="Monte Carlo draws from each noisy measure")
    directions: int = Field(64, ge=1, le=MAX_COUNT, description="of the sliced distance and bound")
    sigmas: SigmaGrid | Literal["auto"] = Field(
        "auto",
        description="the grid over which the best bounds are taken, data units; auto: 13 values on a log axis, up to "
        "where noise alone is twice the diameter of the held-out data",
    )
    features: AnyFeatures = Field(PIXELS, description="the feature space of those metrics that name none")
    metrics: Annotated[tuple[AnyMetric, ...], BeforeValidator(to_tuple), AfterValidator(distinct)] = Field(
        (), description="further measures, into the table metrics"
    )
    collapsed: Collapsed | None = Field(
        None, description="what comparisons count as a collapsed seed; it changes no number and no cell"
    )

    @field_validator("metrics")
    @classmethod
    def _in_a_space(cls, metrics: tuple[Metric, ...], info: ValidationInfo) -> tuple[Metric, ...]:
        """Each metric says itself what it measures, and two that say the same are one."""
        space = info.data.get("features", PIXELS)
        return distinct(
            tuple(
                metric.model_copy(update={"features": space})
                if isinstance(metric, FeatureMetric) and metric.features is None
                else metric
                for metric in metrics
            )
        )

    @functools.cached_property
    def canonical(self) -> str:
        """Without metrics where there are none, as they were not always there, and without what changes no number.

        The feature space is the metrics' to name.
        """
        values = self.model_dump(mode="json", exclude={"features", "metrics", "collapsed"})
        metrics = [json.loads(metric.canonical) for metric in self.metrics]
        return canonical_json({**values, "metrics": metrics} if metrics else values)


class Resources(Spec):
    """What one actor holds. None of it changes a number, so none of it is in a cell's identity."""

    gpus: Literal["auto", "required"] = Field(
        "auto", description="where there is no GPU, auto: CPUs compute, and it is said; required: the job is refused"
    )
    gpus_per_actor: FiniteFloat = Field(1, ge=0, le=MAX_COUNT, description="0, a share 1/n of one, or a whole number")
    cpus_per_actor: Annotated[FiniteFloat, Field(gt=0)] | Literal["auto"] = Field(
        "auto", description="auto: one on a machine without GPUs, an even share of the CPUs beside a GPU"
    )
    memory_gb: Annotated[FiniteFloat, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="what an actor may take of its machine's memory, beyond which a cell fails instead of taking the "
        "machine down; its node must have room for it; auto: 80 % of the machine's",
    )
    actors: Annotated[int, Field(ge=1, le=MAX_COUNT)] | Literal["auto"] = Field(
        "auto", description="auto: as many as there is room for, more as nodes join"
    )
    pack: Annotated[int, Field(ge=1, le=MAX_COUNT)] | Literal["auto"] = Field(
        "auto",
        description="members trained together; auto: as many as keep actors busy, up to what the networks gain from",
    )
    retries: int = Field(
        2, ge=0, le=MAX_COUNT, description="of a pack whose worker died; a machine that was taken away does not count"
    )
    timeout_seconds: FiniteFloat | None = Field(
        None,
        gt=0,
        description="of a pack, and of loading the data; null: a pack of which nothing is heard for five minutes is "
        "named, and for an hour ended",
    )
    checkpoint_minutes: FiniteFloat | None = Field(
        5.0,
        ge=0,
        description="how often training keeps where it stands, at the end of an epoch; null: only where the machine is "
        "about to be taken away",
    )

    @field_validator("gpus_per_actor")
    @classmethod
    def _packs_evenly(cls, value: float) -> float:
        if 0 < value < 1e-3:
            raise ValueError(f"{value:g} is too small a share of a GPU; use 0 for none, or at least 0.001")
        if 0 < value < 1 and abs(round(1 / value) - 1 / value) > 1e-6:
            raise ValueError(f"{value:g} does not divide a GPU evenly; use 1/n (0.5, 0.25, ...) or a whole number")
        if value > 1 and value != int(value):
            raise ValueError(f"{value:g} is neither a whole number of GPUs nor a share 1/n of one")
        return value

    @model_validator(mode="after")
    def _asks_for_what_it_requires(self) -> Self:
        if self.gpus == "required" and not self.gpus_per_actor:
            raise ValueError("gpus is required, and gpus_per_actor is 0; leave one of them out")
        return self


Axis = Annotated[tuple[T, ...], BeforeValidator(to_tuple), Field(min_length=1), AfterValidator(distinct)]
"""An axis of a grid: distinct values of a type, at least one."""


def one_or_more(value: Any) -> Any:
    """A single mapping or object as the tuple of itself, a YAML list as a tuple."""
    return (value,) if isinstance(value, (dict, Spec)) else to_tuple(value)


_TAKEN = {"snapshots": "the store's own folder", "reference": "the folder of the reference results"}
_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[1-9])(\..*)?", re.IGNORECASE)


def _free_name(value: str) -> str:
    if value.lower() in _TAKEN:
        raise ValueError(f"'{value}' is {_TAKEN[value.lower()]}; choose another name")
    if _DEVICES.fullmatch(value) or value.endswith("."):
        raise ValueError(f"'{value}' is no name of a folder on every system; choose another name")
    return value


JobName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"), AfterValidator(_free_name)]
"""The name of a job of any protocol, and of its folder of results."""

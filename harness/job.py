"""Jobs: frozen, typed objects, and how a job file becomes one.

`load_job` reads a file and reports every mistake with its place; the models below are its grammar.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from .components import (
    DCGAN,
    LARGEST_COVARIANCE,
    MLP,
    SMALLEST_SIGMA,
    BatchNorm,
    FullCovarianceNoise,
    LossName,
    Networks,
    Optimizer,
    Penalty,
    Sigma,
    SigmaValue,
    to_tuple,
)
from .problems.specs import PROBLEMS, Custom, ProblemSpec
from .spec import FiniteFloat, Spec

PathInJob = tuple[str | int, ...]


# --- the parts of a job -----------------------------------------------------------------------------------------


class Training(Spec):
    """How generators are trained. Omitted values take the loss's usual defaults (`grid.default_*`)."""

    batch: int = Field(64, ge=2)
    steps_per_epoch: int | None = Field(None, ge=1)
    optimizer: Optimizer | None = None
    discriminator_steps: int | None = Field(None, ge=1)


class Reference(Spec):
    """Protocol ``probe``: the run whose snapshots are probed."""

    loss: LossName = "non_saturating"
    sigma: SigmaValue = Sigma(parameters=(("sigma", 0.0),))
    penalty: Penalty | None = None


class ProbeSettings(Spec):
    """Protocol ``probe``: how fresh discriminators are trained and measured."""

    iterations: int = Field(500, ge=1)
    batch: int = Field(64, ge=2)
    optimizer: Optimizer | None = None
    measurements: int = Field(20, ge=1)
    generator_batches: int = Field(16, ge=2)


SigmaGrid = Annotated[
    tuple[Annotated[FiniteFloat, Field(ge=SMALLEST_SIGMA)], ...], BeforeValidator(to_tuple), Field(min_length=1)
]


class Evaluation(Spec):
    """How snapshots are measured.

    `samples` is the largest number a set has; a problem with fewer held-out samples uses them all. `sigmas` is the
    grid over which the best bound is taken; ``auto`` spans the useful range of the held-out data.
    """

    samples: int = Field(1000, ge=4)
    draws: int = Field(2000, ge=10)
    directions: int = Field(64, ge=1)
    sigmas: SigmaGrid | Literal["auto"] = "auto"


class Resources(Spec):
    """What one actor holds. None of it changes a number, so none of it is in a cell's identity.

    `cpus_per_actor` ``auto``: one CPU on a machine without GPUs, an even share of the CPUs beside a GPU. `pack`
    ``auto``: as many members as keep every actor busy, up to what the networks gain from.
    """

    gpus_per_actor: FiniteFloat = Field(1, ge=0)
    cpus_per_actor: Annotated[FiniteFloat, Field(gt=0)] | Literal["auto"] = "auto"
    actors: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    pack: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    retries: int = Field(2, ge=0)
    timeout_seconds: FiniteFloat | None = Field(None, gt=0)

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


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: list[Any] = []
    for value in values:
        if value in seen:
            raise ValueError(f"duplicate value {value}; every value of an axis may occur once")
        seen.append(value)
    return values


def axis(item: Any) -> Any:
    """The type of an axis of a grid: distinct values of a type, at least one."""
    return Annotated[tuple[item, ...], BeforeValidator(to_tuple), Field(min_length=1), AfterValidator(_distinct)]


class Grid(Spec):
    """The axes; a cell is one point of their product.

    `batch_norm` is that of the cell's discriminator (protocol ``probe``: of the fresh one; the reference run keeps that
    of ``networks``). `discriminator_steps` belongs to protocol ``train``.
    """

    loss: axis(LossName)  # type: ignore[valid-type]
    sigma: axis(SigmaValue)  # type: ignore[valid-type]
    epoch: axis(Annotated[int, Field(ge=1, le=10**9)])  # type: ignore[valid-type]
    seed: axis(Annotated[int, Field(ge=0, le=2**63 - 1)])  # type: ignore[valid-type]
    penalty: axis(Penalty) | None = None  # type: ignore[valid-type]
    learning_rate: axis(Annotated[FiniteFloat, Field(gt=0)]) | None = None  # type: ignore[valid-type]
    batch_norm: axis(BatchNorm) | None = None  # type: ignore[valid-type]
    discriminator_steps: axis(Annotated[int, Field(ge=1)]) | None = None  # type: ignore[valid-type]


def _problem_tag(value: Any) -> str | None:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if not isinstance(name, str):
        return None
    return name if name in PROBLEMS else "custom" if ":" in name else None


_ProblemUnion: Any = Annotated[Custom, Tag("custom")]
for _name, _class in PROBLEMS.items():
    _ProblemUnion = _ProblemUnion | Annotated[_class, Tag(_name)]
Problem = Annotated[_ProblemUnion, Discriminator(_problem_tag)]


def one_or_more(value: Any) -> Any:
    """A single mapping or object as the tuple of itself, a YAML list as a tuple."""
    return (value,) if isinstance(value, (dict, Spec)) else to_tuple(value)


def _free_name(value: str) -> str:
    if value == "snapshots":
        raise ValueError("'snapshots' is the store's own folder; choose another name")
    return value


JobName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"), AfterValidator(_free_name)]
"""The name of a job of any protocol, and of its folder of results."""


class Job(Spec):
    """Cells and everything that determines their numbers.

    `grid` is one grid or a list of them, whose cells are united.
    """

    name: JobName
    protocol: Literal["probe", "train"]
    problem: Problem
    networks: Networks
    training: Training = Training()
    reference: Reference | None = None
    grid: Annotated[tuple[Grid, ...], BeforeValidator(one_or_more), Field(min_length=1)]
    probe: ProbeSettings | None = None
    evaluation: Evaluation = Evaluation()
    resources: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_protocol(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("protocol") == "probe":
            return {**value, "reference": value.get("reference") or {}, "probe": value.get("probe") or {}}
        return value

    @property
    def last_epoch(self) -> int:
        """The largest epoch of any grid: how far runs are trained, and where schedules end."""
        return int(max(max(grid.epoch) for grid in self.grid))

    def has_axis(self, name: str) -> bool:
        """Whether any grid has this optional axis."""
        return any(getattr(grid, name) is not None for grid in self.grid)


def contradictions(job: Job) -> Iterator[tuple[PathInJob, str]]:
    """Mistakes between valid parts: where in the job, and what."""
    problem: ProblemSpec = job.problem
    try:
        facts = problem.facts()
    except (ValueError, OSError) as error:
        yield ("problem",), str(error)
        return
    if job.protocol == "train":
        for part in ("reference", "probe"):
            if getattr(job, part) is not None:
                yield (part,), f"protocol train has no {part}; remove it, or set protocol: probe"
    else:
        yield from _probe_contradictions(job)
    if isinstance(job.networks, DCGAN) and not _fits_dcgan(facts.shape):
        way_out = (
            f"set problem.size to one of {_DCGAN_SIZES}"
            if hasattr(problem, "size")
            else f"use networks: {{name: mlp}}, or images of size {_DCGAN_SIZES}"
        )
        yield (
            ("networks", "name"),
            f"dcgan needs square images of a power-of-two size from 8 to 128, "
            f"problem {problem.name} has samples of shape {list(facts.shape)}; {way_out}",
        )
    if isinstance(job.networks, MLP):
        for index, grid in enumerate(job.grid):
            if grid.batch_norm is not None:
                yield ("grid", index, "batch_norm"), "an mlp has no batch normalisation; remove the axis, or use dcgan"
    if facts.num_training is None and job.training.steps_per_epoch is None:
        yield (
            ("training",),
            "a problem without a fixed data set needs training.steps_per_epoch, the length of an epoch",
        )
    yield from _noise_contradictions(job, math.prod(facts.shape))
    for part in ("training", "probe"):
        settings = getattr(job, part)
        if settings is not None and facts.num_training is not None and settings.batch > facts.num_training:
            yield (
                (part, "batch"),
                f"a batch of {settings.batch} is larger than the {facts.num_training} training samples",
            )


def _noise_contradictions(job: Job, dimension: int) -> Iterator[tuple[PathInJob, str]]:
    """Covariances that do not fit the samples."""
    places: list[tuple[PathInJob, Sigma]] = [
        (("grid", number, "sigma", index), sigma)
        for number, grid in enumerate(job.grid)
        for index, sigma in enumerate(grid.sigma)
    ]
    if job.reference is not None:
        places.append((("reference", "sigma"), job.reference.sigma))
    for place, sigma in places:
        noise = sigma.noise
        if not isinstance(noise, FullCovarianceNoise):
            continue
        if noise.covariance == "data" and dimension > LARGEST_COVARIANCE:
            yield (
                place,
                f"full_covariance noise in {dimension} dimensions needs a matrix of {dimension}^2 numbers; use samples "
                f"of at most {LARGEST_COVARIANCE} coordinates, or another family",
            )
        elif noise.covariance != "data" and len(noise.covariance) != dimension:
            size = len(noise.covariance)
            yield place, f"the covariance is {size}x{size}, a sample has {dimension} coordinates; give one of its size"


_DCGAN_SIZES = (8, 16, 32, 64, 128)


def _fits_dcgan(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[1] == shape[2] and shape[1] in _DCGAN_SIZES


def _probe_contradictions(job: Job) -> Iterator[tuple[PathInJob, str]]:
    for number, grid in enumerate(job.grid):
        if grid.discriminator_steps is not None:
            yield (
                ("grid", number, "discriminator_steps"),
                "a probe trains nothing but the discriminator; this axis belongs to protocol: train",
            )
        for index, sigma in enumerate(grid.sigma):
            if not sigma.is_constant:
                yield (
                    ("grid", number, "sigma", index),
                    "a probe has one sigma; schedules belong to protocol: train, or to reference.sigma",
                )

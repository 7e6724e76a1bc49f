"""Mistakes between parts of a job that are valid each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import suggest
from ..theory.penalties import PENALTIES
from ..theory.schedules import SCHEDULES
from .job import Job
from .parts.networks import DCGAN, MLP
from .parts.noise import LARGEST_COVARIANCE, FullCovarianceNoise, Sigma
from .parts.problem import ProblemSpec
from .parts.settings import PathInJob
from .space import OwnParameters, Range, Space, make_penalty, make_schedule
from .tune import TuneJob


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
    kinds: list[tuple[str, Mapping[str, Any], Mapping[str, OwnParameters], Callable[..., Any]]] = [
        ("schedule", SCHEDULES, space.schedule, make_schedule),
        ("penalty", PENALTIES, space.penalty or {}, make_penalty),
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

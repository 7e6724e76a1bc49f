"""Mistakes between parts of a job that are valid each by itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .parts.losses import find_loss
from .parts.metrics import FeatureMetric
from .parts.noise import BOUNDED, NoiseOn, NoiseSchedule, noise_named
from .parts.penalty import Penalty
from .parts.problem import ProblemInfo
from .parts.schedules import Schedule
from .space import OwnParameters, Range, Space, make_penalty, make_schedule
from .spec import MistakesError, PathInJob

if TYPE_CHECKING:
    from .job import Job
    from .tune import TuneJob

Found = Iterator[tuple[PathInJob, str]]
"""Mistakes: where in the job, and what."""


def validate_job(job: Job) -> Found:
    """Mistakes between the parts of a job."""
    try:
        info = job.problem.info()
    except (ValueError, OSError) as error:
        yield ("problem",), str(error)
        return
    if job.protocol == "probe":
        yield from _mistakes_of_probes(job)
    else:
        for part in ("reference", "probe"):
            if getattr(job, part) is not None:
                yield (part,), f"protocol train has no {part}; remove it, or set protocol: probe"
    for place, with_losses, losses in _parts_with_losses(job):
        if (reason := why_not_with(with_losses, losses)) is not None:
            yield place, f"{reason}; losses that it goes with can have a grid of their own"
    yield from _mistakes_of_networks(job, info.shape)
    yield from _mistakes_of_noise(job, math.prod(info.shape))
    yield from _mistakes_of_metrics(job, info)
    yield from _mistakes_of_collapsed(job)
    if info.num_training is None and job.training.steps_per_epoch is None:
        yield (
            ("training",),
            "a problem without a fixed data set needs training.steps_per_epoch, the length of an epoch",
        )
    for part in ("training", "probe"):
        settings = getattr(job, part)
        if settings is not None and info.num_training is not None and settings.batch > info.num_training:
            yield (
                (part, "batch"),
                f"a batch of {settings.batch} is larger than the {info.num_training} training samples",
            )


def _mistakes_of_metrics(job: Job, info: ProblemInfo) -> Found:
    """Metrics that the problem has not the samples for, or whose features they cannot have."""
    evaluation = job.evaluation
    wrong = evaluation.features.why_not(job.problem)
    if wrong is not None:
        yield ("evaluation", "features"), f"{wrong}; use features: pixels, or a space of your own"
    num_held_out = min(evaluation.samples, info.num_held_out or evaluation.samples)
    for index, metric in enumerate(evaluation.metrics):
        place: PathInJob = ("evaluation", "metrics", index)
        is_said = wrong is not None and isinstance(metric, FeatureMetric) and metric.space == evaluation.features
        if (problem := metric.why_not(job.problem)) and not is_said:
            yield place, f"metric {metric.name}: {problem}"
        if metric.least_samples > num_held_out:
            yield (
                place,
                f"metric {metric.name} needs {metric.least_samples} held-out samples, and there are {num_held_out}; "
                "lower its k, or raise evaluation.samples",
            )


def _mistakes_of_collapsed(job: Job) -> Found:
    """Modes are counted where a metric counts them, and there are no more than the problem has."""
    collapsed = job.evaluation.collapsed
    if collapsed is None or collapsed.modes is None:
        return
    place = ("evaluation", "collapsed", "modes")
    if reason := collapsed.why_not(job.problem):
        yield place, reason
    if collapsed.metric not in [metric.label for metric in job.evaluation.metrics]:
        yield place, "needs the metric that counts them; add it: evaluation.metrics: [modes]"


def _parts_with_losses(job: Job) -> Iterator[tuple[PathInJob, Penalty | Schedule, Sequence[str]]]:
    """Where penalties and schedules are named, and the losses they go with."""
    if job.reference is not None:
        if job.reference.penalty is not None:
            yield ("reference", "penalty"), job.reference.penalty, (job.reference.loss,)
        yield ("reference", "sigma"), job.reference.sigma.schedule, (job.reference.loss,)
    for number, grid in enumerate(job.grid):
        for index, penalty in enumerate(grid.penalty or ()):
            yield ("grid", number, "penalty", index), penalty, grid.loss
        for index, sigma in enumerate(grid.sigma):
            yield ("grid", number, "sigma", index), sigma.schedule, grid.loss


def why_not_with(part: Penalty | Schedule, losses: Sequence[str]) -> str | None:
    """What keeps a penalty or a schedule from going with one of the losses; None if nothing does."""
    reasons = (part.why_not(find_loss(loss)) for loss in losses)
    return next((reason for reason in reasons if reason is not None), None)


def _mistakes_of_networks(job: Job, shape: tuple[int, ...]) -> Found:
    needed = job.networks.needs(shape)
    if needed is not None:
        way_out = "set problem.size" if "size" in type(job.problem).model_fields else "use networks: {name: mlp}"
        yield (
            ("networks", "name"),
            f"{job.networks.name} needs {needed}, problem {job.problem.name} has samples of shape {list(shape)}; "
            f"{way_out}",
        )
    if not job.networks.has_batch_norm():
        for index, grid in enumerate(job.grid):
            if grid.batch_norm is not None:
                yield (
                    ("grid", index, "batch_norm"),
                    f"{job.networks.name} has no batch normalisation; remove the axis, or use dcgan",
                )


def _mistakes_of_noise(job: Job, dimension: int) -> Found:
    """Noise that does not fit the samples."""
    places: list[tuple[PathInJob, NoiseSchedule]] = [
        (("grid", number, "sigma", index), sigma)
        for number, grid in enumerate(job.grid)
        for index, sigma in enumerate(grid.sigma)
    ]
    if job.reference is not None:
        places.append((("reference", "sigma"), job.reference.sigma))
    for place, sigma in places:
        wrong = sigma.noise.needs(dimension)
        if wrong is not None:
            yield place, wrong


def _mistakes_of_probes(job: Job) -> Found:
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


def validate_tune_job(job: TuneJob) -> Found:
    """Mistakes between the parts of a search, whose trainings must be possible as well."""
    try:
        job.example()
    except ValidationError as error:
        for item in error.errors():
            inner = item.get("ctx", {}).get("error")
            yield from inner.found if isinstance(inner, MistakesError) else [(item["loc"], item["msg"])]
    mistakes = list(_mistakes_of_families(job.space))
    yield from mistakes
    if job.search.report != "auto":
        for index, epoch in enumerate(job.search.report):
            if epoch >= job.epochs:
                yield ("search", "report", index), f"a report at epoch {epoch} is not before the end, {job.epochs}"
    if job.search.pruner not in (None, "none") and len(job.objective.minimise) > 1:
        yield ("search", "pruner"), "a search for a Pareto front has no order to prune by; set pruner: none"
    for index, name in enumerate(job.space.noise or ()):
        if wrong := noise_named(name).needs(math.prod(job.problem.info().shape)):
            yield ("space", "noise", index), wrong
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


def _mistakes_of_final(job: TuneJob) -> Found:
    """A bound at the schedule's own last sigma says nothing without noise, nor before the end."""
    if job.search.pruner not in (None, "none"):
        yield ("search", "pruner"), "with sigma: final the bounds of a report are at another sigma; set pruner: none"
    for index, noise in enumerate(job.space.noise or ()):
        if noise not in BOUNDED and job.kind_of_bound != "sliced":
            yield (
                ("space", "noise", index),
                f"with sigma: final the bound is that of the noise itself, which {noise} may lack; use sigma: best, or "
                f"one of {', '.join(BOUNDED)}",
            )
    for family, parameters in job.space.schedule.items():
        for name in ("end", "sigma"):
            space = parameters.get(name)
            if (space.low if isinstance(space, Range) else space) == 0:
                yield (
                    ("space", "schedule", family, name),
                    "with sigma: final a schedule may not end at 0, where every bound is trivial; use sigma: best",
                )


def _mistakes_of_families(space: Space) -> Found:
    """Families that are unknown, and parameters that are or whose ends make no schedule or penalty."""
    noise_on: NoiseOn = "discriminator" if "discriminator" in (space.noise_on or ()) else "both"
    kinds: list[tuple[str, Mapping[str, OwnParameters], Callable[..., Any]]] = [
        ("schedule", space.schedule, functools.partial(make_schedule, noise_on=noise_on)),
        ("penalty", space.penalty or {}, make_penalty),
    ]
    for kind, families, make in kinds:
        for family, parameters in families.items():
            for end in ("low", "high"):
                values = {n: getattr(p, end) if isinstance(p, Range) else p for n, p in parameters.items()}
                try:
                    made = make(family, values)
                except ValueError as error:
                    yield ("space", kind, family), str(error)
                    break
                part = made if isinstance(made, Penalty) else made.schedule
                if (reason := why_not_with(part, space.loss)) is not None:
                    yield ("space", kind, family), f"{reason}; search such losses apart"
                    break
    rate = space.learning_rate
    lowest = rate.low if isinstance(rate, Range) else rate
    if lowest is not None and lowest <= 0:
        yield ("space", "learning_rate"), f"learning_rate must be > 0, got {lowest:g}"

"""A job's cells, and the runs and probes that produce them. Pure: no files, no torch, no Ray."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..job.job import Grid, Job
from ..job.parts.losses import default_discriminator_steps, default_optimizer, default_penalty, find_loss
from ..job.parts.networks import BatchNorm
from ..job.parts.noise import NoiseSchedule
from ..job.parts.optimizers import Optimizer
from ..job.parts.penalties import Penalty
from .cells import Cell, Probe, Run


class _Combination(NamedTuple):
    """One point of the axes but epoch and seed, as the job file has it: None where an optional axis is absent."""

    loss: str
    penalty: Penalty | None
    learning_rate: float | None
    batch_norm: BatchNorm | None
    discriminator_steps: int | None
    sigma: NoiseSchedule


def expand(job: Job) -> list[Cell]:
    """All cells of a job, in the order of its axes (loss slowest, seed fastest); those in several grids once.

    It costs a time per cell that does not grow with their number.
    """
    problem_identity = job.problem.canonical
    make = _probe_cells if job.protocol == "probe" else _train_cells
    cells = (
        cell
        for grid in job.grid
        for combination in _combinations(grid)
        for cell in make(job, problem_identity, combination, grid)
    )
    return list({cell.cell_id: cell for cell in cells}.values())


def _combinations(grid: Grid) -> Iterator[_Combination]:
    axes = itertools.product(
        grid.loss,
        grid.penalty or (None,),
        grid.learning_rate or (None,),
        grid.batch_norm or (None,),
        grid.discriminator_steps or (None,),
        grid.sigma,
    )
    return itertools.starmap(_Combination, axes)


def _with_rate(optimizer: Optimizer, rate: float | None) -> Optimizer:
    return optimizer if rate is None else optimizer.model_copy(update={"learning_rate": rate})


def _runs(job: Job, problem_identity: str, combination: _Combination, seeds: Sequence[int]) -> list[Run]:
    """Runs of each seed that share all their parts, whose canonical texts are then made once."""
    first = _run(job, problem_identity, combination, seeds[0])
    return [first, *(dataclasses.replace(first, seed=seed) for seed in seeds[1:])]


def _run(job: Job, problem_identity: str, combination: _Combination, seed: int) -> Run:
    training, loss = job.training, combination.loss
    discriminator_steps = (
        combination.discriminator_steps or training.discriminator_steps or default_discriminator_steps(loss)
    )
    return Run(
        problem=job.problem,
        problem_identity=problem_identity,
        networks=job.networks.with_batch_norm(combination.batch_norm),
        loss=loss,
        penalty=combination.penalty or default_penalty(loss),
        optimizer=_with_rate(training.optimizer or default_optimizer(loss), combination.learning_rate),
        sigma=combination.sigma,
        batch=training.batch,
        steps_per_epoch=_steps_per_epoch(job, discriminator_steps),
        discriminator_steps=discriminator_steps,
        seed=seed,
        horizon=job.last_epoch,
    )


def _steps_per_epoch(job: Job, discriminator_steps: int) -> int:
    """Generator steps; unless the job says otherwise, an epoch is one pass of the discriminator over the data."""
    if job.training.steps_per_epoch is not None:
        return job.training.steps_per_epoch
    num_training = job.problem.info().num_training
    assert num_training is not None, "a job without steps_per_epoch has a fixed data set"
    return max(1, num_training // (job.training.batch * discriminator_steps))


def _train_cells(job: Job, problem_identity: str, combination: _Combination, grid: Grid) -> Iterator[Cell]:
    runs = _runs(job, problem_identity, combination, grid.seed)
    for epoch in grid.epoch:
        sigma = runs[0].sigma_at(epoch)
        for run in runs:
            yield _cell(job, combination, epoch, sigma, run=run, probe=None, trained=run)


def _probe_cells(job: Job, problem_identity: str, combination: _Combination, grid: Grid) -> Iterator[Cell]:
    assert job.reference is not None
    assert job.probe is not None
    reference = _Combination(job.reference.loss, job.reference.penalty, None, None, None, job.reference.sigma)
    runs = _runs(job, problem_identity, reference, grid.seed)
    sigma = combination.sigma.at(1.0)
    assert sigma is not None, "a probe's sigma is constant"
    probe_of = functools.partial(
        Probe,
        objective=find_loss(combination.loss).objective.name,
        networks=job.networks.with_batch_norm(combination.batch_norm),
        penalty=combination.penalty or default_penalty(combination.loss),
        optimizer=_with_rate(job.probe.optimizer or default_optimizer(combination.loss), combination.learning_rate),
        sigma=sigma,
        noise=combination.sigma.noise,
        noise_on=combination.sigma.noise_on,
        settings=job.probe,
    )
    for epoch in grid.epoch:
        for run in runs:
            probe = probe_of(run, epoch)
            yield _cell(job, combination, epoch, sigma, run=run, probe=probe, trained=probe)


def _cell(
    job: Job,
    combination: _Combination,
    epoch: int,
    sigma: float | None,
    *,
    run: Run,
    probe: Probe | None,
    trained: Run | Probe,
) -> Cell:
    """A cell whose penalty and optimiser are those of what it trains."""
    return Cell(
        loss=combination.loss,
        penalty=trained.penalty,
        optimizer=trained.optimizer,
        sigma=combination.sigma,
        sigma_value=sigma,
        discriminator_steps=combination.discriminator_steps,
        epoch=epoch,
        run=run,
        probe=probe,
        evaluation=job.evaluation,
    )

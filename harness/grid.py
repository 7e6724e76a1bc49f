"""A job's cells, and the runs and probes that produce them. Pure: no files, no torch, no Ray."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from .components import (
    DCGAN,
    MLP,
    TRUNCATED,
    Adam,
    AnyNoise,
    AnyOptimizer,
    AnyPenalty,
    BatchNorm,
    NoPenalty,
    RMSprop,
    Sigma,
    WeightClip,
    describe_spec,
    find_loss,
    named_with_source,
)
from .identity import canonical_json, digest
from .job import Evaluation, Grid, Job, ProbeSettings
from .problems.specs import ProblemSpec
from .spec import Spec

TRAINING_VERSION = 1
"""Raised when the same settings give other generators, so that old snapshots are not used."""

METRIC_VERSION = 1
"""Raised when a measured column changes its meaning, so that old rows count as stale."""

AnyNetworks: TypeAlias = MLP | DCGAN


@dataclass(frozen=True)
class Run:
    """One GAN training trajectory. Epochs are not part of it: it passes through all that are asked for.

    Attributes:
      horizon: Number of epochs over which a schedule spends t from 0 to 1.
    """

    problem: ProblemSpec
    problem_identity: str
    networks: AnyNetworks
    loss: str
    penalty: AnyPenalty
    optimizer: AnyOptimizer
    sigma: Sigma
    batch: int
    steps_per_epoch: int
    discriminator_steps: int
    seed: int
    horizon: int
    run_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "run_id", digest(self.identity()))

    def identity(self) -> dict[str, Any]:
        """What determines the trajectory; a constant sigma does not depend on the horizon."""
        return {
            "training_version": TRAINING_VERSION,
            "problem": self.problem_identity,
            "networks": _plain(self.networks),
            "loss": named_with_source(self.loss),
            "penalty": _plain(self.penalty),
            "optimizer": _plain(self.optimizer),
            "sigma": self.sigma.identity(),
            "batch": self.batch,
            "steps_per_epoch": self.steps_per_epoch,
            "discriminator_steps": self.discriminator_steps,
            "seed": self.seed,
            **({} if self.sigma.is_constant else {"horizon": self.horizon}),
        }

    @property
    def is_noisy(self) -> bool:
        """Whether sigma is ever other than 0."""
        return not self.sigma.is_constant or self.sigma.at(0.0) != 0

    def sigma_at(self, epoch: int) -> float | None:
        """sigma at the end of an epoch; None for an adaptive schedule."""
        return self.sigma.at(epoch / self.horizon)


@dataclass(frozen=True)
class Probe:
    """A fresh discriminator trained against the snapshot of a run at an epoch.

    Losses that share the objective share the probe. `networks` has the probe's own batch normalisation.
    """

    run: Run
    epoch: int
    objective: str
    networks: AnyNetworks
    penalty: AnyPenalty
    optimizer: AnyOptimizer
    sigma: float
    noise: AnyNoise
    settings: ProbeSettings


@dataclass(frozen=True)
class Cell:
    """One point of the grid; one row of the ``cells`` table.

    Attributes:
      sigma_value: sigma at the cell's epoch; None where only the training can tell.
      discriminator_steps: Of the grid's axis; None where it has none.
    """

    loss: str
    penalty: AnyPenalty
    optimizer: AnyOptimizer
    sigma: Sigma
    sigma_value: float | None
    discriminator_steps: int | None
    epoch: int
    seed: int
    run: Run
    probe: Probe | None
    evaluation: Evaluation
    cell_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell_id", digest(self.identity()))

    def identity(self) -> dict[str, Any]:
        """What determines the row's numbers, and nothing else."""
        probe = self.probe
        return {
            "metric_version": METRIC_VERSION,
            "run": self.run.identity(),
            "epoch": self.epoch,
            "evaluation": _plain(self.evaluation),
            "probe": probe
            and {
                "batch_norm": probe.networks.batch_norm,
                "loss": named_with_source(self.loss),
                "penalty": _plain(probe.penalty),
                "optimizer": _plain(probe.optimizer),
                "sigma": probe.sigma,
                **({} if probe.noise == TRUNCATED else {"noise": probe.noise.model_dump(mode="json")}),
                "settings": probe.settings.model_dump(mode="json", exclude={"optimizer"}),
            },
        }

    @property
    def networks(self) -> AnyNetworks:
        """The networks of the cell's discriminator."""
        return self.run.networks if self.probe is None else self.probe.networks

    @property
    def coordinates(self) -> tuple[Any, ...]:
        """The cell's place in its grid, which stays the same when a job's settings change; see `store.COORDINATES`."""
        return (
            self.loss,
            describe_spec(self.penalty),
            str(self.sigma),
            self.optimizer.learning_rate,
            self.networks.batch_norm,
            self.discriminator_steps,
            self.epoch,
            self.seed,
            None,
        )

    def description(self) -> dict[str, Any]:
        """The columns that say which cell it is."""
        return {
            "cell_id": self.cell_id,
            "protocol": "train" if self.probe is None else "probe",
            "problem": self.run.problem.name,
            "network": describe_spec(self.run.networks),
            "batch_norm": self.networks.batch_norm,
            "loss": self.loss,
            "penalty": describe_spec(self.penalty),
            "optimizer": describe_spec(self.optimizer),
            "learning_rate": self.optimizer.learning_rate,
            "discriminator_steps": self.discriminator_steps,
            "schedule": str(self.sigma),
            "sigma": self.sigma_value,
            "noise": self.sigma.noise.name,
            "epoch": self.epoch,
            "seed": self.seed,
            "run_id": self.run.run_id,
            "identity": canonical_json(self.identity()),
        }


class _Point(NamedTuple):
    """One point of the grid, as the job file has it: None where an optional axis is absent."""

    loss: str
    penalty: AnyPenalty | None
    learning_rate: float | None
    batch_norm: BatchNorm | None
    discriminator_steps: int | None
    sigma: Sigma
    epoch: int
    seed: int


def expand(job: Job) -> list[Cell]:
    """All cells of a job, in the order of its axes (loss slowest, seed fastest); those in several grids once."""
    problem_identity = canonical_json(job.problem.identity())
    make = _probe_cell if job.protocol == "probe" else _train_cell
    cells = (make(job, problem_identity, point) for grid in job.grid for point in _points(grid))
    return list({cell.cell_id: cell for cell in cells}.values())


def _points(grid: Grid) -> Iterator[_Point]:
    axes = itertools.product(
        grid.loss,
        grid.penalty or (None,),
        grid.learning_rate or (None,),
        grid.batch_norm or (None,),
        grid.discriminator_steps or (None,),
        grid.sigma,
        grid.epoch,
        grid.seed,
    )
    return itertools.starmap(_Point, axes)


def default_optimizer(loss: str) -> AnyOptimizer:
    """RMSprop for wasserstein (Arjovsky et al. 2017), Adam for all others (Radford et al. 2016)."""
    return RMSprop(name="rmsprop") if _is_wasserstein(loss) else Adam()


def default_penalty(loss: str) -> AnyPenalty:
    """Weight clipping at 0.01 for wasserstein, none for all others."""
    return WeightClip(name="weight_clip") if _is_wasserstein(loss) else NoPenalty()


def default_discriminator_steps(loss: str) -> int:
    """5 for wasserstein, 1 for all others."""
    return 5 if _is_wasserstein(loss) else 1


def _is_wasserstein(loss: str) -> bool:
    return find_loss(loss).objective.name == "wasserstein"


def _plain(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(mode="json")


def _with_rate(optimizer: AnyOptimizer, rate: float | None) -> AnyOptimizer:
    return optimizer if rate is None else optimizer.model_copy(update={"learning_rate": rate})


def _with_batch_norm(networks: AnyNetworks, mode: BatchNorm | None) -> AnyNetworks:
    return networks if mode is None else networks.model_copy(update={"batch_norm": mode})


def _run(
    job: Job,
    problem_identity: str,
    *,
    loss: str,
    penalty: AnyPenalty | None,
    rate: float | None,
    batch_norm: BatchNorm | None,
    discriminator_steps: int | None,
    sigma: Sigma,
    seed: int,
) -> Run:
    training = job.training
    discriminator_steps = discriminator_steps or training.discriminator_steps or default_discriminator_steps(loss)
    facts = job.problem.facts()
    if training.steps_per_epoch is not None:
        steps_per_epoch = training.steps_per_epoch
    else:
        assert facts.num_training is not None, "a job without steps_per_epoch has a fixed data set"
        # an epoch is one pass of the discriminator over the data
        steps_per_epoch = max(1, facts.num_training // (training.batch * discriminator_steps))
    return Run(
        problem=job.problem,
        problem_identity=problem_identity,
        networks=_with_batch_norm(job.networks, batch_norm),
        loss=loss,
        penalty=penalty or default_penalty(loss),
        optimizer=_with_rate(training.optimizer or default_optimizer(loss), rate),
        sigma=sigma,
        batch=training.batch,
        steps_per_epoch=steps_per_epoch,
        discriminator_steps=discriminator_steps,
        seed=seed,
        horizon=job.last_epoch,
    )


def _train_cell(job: Job, problem_identity: str, point: _Point) -> Cell:
    run = _run(
        job,
        problem_identity,
        loss=point.loss,
        penalty=point.penalty,
        rate=point.learning_rate,
        batch_norm=point.batch_norm,
        discriminator_steps=point.discriminator_steps,
        sigma=point.sigma,
        seed=point.seed,
    )
    return _cell(job, point, run=run, penalty=run.penalty, optimizer=run.optimizer, sigma=run.sigma_at(point.epoch))


def _probe_cell(job: Job, problem_identity: str, point: _Point) -> Cell:
    assert job.reference is not None
    assert job.probe is not None
    reference = job.reference
    run = _run(
        job,
        problem_identity,
        loss=reference.loss,
        penalty=reference.penalty,
        rate=None,
        batch_norm=None,
        discriminator_steps=None,
        sigma=reference.sigma,
        seed=point.seed,
    )
    sigma = point.sigma.at(1.0)
    assert sigma is not None, "a probe's sigma is constant"
    probe = Probe(
        run=run,
        epoch=point.epoch,
        objective=find_loss(point.loss).objective.name,
        networks=_with_batch_norm(job.networks, point.batch_norm),
        penalty=point.penalty or default_penalty(point.loss),
        optimizer=_with_rate(job.probe.optimizer or default_optimizer(point.loss), point.learning_rate),
        sigma=sigma,
        noise=point.sigma.noise,
        settings=job.probe,
    )
    return _cell(job, point, run=run, probe=probe, penalty=probe.penalty, optimizer=probe.optimizer, sigma=sigma)


def _cell(
    job: Job,
    point: _Point,
    *,
    run: Run,
    probe: Probe | None = None,
    penalty: AnyPenalty,
    optimizer: AnyOptimizer,
    sigma: float | None,
) -> Cell:
    return Cell(
        loss=point.loss,
        penalty=penalty,
        optimizer=optimizer,
        sigma=point.sigma,
        sigma_value=sigma,
        discriminator_steps=point.discriminator_steps,
        epoch=point.epoch,
        seed=point.seed,
        run=run,
        probe=probe,
        evaluation=job.evaluation,
    )

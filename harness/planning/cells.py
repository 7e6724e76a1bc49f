"""Runs, probes and cells: what is computed, and what determines its numbers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from ..identity import canonical_json, canonical_object, digest_of_text
from ..job.parts.losses import named_with_source
from ..job.parts.networks import Network
from ..job.parts.noise import TRUNCATED, Noise, NoiseOn, NoiseSchedule
from ..job.parts.optimizers import Optimizer
from ..job.parts.penalties import Penalty
from ..job.parts.problem import Problem
from ..job.parts.settings import Evaluation, ProbeSettings
from ..storage.records import CellKey

TRAINING_VERSION = 3
"""Raised when the same settings give other generators, so that old snapshots are not used."""

METRIC_VERSION = 4
"""Raised when a column that is measured of samples changes its meaning or its rounding: old rows are stale then.

Generators of protocol ``train`` are measured again from their snapshots. What discriminators said is kept from the old
rows (`records.OF_DISCRIMINATORS`): where one of these changes, raise `TRAINING_VERSION`; a new one is null in them.
"""


@dataclass(frozen=True)
class Run:
    """One GAN training trajectory. Epochs are not part of it: it passes through all that are asked for.

    Attributes:
      problem_identity: Of the problem, as canonical JSON.
      horizon: Number of epochs over which a schedule spends t from 0 to 1.
    """

    problem: Problem
    problem_identity: str
    networks: Network
    loss: str
    penalty: Penalty
    optimizer: Optimizer
    sigma: NoiseSchedule
    batch: int
    steps_per_epoch: int
    discriminator_steps: int
    seed: int
    horizon: int

    @functools.cached_property
    def run_id(self) -> str:
        """Hash of `identity`."""
        return digest_of_text(self.identity)

    @functools.cached_property
    def identity(self) -> str:
        """What determines the trajectory, as canonical JSON."""
        return canonical_object(self.parts)

    @functools.cached_property
    def parts(self) -> dict[str, str]:
        """The canonical JSON of each part of `identity`; constant sigma and strengths do not depend on the horizon."""
        return {
            "training_version": str(TRAINING_VERSION),
            "problem": canonical_json(self.problem_identity),
            "networks": self.networks.canonical,
            "loss": canonical_json(named_with_source(self.loss)),
            "penalty": self.penalty.canonical,
            "optimizer": self.optimizer.canonical,
            "sigma": self.sigma.canonical,
            "batch": str(self.batch),
            "steps_per_epoch": str(self.steps_per_epoch),
            "discriminator_steps": str(self.discriminator_steps),
            "seed": str(self.seed),
            **({} if self.sigma.is_constant and not self.penalty.schedules else {"horizon": str(self.horizon)}),
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
    networks: Network
    penalty: Penalty
    optimizer: Optimizer
    sigma: float
    noise: Noise
    settings: ProbeSettings
    noise_on: NoiseOn = "both"

    @functools.cached_property
    def probe_id(self) -> str:
        """Hash of all that the probe is, for comparing and finding."""
        own = {"run": f'"{self.run.run_id}"', "epoch": str(self.epoch), "objective": canonical_json(self.objective)}
        return digest_of_text(canonical_object({**self.parts, **own, "networks": self.networks.canonical}))

    @functools.cached_property
    def parts(self) -> dict[str, str]:
        """The canonical JSON of what the probe adds to the identity of its cells."""
        return {
            "batch_norm": canonical_json(self.networks.normalisation),
            "penalty": self.penalty.canonical,
            "optimizer": self.optimizer.canonical,
            "sigma": canonical_json(self.sigma),
            **({} if self.noise == TRUNCATED else {"noise": self.noise.canonical}),
            **({} if self.noise_on == "both" else {"noise_on": canonical_json(self.noise_on)}),
            "settings": self.settings.canonical,
        }


@dataclass(frozen=True)
class Cell:
    """One point of the grid; one row of the ``cells`` table.

    Attributes:
      sigma_value: sigma at the cell's epoch; None where only the training can tell.
      discriminator_steps: Of the grid's axis; None where it has none.
    """

    loss: str
    penalty: Penalty
    optimizer: Optimizer
    sigma: NoiseSchedule
    sigma_value: float | None
    discriminator_steps: int | None
    epoch: int
    run: Run
    probe: Probe | None
    evaluation: Evaluation

    @functools.cached_property
    def cell_id(self) -> str:
        """Hash of `identity`."""
        return digest_of_text(self.identity)

    @functools.cached_property
    def identity(self) -> str:
        """What determines the row's numbers, and nothing else, as canonical JSON."""
        return canonical_object(
            {
                "metric_version": str(METRIC_VERSION),
                "run": self.run.identity,
                "epoch": str(self.epoch),
                "evaluation": self.evaluation.canonical,
                "probe": "null" if self.probe is None else self._of_the_probe(self.probe),
            }
        )

    def _of_the_probe(self, probe: Probe) -> str:
        return canonical_object({**probe.parts, "loss": canonical_json(named_with_source(self.loss))})

    @property
    def seed(self) -> int:
        """The run's, and so the probe's."""
        return self.run.seed

    @property
    def generator(self) -> tuple[str, int]:
        """The snapshot the cell is about: (run_id, epoch)."""
        return self.run.run_id, self.epoch

    @property
    def networks(self) -> Network:
        """The networks of the cell's discriminator."""
        return self.run.networks if self.probe is None else self.probe.networks

    @property
    def key(self) -> CellKey:
        """The cell's place in its grid."""
        return CellKey(
            loss=self.loss,
            penalty=self.penalty.description,
            schedule=self.sigma.description,
            learning_rate=self.optimizer.learning_rate,
            batch_norm=self.networks.normalisation,
            discriminator_steps=self.discriminator_steps,
            epoch=self.epoch,
            seed=self.seed,
        )

    def columns(self) -> dict[str, Any]:
        """The columns that say which cell it is."""
        return {
            **self.key._asdict(),
            "cell_id": self.cell_id,
            "protocol": "train" if self.probe is None else "probe",
            "problem": self.run.problem.name,
            "network": self.run.networks.description,
            "optimizer": self.optimizer.description,
            "sigma": self.sigma_value,
            "noise": self.sigma.noise.name,
            "run_id": self.run.run_id,
            "identity": self.identity,
        }

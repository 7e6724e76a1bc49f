"""From what a pack has trained to the measured columns of its cells."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import torch
from torch import Generator, Tensor

from ..identity import SnapshotKey, stream_seed
from ..job.parts.losses import find_loss
from ..job.parts.noise import TRUNCATED as TRUNCATED_SPEC
from ..job.parts.noise import AnyNoise
from ..job.parts.settings import Evaluation
from ..planning.cells import Cell
from ..problems.sources import Source
from ..storage.records import Columns, finite
from ..storage.snapshots import Networks
from ..theory import transport
from ..theory.bounds import pooled_diameter
from ..theory.noise import Noise
from ..theory.sliced import project, random_directions
from ..training.measurement import Measurement
from ..training.players import Players
from .discriminator import discriminator_jsd, evaluate_discriminators, generate
from .features import FeatureSpaces
from .metrics import MetricValue, measure_metrics
from .outputs import output_columns
from .sets import SetPair, log_spaced_sigmas

_OF_THE_BASELINE = (
    "num_samples",
    "jsd_mixture",
    "tv",
    "bound_paper",
    "bound_best",
    "bound_sliced",
    "bound_sliced_best",
)
_NUM_REAL_SETS = 20
"""Sets of other real samples by which the distances of a perfect generator are known, and how they vary."""


@dataclass(frozen=True)
class Trained:
    """A pack as training or probing left it; lists have one value per member.

    Attributes:
      players: The networks that the weights belong to.
      generators, discriminators: Weights ``[k, p]``.
      sigma: Of the noise now, data units.
      measurements: Those made on the way, the last of them now.
    """

    players: Players
    generators: Tensor
    discriminators: Tensor
    sigma: Sequence[float]
    measurements: Sequence[Measurement]


@dataclass(frozen=True)
class Evaluated:
    """What is measured of a cell: columns of its row, and the metrics of its generator."""

    columns: Columns
    metrics: Sequence[MetricValue]


@dataclass(frozen=True)
class Floor:
    """Distances between real samples and other real samples: what is left for a perfect generator.

    Attributes:
      num_samples: In each of the other sets.
      are_all: Whether each is all other real samples there are.
      w1, w1_sliced: Of each of them, data units.
    """

    num_samples: int
    are_all: bool
    w1: Sequence[float]
    w1_sliced: Sequence[float]

    @property
    def columns(self) -> Columns:
        """Mean and standard deviation over the sets; no deviation of sets that are all there is.

        Parts of one training set vary less than fresh sets would, the less the larger they are.
        """
        return {
            "real_w1": fmean(self.w1),
            "real_w1_sd": self._sd(self.w1),
            "real_w1_sliced": fmean(self.w1_sliced),
            "real_w1_sliced_sd": self._sd(self.w1_sliced),
        }

    def _sd(self, distances: Sequence[float]) -> float | None:
        return None if self.are_all else stdev(distances)

    def below(self, pair: SetPair) -> Columns:
        """How far the distances of a generator's samples, as many, are above it."""
        return {
            "w1_minus_floor": None if pair.w1 is None else pair.w1 - fmean(self.w1),
            "w1_sliced_minus_floor": pair.w1_sliced - fmean(self.w1_sliced),
        }


class Evaluator:
    """Measures generators and discriminators against a problem's held-out samples.

    It keeps what cells have in common. All are measured along the same directions, so that cells of different seeds
    compare.

    Attributes:
      real: The held-out samples ``[n, *shape]``.
      sigmas: The grid over which the best bounds are taken.
      directions: Of the sliced distance and bound, ``[l, d]``.

    Args:
      source: Of the problem's samples.
      networks: Those of feature spaces that are kept.
    """

    def __init__(self, source: Source, evaluation: Evaluation, networks: Networks | None = None) -> None:
        self.source, self.evaluation = source, evaluation
        self.real = source.held_out_samples(evaluation.samples)
        self.sigmas = sigma_grid(self.real, evaluation)
        self.directions = random_directions(
            evaluation.directions,
            self.real[0].numel(),
            generator=Generator(source.device).manual_seed(stream_seed("directions")),
        )
        other_real = source.real_samples(len(self.real), 0)
        self._baseline_pair = self._pair(self.real, other_real, seed=stream_seed("baseline", "draws"))
        self._spaces = FeatureSpaces(source, self.real, networks)
        self._noises: dict[AnyNoise, Noise] = {}
        self._baselines: dict[tuple[AnyNoise, float], Columns] = {}

    def evaluate(self, cells: Sequence[Cell], members: Sequence[int], trained: Trained) -> list[Evaluated]:
        """Measures the members that answer the cells, one for each cell.

        Sample sets that cells share are measured once.
        """
        cell_of = dict(sorted(zip(members, cells, strict=True), key=lambda pair: pair[0]))
        fakes = self._samples(cell_of, trained.players, trained.generators)
        judged = self._of_discriminators(cell_of, torch.stack(list(fakes.values())), trained)
        compared = self._of_sets(cell_of, fakes, trained.sigma)
        metrics = self._of_generators(cell_of, fakes)
        return [
            Evaluated({**compared[member], **judged[member]}, metrics[cell.generator])
            for cell, member in zip(cells, members, strict=True)
        ]

    def evaluate_again(
        self, cells: Sequence[Cell], players: Players, generators: Tensor, sigma: Sequence[float]
    ) -> list[Evaluated]:
        """What samples alone tell of generators ``[k, p]``, one for each cell, at the sigma of each."""
        cell_of = dict(enumerate(cells))
        fakes = self._samples(cell_of, players, generators)
        compared, metrics = self._of_sets(cell_of, fakes, sigma), self._of_generators(cell_of, fakes)
        return [Evaluated(compared[member], metrics[cell.generator]) for member, cell in cell_of.items()]

    def against_real(
        self, fake: Tensor, sigmas: Sequence[float], *, seed: int, noise: AnyNoise = TRUNCATED_SPEC
    ) -> dict[float, Columns]:
        """The measured columns of a generator's samples ``[n, *shape]`` at each sigma, with the baseline's."""
        baseline = self._baseline(sigmas, noise)
        if not bool(torch.isfinite(fake).all()):
            return baseline
        pair = self.pair_with(fake, seed=seed)
        measured = pair.columns(sigmas, self.noise(noise))
        above = self._floor.below(pair) if len(fake) == self._floor.num_samples else {}
        return {sigma: {**columns, **above, **baseline[sigma]} for sigma, columns in measured.items()}

    def pair_with(self, fake: Tensor, *, seed: int) -> SetPair:
        """The held-out samples and a generator's ``[n, *shape]``, as rows measure them."""
        return self._pair(self.real, fake, seed=stream_seed("evaluation", "draws", seed))

    def noise(self, spec: AnyNoise) -> Noise:
        """A family of noise for these samples; made once."""
        if spec not in self._noises:
            self._noises[spec] = spec.family(self.source.training_samples)
        return self._noises[spec]

    def _samples(self, cell_of: Mapping[int, Cell], players: Players, generators: Tensor) -> dict[int, Tensor]:
        """Samples of each member's generator ``[n, *shape]``; members that share one share its samples."""
        member_of: dict[SnapshotKey, int] = {}
        for member, cell in cell_of.items():
            member_of.setdefault(cell.generator, member)
        samples = generate(
            players,
            generators[list(member_of.values())],
            seeds=[cell_of[member].seed for member in member_of.values()],
            num=len(self.real),
        )
        of_generator = dict(zip(member_of, samples, strict=True))
        return {member: of_generator[cell.generator] for member, cell in cell_of.items()}

    def _of_discriminators(self, cell_of: Mapping[int, Cell], fakes: Tensor, trained: Trained) -> dict[int, Columns]:
        """What the discriminators say of held-out samples and of the fakes ``[k, n, *shape]``, by member."""
        objective = find_loss(next(iter(cell_of.values())).loss).objective
        found = evaluate_discriminators(
            trained.players,
            trained.discriminators[list(cell_of)],
            self.real,
            fakes,
            sigma=torch.tensor([trained.sigma[member] for member in cell_of], device=self.source.device),
            noises=[self.noise(cell.sigma.noise) for cell in cell_of.values()],
            seeds=[cell.seed for cell in cell_of.values()],
            objective=objective,
        )
        columns: dict[int, Columns] = {}
        said = output_columns(found.outputs)
        for member, d_loss, accuracy, own in zip(cell_of, map(finite, found.d_loss), found.accuracy, said, strict=True):
            jsd = discriminator_jsd(objective, d_loss)
            columns[member] = {"d_loss": d_loss, "accuracy": accuracy, **own, "jsd_discriminator": jsd}
        return columns

    def _of_sets(
        self, cell_of: Mapping[int, Cell], fakes: Mapping[int, Tensor], sigma: Sequence[float]
    ) -> dict[int, Columns]:
        """The columns of the sample sets, by member; members of one generator and family of noise share a pair."""
        groups: dict[tuple[SnapshotKey, AnyNoise], list[int]] = {}
        for member, cell in cell_of.items():
            groups.setdefault((cell.generator, cell.sigma.noise), []).append(member)
        columns: dict[int, Columns] = {}
        for (_, noise), group in groups.items():
            sigmas = list(dict.fromkeys(sigma[member] for member in group))
            seed = cell_of[group[0]].seed
            by_sigma = self.against_real(fakes[group[0]], sigmas, seed=seed, noise=noise)
            columns |= {member: by_sigma[sigma[member]] for member in group}
        return columns

    def _of_generators(
        self, cell_of: Mapping[int, Cell], fakes: Mapping[int, Tensor]
    ) -> dict[SnapshotKey, list[MetricValue]]:
        """The metrics of the table of that name, by generator."""
        metrics = self.evaluation.metrics
        values: dict[SnapshotKey, list[MetricValue]] = {}
        for member, cell in cell_of.items():
            if cell.generator not in values:
                values[cell.generator] = measure_metrics(
                    metrics,
                    self.real,
                    fakes[member],
                    problem=cell.run.problem,
                    seed=cell.seed,
                    spaces=self._spaces,
                )
        return values

    def _baseline(self, sigmas: Sequence[float], noise: AnyNoise) -> dict[float, Columns]:
        """What a perfect generator would get: the same of other real samples in place of the generator's."""
        missing = [sigma for sigma in sigmas if (noise, sigma) not in self._baselines]
        for sigma, columns in self._baseline_pair.columns(missing, self.noise(noise)).items() if missing else ():
            of_one_set = {f"real_{name}": columns.get(name) for name in _OF_THE_BASELINE}
            self._baselines[noise, sigma] = {**of_one_set, **self._floor.columns}
        return {sigma: self._baselines[noise, sigma] for sigma in sigmas}

    @functools.cached_property
    def _floor(self) -> Floor:
        """The distances of the held-out samples from other real ones."""
        flat = self.real.flatten(1)
        others = [self.source.real_samples(len(flat), index).flatten(1) for index in range(_NUM_REAL_SETS)]
        return Floor(
            num_samples=len(others[0]),
            are_all=len(others[0]) == self.source.num_real_samples,
            w1=[transport.w1(flat, other) for other in others],
            w1_sliced=[project(flat, other, self.directions).w1() for other in others],
        )

    def _pair(self, real: Tensor, fake: Tensor, *, seed: int) -> SetPair:
        return SetPair(
            real.flatten(1),
            fake.flatten(1),
            grid=self.sigmas,
            num_draws=self.evaluation.draws,
            directions=self.directions,
            generator=Generator(self.source.device).manual_seed(seed),
        )


def sigma_grid(real: Tensor, evaluation: Evaluation) -> list[float]:
    """The sigmas over which the best bound is taken.

    ``auto``: 13 values, evenly spaced on a log axis, up to where the noise term alone is twice the diameter of
    the real samples; the same for all cells of a problem, so that their best bounds compare.
    """
    if evaluation.sigmas != "auto":
        return list(evaluation.sigmas)
    flat = real.flatten(1)
    return log_spaced_sigmas(pooled_diameter(flat, flat), flat.shape[1])

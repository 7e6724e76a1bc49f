"""Packs: the work that one executor slot takes at a time, and how it is divided and relieved."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from ..dirac.cells import DiracPack
from ..identity import SnapshotKey
from ..storage.records import Columns
from .cells import Cell, Probe, Run
from .costs import evaluation_seconds, seconds_per_update

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingPack:
    """Runs trained together for equally many epochs, and measured at those of `epochs` that they pass.

    A snapshot is written there, or in stages what the runs need to go on.

    Attributes:
      cells: Protocol ``train``: the cells to be measured on the way.
      starts: Epochs that each run has behind it, in a state that the store keeps; empty where all begin.
      stage: Epochs that each run is trained, and then kept so that another pack can take it on; None for all the way
        to the last of `epochs`.
    """

    phase: ClassVar = "training"

    runs: tuple[Run, ...]
    epochs: tuple[int, ...]
    cells: tuple[Cell, ...] = ()
    starts: tuple[int, ...] = ()
    stage: int | None = None

    @property
    def num_members(self) -> int:
        return len(self.runs)

    @functools.cached_property
    def num_epochs(self) -> int:
        """Epochs that each of the runs is trained."""
        return max(self.epochs) if self.stage is None else self.stage

    @functools.cached_property
    def snapshots(self) -> frozenset[SnapshotKey]:
        """The snapshots that the pack makes; none of a stage."""
        if self.stage is not None:
            return frozenset()
        return frozenset((run.run_id, epoch) for run in self.runs for epoch in self.epochs)

    @functools.cached_property
    def member_steps(self) -> int:
        """Generator steps over all members."""
        return self.num_epochs * sum(run.steps_per_epoch for run in self.runs)

    @functools.cached_property
    def training_seconds(self) -> float:
        """Expected time of one slot until the members are trained."""
        steps = self.num_epochs * self.runs[0].steps_per_epoch
        rounds = 1 + self.runs[0].discriminator_steps
        return steps * rounds * seconds_per_update(self.runs[0], self.num_members, self.runs[0].batch)

    @functools.cached_property
    def seconds(self) -> float:
        """Expected time of one slot, cells measured."""
        return self.training_seconds + evaluation_seconds(self.cells)

    @property
    def requires(self) -> frozenset[SnapshotKey]:
        """No snapshots."""
        return frozenset()

    @property
    def is_divisible(self) -> bool:
        """Whether `split` makes the pack smaller."""
        return len(self.runs) > 1

    def split(self) -> list[TrainingPack]:
        """Two halves of the pack, each with its own cells."""
        return [
            replace(self, runs=runs, starts=starts, cells=cells_of_runs(self.cells, runs))
            for runs, starts in zip(_halves(self.runs), _halves(self.starts), strict=True)
        ]

    def without(self, cell_ids: Collection[str], snapshots: Collection[SnapshotKey]) -> TrainingPack | None:
        """The pack relieved of cells and epochs that are done; None if nothing is left."""
        cells = tuple(cell for cell in self.cells if cell.cell_id not in cell_ids)
        owed = {cell.epoch for cell in cells} | {epoch for run_id, epoch in self.snapshots - set(snapshots)}
        return replace(self, cells=cells, epochs=tuple(sorted(owed))) if owed else None


@dataclass(frozen=True)
class ProbePack:
    """Probes of one architecture and objective at one epoch, trained together, and the cells they answer."""

    phase: ClassVar = "probing"

    probes: tuple[Probe, ...]
    cells: tuple[Cell, ...]

    @property
    def num_members(self) -> int:
        return len(self.probes)

    @functools.cached_property
    def member_steps(self) -> int:
        """Discriminator steps over all members."""
        return sum(probe.settings.iterations for probe in self.probes)

    @functools.cached_property
    def training_seconds(self) -> float:
        """Expected time of one slot until the discriminators are trained and their gradients measured."""
        probe = self.probes[0]
        batches = min(probe.settings.measurements, probe.settings.iterations) * probe.settings.generator_batches
        updates = probe.settings.iterations + 3 * batches
        return updates * seconds_per_update(probe.run, self.num_members, probe.settings.batch)

    @functools.cached_property
    def seconds(self) -> float:
        """Expected time of one slot, cells measured."""
        return self.training_seconds + evaluation_seconds(self.cells)

    @property
    def snapshots(self) -> frozenset[SnapshotKey]:
        """None are made."""
        return frozenset()

    @property
    def requires(self) -> frozenset[SnapshotKey]:
        """The snapshots that are probed."""
        return frozenset((probe.run.run_id, probe.epoch) for probe in self.probes)

    @property
    def is_divisible(self) -> bool:
        """Whether `split` makes the pack smaller."""
        return len(self.probes) > 1 or len({cell.loss for cell in self.cells}) > 1

    def split(self) -> list[ProbePack]:
        """Two halves of the pack, each with its own cells; a single probe's cells are parted by their losses."""
        if len(self.probes) > 1:
            return [
                replace(self, probes=part, cells=cells_of_probes(self.cells, part)) for part in _halves(self.probes)
            ]
        losses = list(dict.fromkeys(cell.loss for cell in self.cells))
        return [
            replace(self, cells=tuple(cell for cell in self.cells if cell.loss in part)) for part in _halves(losses)
        ]

    def without(self, cell_ids: Collection[str], snapshots: Collection[SnapshotKey]) -> ProbePack | None:
        """The pack relieved of cells that are done, and of probes no cell needs any more; None if nothing is left."""
        cells = tuple(cell for cell in self.cells if cell.cell_id not in cell_ids)
        needed = {cell.probe.probe_id for cell in cells if cell.probe is not None}
        probes = tuple(probe for probe in self.probes if probe.probe_id in needed)
        return ProbePack(probes=probes, cells=cells) if cells else None


@dataclass(frozen=True)
class MeasuringPack:
    """Cells of protocol ``train`` whose generators are there, and are measured again without being trained.

    Attributes:
      cells: Of one architecture and batch.
      kept: By cell_id: the columns that their training told.
    """

    phase: ClassVar = "measuring"
    member_steps: ClassVar = 0
    training_seconds: ClassVar = 0.0

    cells: tuple[Cell, ...]
    kept: Mapping[str, Columns]

    @property
    def num_members(self) -> int:
        return len(self.cells)

    @functools.cached_property
    def seconds(self) -> float:
        """Expected time of one slot."""
        return evaluation_seconds(self.cells)

    @property
    def snapshots(self) -> frozenset[SnapshotKey]:
        """None are made."""
        return frozenset()

    @property
    def requires(self) -> frozenset[SnapshotKey]:
        """The snapshots that are measured."""
        return frozenset(cell.generator for cell in self.cells)

    @property
    def is_divisible(self) -> bool:
        """Whether `split` makes the pack smaller."""
        return len(self.cells) > 1

    def split(self) -> list[MeasuringPack]:
        """Two halves of the pack."""
        return [replace(self, cells=part) for part in _halves(self.cells)]

    def without(self, cell_ids: Collection[str], snapshots: Collection[SnapshotKey]) -> MeasuringPack | None:
        """The pack relieved of cells that are done; None if nothing is left."""
        cells = tuple(cell for cell in self.cells if cell.cell_id not in cell_ids)
        return replace(self, cells=cells) if cells else None


Pack = TrainingPack | ProbePack | MeasuringPack | DiracPack


def cells_of_runs(cells: Iterable[Cell], runs: Iterable[Run]) -> tuple[Cell, ...]:
    """Those of the cells whose runs are among these."""
    among = {run.run_id for run in runs}
    return tuple(cell for cell in cells if cell.run.run_id in among)


def cells_of_probes(cells: Iterable[Cell], probes: Iterable[Probe]) -> tuple[Cell, ...]:
    """Those of the cells whose probes are among these."""
    among = {probe.probe_id for probe in probes}
    return tuple(cell for cell in cells if cell.probe is not None and cell.probe.probe_id in among)


def _halves(members: Sequence[T]) -> list[tuple[T, ...]]:
    middle = len(members) // 2
    return [tuple(members[:middle]), tuple(members[middle:])]

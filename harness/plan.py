"""From a job to packs of work: what is shared, what the store already has, and what is left. Pure.

Packs are cut from the *whole* job and then relieved of what is done, so that a job killed half way and run again
works in the packs of the first attempt and gets the same numbers.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from .components import MLP, find_loss
from .costs import evaluation_seconds, seconds_per_update
from .dirac import DiracCell, DiracJob, DiracPack
from .dirac import expand as expand_games
from .grid import Cell, Probe, Run, expand
from .identity import canonical_json
from .job import Job
from .jobfile import AnyJob

T = TypeVar("T")
SnapshotKey = tuple[str, int]
"""A snapshot's name: (run_id, epoch)."""


@dataclass(frozen=True)
class StoredCell:
    """What a plan needs to know of a row: which cell it is, how it ended, and its identity as JSON."""

    cell_id: str
    status: str
    identity: str


class StoreView(Protocol):
    """What a plan asks of the store."""

    def latest_cells(self, job: str) -> Mapping[tuple[Any, ...], StoredCell]:
        """The latest row at each of the grid's coordinates (`Cell.coordinates`)."""
        ...

    def has_snapshot(self, run_id: str, epoch: int) -> bool:
        """Whether a snapshot is complete."""
        ...


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
    def seconds(self) -> float:
        """Expected time of one slot."""
        steps = self.num_epochs * self.runs[0].steps_per_epoch
        rounds = 1 + self.runs[0].discriminator_steps
        update = seconds_per_update(self.runs[0], self.num_members, self.runs[0].batch)
        return steps * rounds * update + evaluation_seconds(self.cells)

    @property
    def requires(self) -> frozenset[SnapshotKey]:
        return frozenset()

    @property
    def is_divisible(self) -> bool:
        """Whether `split` makes the pack smaller."""
        return len(self.runs) > 1

    def split(self) -> list[TrainingPack]:
        """Two halves of the pack, each with its own cells."""
        return [
            replace(self, runs=runs, starts=starts, cells=tuple(cell for cell in self.cells if cell.run in runs))
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
    def seconds(self) -> float:
        """Expected time of one slot."""
        probe = self.probes[0]
        batches = min(probe.settings.measurements, probe.settings.iterations) * probe.settings.generator_batches
        updates = probe.settings.iterations + 3 * batches
        return updates * seconds_per_update(probe.run, self.num_members, probe.settings.batch) + (
            evaluation_seconds(self.cells)
        )

    @property
    def requires(self) -> frozenset[SnapshotKey]:
        return frozenset((probe.run.run_id, probe.epoch) for probe in self.probes)

    @property
    def is_divisible(self) -> bool:
        """Whether `split` makes the pack smaller."""
        return len(self.probes) > 1 or len({cell.loss for cell in self.cells}) > 1

    def split(self) -> list[ProbePack]:
        """Two halves of the pack, each with its own cells; a single probe's cells are parted by their losses."""
        if len(self.probes) > 1:
            return [
                replace(self, probes=part, cells=tuple(cell for cell in self.cells if cell.probe in part))
                for part in _halves(self.probes)
            ]
        losses = list(dict.fromkeys(cell.loss for cell in self.cells))
        return [
            replace(self, cells=tuple(cell for cell in self.cells if cell.loss in part)) for part in _halves(losses)
        ]

    def without(self, cell_ids: Collection[str], snapshots: Collection[SnapshotKey]) -> ProbePack | None:
        """The pack relieved of cells that are done, and of probes no cell needs any more; None if nothing is left."""
        cells = tuple(cell for cell in self.cells if cell.cell_id not in cell_ids)
        needed = {cell.probe for cell in cells}
        probes = tuple(probe for probe in self.probes if probe in needed)
        return ProbePack(probes=probes, cells=cells) if cells else None


Pack = TrainingPack | ProbePack | DiracPack
AnyCell = Cell | DiracCell


@dataclass(frozen=True)
class Difference:
    """How the job's cells stand against the store.

    Attributes:
      new: Never computed.
      stale: The store has a row at these coordinates, computed with other settings.
      retried: Ended without success before, and asked for again.
      done: Have a row of this identity, by status.
      reasons: Why rows are stale, with the number of cells: ``probe.settings.iterations: 200 -> 500``.
    """

    new: tuple[AnyCell, ...]
    stale: tuple[AnyCell, ...]
    retried: tuple[AnyCell, ...]
    done: Mapping[str, int]
    reasons: Mapping[str, int]

    @property
    def missing(self) -> tuple[AnyCell, ...]:
        """The cells to be computed."""
        return (*self.new, *self.stale, *self.retried)


@dataclass(frozen=True)
class Plan:
    """What a job needs: packs to execute, and the accounts that justify them."""

    job: AnyJob
    cells: tuple[AnyCell, ...]
    difference: Difference
    packs: tuple[Pack, ...]
    runs: tuple[Run, ...]
    probes: tuple[Probe, ...]
    slots: int

    @property
    def missing(self) -> tuple[AnyCell, ...]:
        """The cells to be computed."""
        return self.difference.missing

    @property
    def epochs_shared(self) -> int:
        """Epochs of training the whole job costs when runs are shared."""
        last: dict[str, int] = {}
        for cell in self._trained:
            last[cell.run.run_id] = max(cell.epoch, last.get(cell.run.run_id, 0))
        return sum(last.values())

    @property
    def epochs_one_training_per_cell(self) -> int:
        """Epochs it would cost to train a generator for every cell."""
        return sum(cell.epoch for cell in self._trained)

    @property
    def _trained(self) -> list[Cell]:
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    @property
    def expected_seconds(self) -> float:
        """A rough estimate from operation counts: half to twice the truth on a current CPU."""
        training = [pack.seconds for pack in self.packs if isinstance(pack, TrainingPack)]
        probing = [pack.seconds for pack in self.packs if isinstance(pack, ProbePack)]
        playing = [pack.seconds for pack in self.packs if isinstance(pack, DiracPack)]
        total = sum(training) + sum(probing) + sum(playing)
        return max(total / self.slots, max(training, default=0.0) + max(probing, default=0.0))


def make_plan(job: AnyJob, store: StoreView, *, slots: int, retry: Iterable[str] = ()) -> Plan:
    """The plan of a job against a store.

    Args:
      job: What is wanted.
      store: What is there.
      slots: Actors that can work at once; packs are cut so that all of them are busy.
      retry: Statuses to compute again (``failed``, ``diverged``, ``timeout``, ``lost``).
    """
    if isinstance(job, DiracJob):
        return _dirac_plan(job, store, slots=slots, retry=frozenset(retry))
    cells = expand(job)
    difference = _difference(cells, job.name, store, frozenset(retry))
    missing = {cell.cell_id for cell in difference.missing}
    runs = _unique((cell.run for cell in cells), key=lambda run: run.run_id)
    probes = _unique((cell.probe for cell in cells if cell.probe is not None), key=lambda probe: probe)
    probe_packs = list(_probe_packs(job, probes, cells, missing, slots))
    return Plan(
        job=job,
        cells=tuple(cells),
        difference=difference,
        packs=(*_training_packs(job, runs, cells, missing, probe_packs, store, slots), *probe_packs),
        runs=tuple(runs),
        probes=tuple(probes),
        slots=slots,
    )


def _dirac_plan(job: DiracJob, store: StoreView, *, slots: int, retry: frozenset[str]) -> Plan:
    cells = expand_games(job)
    difference = _difference(cells, job.name, store, retry)
    size = -(-len(cells) // (2 * slots)) if job.resources.pack == "auto" else job.resources.pack
    missing = [cell for cell in difference.missing if isinstance(cell, DiracCell)]
    packs = [DiracPack(tuple(part)) for part in _chunks(missing, size)] if missing else []
    return Plan(job, tuple(cells), difference, tuple(packs), runs=(), probes=(), slots=slots)


def _difference(cells: Sequence[AnyCell], job: str, store: StoreView, retry: frozenset[str]) -> Difference:
    stored = store.latest_cells(job)
    new, stale, retried = [], [], []
    done: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for cell in cells:
        row = stored.get(cell.coordinates)
        if row is None:
            new.append(cell)
        elif row.cell_id != cell.cell_id:
            stale.append(cell)
            for reason in changes(json.loads(row.identity), cell.identity()):
                reasons[reason] = reasons.get(reason, 0) + 1
        elif row.status in retry:
            retried.append(cell)
        else:
            done[row.status] = done.get(row.status, 0) + 1
    return Difference(tuple(new), tuple(stale), tuple(retried), done, reasons)


def changes(old: Any, new: Any, *, path: str = "") -> list[str]:
    """Leaves in which two identities differ: ``probe.settings.iterations: 200 -> 500``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            change
            for key in sorted({*old, *new})
            for change in changes(old.get(key), new.get(key), path=f"{path}.{key}" if path else key)
        ]
    return [] if old == new else [f"{path}: {old} -> {new}"]


def _training_packs(
    job: Job,
    runs: Sequence[Run],
    cells: Sequence[Cell],
    missing: set[str],
    probe_packs: Sequence[ProbePack],
    store: StoreView,
    slots: int,
) -> Iterable[TrainingPack]:
    required = {key for pack in probe_packs for key in pack.requires}
    needed: dict[str, set[int]] = {}
    for run_id, epoch in required:
        if not store.has_snapshot(run_id, epoch):
            needed.setdefault(run_id, set()).add(epoch)
    # a run leaves its pack only when all its cells are done: one that a kill found ahead of its mates stays with them
    unfinished = {cell.run.run_id for cell in cells if cell.cell_id in missing}
    wanted = [cell for cell in cells if cell.probe is None and cell.cell_id in missing]
    for cell in wanted:
        needed.setdefault(cell.run.run_id, set()).add(cell.epoch)
    for group in groups(runs, key=training_key):
        for members in _chunks(group, pack_size(job, len(runs), slots)):
            epochs = set().union(*(needed.get(run.run_id, ()) for run in members))
            if epochs:
                left = tuple(run for run in members if run.run_id in unfinished)
                yield TrainingPack(
                    runs=left,
                    epochs=tuple(sorted(epochs)),
                    cells=tuple(cell for cell in wanted if cell.run in left),
                )


def _probe_packs(
    job: Job, probes: Sequence[Probe], cells: Sequence[Cell], missing: set[str], slots: int
) -> Iterable[ProbePack]:
    wanted: dict[Probe, list[Cell]] = {}
    for cell in cells:
        if cell.probe is not None and cell.cell_id in missing:
            wanted.setdefault(cell.probe, []).append(cell)
    by_snapshot = sorted(probes, key=lambda probe: (probe.epoch, probe.run.seed))
    for group in groups(by_snapshot, key=_probe_key):
        for members in _chunks(group, pack_size(job, len(probes), slots)):
            left = tuple(probe for probe in members if probe in wanted)
            if left:
                yield ProbePack(probes=left, cells=tuple(cell for probe in left for cell in wanted[probe]))


def training_key(run: Run) -> str:
    """What the members of a training pack have in common: all but seed, sigma, learning rate and generator loss."""
    identity = run.identity()
    for own in ("seed", "sigma", "loss", "horizon"):
        identity.pop(own, None)
    identity["optimizer"] = {**identity["optimizer"], "learning_rate": None}
    return canonical_json({**identity, "objective": find_loss(run.loss).objective.name})


def _probe_key(probe: Probe) -> str:
    """What the members of a probe pack have in common: all but the snapshot's seed, sigma and learning rate."""
    return canonical_json(
        {
            "epoch": probe.epoch,
            "objective": probe.objective,
            "networks": probe.networks.model_dump(mode="json"),
            "penalty": probe.penalty.model_dump(mode="json"),
            "optimizer": probe.optimizer.model_dump(mode="json", exclude={"learning_rate"}),
        }
    )


def pack_size(job: Job, num_members: int, slots: int) -> int:
    """Members a pack: what keeps every slot busy, up to what stacking gains on these networks."""
    if job.resources.pack != "auto":
        return int(job.resources.pack)
    gain = 16 if isinstance(job.networks, MLP) else 8 if job.problem.facts().shape[1] <= 16 else 4
    return min(gain, max(1, -(-num_members // slots)))


def _chunks(members: Sequence[T], size: int) -> list[Sequence[T]]:
    """Consecutive parts of at most `size`, as equal as possible."""
    count = -(-len(members) // size)
    bounds = [round(index * len(members) / count) for index in range(count + 1)]
    return [members[start:stop] for start, stop in itertools.pairwise(bounds)]


def groups(items: Iterable[T], key: Callable[[T], str]) -> list[list[T]]:
    """The items of equal keys together, in the order of the first of each."""
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def _unique(items: Iterable[T], key: Callable[[T], Any]) -> list[T]:
    return list({key(item): item for item in items}.values())


def _halves(members: Sequence[T]) -> list[tuple[T, ...]]:
    middle = len(members) // 2
    return [tuple(members[:middle]), tuple(members[middle:])]

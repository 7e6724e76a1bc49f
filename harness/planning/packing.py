"""Who shares a pack: members that one step can train together."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Set

from ..dirac.cells import DiracCell, DiracPack
from ..identity import SnapshotKey, canonical_json
from ..job.dirac import DiracJob
from ..job.job import Job
from ..job.parts.losses import find_loss
from ..job.parts.optimizers import Optimizer
from ..storage.records import Columns
from .cells import Cell, Probe, Run
from .costs import evaluation_seconds
from .packs import MeasuringPack, ProbePack, T, TrainingPack

_MIN_SECONDS = 3.0  # of a pack, where members are so little work that it could have more of them
_MAX_MEMBERS = 512  # of such a pack


def cut_packs(
    job: Job, cells: Sequence[Cell], missing: Sequence[Cell], snapshots: Set[SnapshotKey], slots: int
) -> tuple[TrainingPack | ProbePack, ...]:
    """The packs of a job, those that train first.

    Args:
      cells: All of the job: packs are cut from the whole of it.
      missing: Those to be computed.
      snapshots: Those that probes need and the store has.
      slots: Actors that can work at once.
    """
    wanted = {cell.cell_id for cell in missing}
    probe_packs = list(_probe_packs(job, cells, wanted, slots))
    required = {key for pack in probe_packs for key in pack.requires} - snapshots
    return (*_training_packs(job, cells, wanted, required, slots), *probe_packs)


def cut_measuring_packs(cells: Sequence[Cell], kept: Mapping[str, Columns], slots: int) -> Iterator[MeasuringPack]:
    """The packs of cells whose generators are measured again; some seconds of work each.

    Args:
      cells: All of the job.
      kept: What the training of those cells told, by cell_id.
      slots: Actors that can work at once.
    """
    wanted = [cell for cell in cells if cell.cell_id in kept]
    for group in groups(wanted, key=lambda cell: (cell.run.networks.canonical, cell.run.batch)):
        worthwhile = math.ceil(_MIN_SECONDS / evaluation_seconds(group[:1]))
        for part in chunks(group, min(worthwhile, -(-len(wanted) // slots))):
            yield MeasuringPack(tuple(part), {cell.cell_id: kept[cell.cell_id] for cell in part})


def cut_game_packs(
    job: DiracJob, cells: Sequence[DiracCell], missing: Sequence[DiracCell], snapshots: Set[SnapshotKey], slots: int
) -> tuple[DiracPack, ...]:
    """The packs of a job of Dirac-GANs, two for each of the slots."""
    del snapshots  # games need none
    size = -(-len(cells) // (2 * slots)) if job.resources.pack == "auto" else job.resources.pack
    return tuple(DiracPack(tuple(part)) for part in chunks(missing, size))


def _training_packs(
    job: Job, cells: Sequence[Cell], missing: Set[str], required: Set[SnapshotKey], slots: int
) -> Iterator[TrainingPack]:
    needed: dict[str, set[int]] = {}
    for run_id, epoch in required:
        needed.setdefault(run_id, set()).add(epoch)
    # a run leaves its pack only when all its cells are done: one that a kill found ahead of its mates stays with them
    unfinished = {cell.run.run_id for cell in cells if cell.cell_id in missing}
    wanted: dict[str, list[Cell]] = {}  # by run
    for cell in cells:
        if cell.probe is None and cell.cell_id in missing:
            wanted.setdefault(cell.run.run_id, []).append(cell)
            needed.setdefault(cell.run.run_id, set()).add(cell.epoch)
    order = {cell.cell_id: index for index, cell in enumerate(cells)}
    runs = list({cell.run.run_id: cell.run for cell in cells}.values())
    cells_of: dict[str, list[Cell]] = {}
    for cell in cells:
        cells_of.setdefault(cell.run.run_id, []).append(cell)
    for group in groups(runs, key=training_key):
        first = group[0]
        of_first = cells_of[first.run_id]
        measured = tuple(cell for cell in of_first if cell.probe is None)  # the others' evaluation is their packs' work
        alone = TrainingPack((first,), tuple({cell.epoch for cell in of_first}), cells=measured)
        for members in chunks(group, pack_size(job, len(runs), slots, seconds=alone.seconds)):
            epochs = set().union(*(needed.get(run.run_id, ()) for run in members))
            if epochs:
                left = tuple(run for run in members if run.run_id in unfinished)
                own = [cell for run in left for cell in wanted.get(run.run_id, ())]
                own.sort(key=lambda cell: order[cell.cell_id])
                yield TrainingPack(runs=left, epochs=tuple(sorted(epochs)), cells=tuple(own))


def _probe_packs(job: Job, cells: Sequence[Cell], missing: Set[str], slots: int) -> Iterator[ProbePack]:
    wanted: dict[str, list[Cell]] = {}  # by probe
    first_cell: dict[str, Cell] = {}  # by probe
    probes: dict[str, Probe] = {}
    for cell in cells:
        if cell.probe is not None:
            first_cell.setdefault(cell.probe.probe_id, cell)
            probes.setdefault(cell.probe.probe_id, cell.probe)
            if cell.cell_id in missing:
                wanted.setdefault(cell.probe.probe_id, []).append(cell)
    by_snapshot = sorted(probes.values(), key=lambda probe: (probe.epoch, probe.run.seed))
    for group in groups(by_snapshot, key=_probe_key):
        alone = ProbePack((group[0],), cells=(first_cell[group[0].probe_id],))
        for members in chunks(group, pack_size(job, len(probes), slots, seconds=alone.seconds)):
            left = tuple(probe for probe in members if probe.probe_id in wanted)
            if left:
                yield ProbePack(probes=left, cells=tuple(cell for probe in left for cell in wanted[probe.probe_id]))


def training_key(run: Run) -> Hashable:
    """What the members of a training pack have in common: all but seed, sigma, learning rate and generator loss."""
    own = ("seed", "sigma", "loss", "horizon", "optimizer")
    shared = tuple(text for name, text in run.parts.items() if name not in own)
    return (*shared, _without_rate(run.optimizer), find_loss(run.loss).objective.name)


def _probe_key(probe: Probe) -> Hashable:
    """What the members of a probe pack have in common: all but the snapshot's seed, sigma and learning rate."""
    shared = (probe.networks.canonical, probe.penalty.canonical, _without_rate(probe.optimizer))
    return (probe.epoch, probe.objective, *shared)


@functools.lru_cache(maxsize=1024)
def _without_rate(optimizer: Optimizer) -> str:
    return canonical_json(optimizer.model_dump(mode="json", exclude={"learning_rate"}))


def pack_size(job: Job, num_members: int, slots: int, *, seconds: float = math.inf) -> int:
    """Members a pack: what keeps every slot busy, up to what stacking gains on these networks.

    Where that is too little work to be worth a pack, as many as make some seconds of it: every pack takes its share of
    the driver's attention, and has files of its own in the store.

    Args:
      seconds: Expected time of a pack of one.
    """
    if job.resources.pack != "auto":
        return int(job.resources.pack)
    gaining = job.networks.cost(job.problem.info().shape).max_members
    worthwhile = min(_MAX_MEMBERS, math.ceil(_MIN_SECONDS / seconds))
    return min(max(gaining, worthwhile), max(1, -(-num_members // slots)))


def chunks(members: Sequence[T], size: int) -> list[Sequence[T]]:
    """Consecutive parts of at most `size`, as equal as possible; none of no members."""
    if not members:
        return []
    count = -(-len(members) // size)
    bounds = [round(index * len(members) / count) for index in range(count + 1)]
    return [members[start:stop] for start, stop in itertools.pairwise(bounds)]


def groups(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """The items of equal keys together, in the order of the first of each."""
    found: dict[Hashable, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())

"""From a job to packs of work: what is shared, what the store already has, and what is left.

Packs are cut from the *whole* job and then relieved of what is done, so that a job killed half way and run again
works in the packs of the first attempt and gets the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..dirac.cells import expand as expand_games
from ..identity import SnapshotKey
from ..job.reading import AnyJob
from .cells import Cell, Probe, Run
from .difference import AnyCell, Difference, StoreView, difference_from_store
from .grid import expand
from .packing import cut_game_packs, cut_measuring_packs, cut_packs
from .packs import Pack

_EXPAND: Mapping[str, Callable[[Any], Sequence[AnyCell]]] = {"probe": expand, "train": expand, "dirac": expand_games}
_CUT: Mapping[str, Callable[..., tuple[Pack, ...]]] = {"probe": cut_packs, "train": cut_packs, "dirac": cut_game_packs}
"""By protocol."""


@dataclass(frozen=True, repr=False)
class Plan:
    """What a job needs: packs to execute, and the accounts that justify them.

    Attributes:
      cells: All cells of the job.
      difference: How they stand against the store.
      runs, probes: All of the job.
      snapshots: Those that missing cells need and the store has.
      slots: Actors that can work at once.
    """

    job: AnyJob
    cells: tuple[AnyCell, ...]
    difference: Difference
    runs: tuple[Run, ...]
    probes: tuple[Probe, ...]
    snapshots: frozenset[SnapshotKey]
    slots: int

    def __repr__(self) -> str:
        return (
            f"Plan({self.job.name}: {len(self.cells)} cells, {len(self.missing)} missing, {len(self.packs)} packs for "
            f"{self.slots} slots, about {self.expected_seconds:.0f} s)"
        )

    @property
    def missing(self) -> tuple[AnyCell, ...]:
        """The cells to be computed."""
        return self.difference.missing

    def for_slots(self, slots: int) -> Plan:
        """The same work in packs for so many actors."""
        return replace(self, slots=slots)

    def renewed(self, store: StoreView) -> Plan:
        """The plan of the same cells against the store as it is now; no status is to be computed again."""
        difference = difference_from_store(self.cells, self.job.name, store, frozenset())
        return replace(self, difference=difference, snapshots=_snapshots_for(difference, store))

    @functools.cached_property
    def packs(self) -> tuple[Pack, ...]:
        """What is to be executed, cut so that all actors are busy."""
        kept = self.difference.kept
        others = [cell for cell in self.missing if cell.cell_id not in kept]
        measuring = cut_measuring_packs([cell for cell in self.cells if isinstance(cell, Cell)], kept, self.slots)
        return (*measuring, *_CUT[self.job.protocol](self.job, self.cells, others, self.snapshots, self.slots))

    @property
    def epochs_shared(self) -> int:
        """Epochs of training the whole job costs when runs are shared."""
        last: dict[str, int] = {}
        for run_id, epoch in self._generators:
            last[run_id] = max(epoch, last.get(run_id, 0))
        return sum(last.values())

    @property
    def epochs_one_training_per_cell(self) -> int:
        """Epochs it would cost to train a generator for every cell."""
        return sum(epoch for _, epoch in self._generators)

    @property
    def _generators(self) -> list[SnapshotKey]:
        return [cell.generator for cell in self.cells if cell.generator is not None]

    @property
    def expected_seconds(self) -> float:
        """Roughly, from operation counts; half to twice the truth on a current CPU."""
        longest: dict[str, float] = {}
        for pack in self.packs:
            longest[pack.phase] = max(pack.seconds, longest.get(pack.phase, 0.0))
        return max(sum(pack.seconds for pack in self.packs) / self.slots, sum(longest.values()))


def make_plan(job: AnyJob, store: StoreView, *, slots: int, retry: Iterable[str] = ()) -> Plan:
    """The plan of a job against a store.

    It costs a fixed time, and a time per cell that does not grow with their number.

    Args:
      job: What is wanted.
      store: What is there.
      slots: Actors that can work at once; packs are cut so that all of them are busy.
      retry: Statuses to compute again (``failed``, ``diverged``, ``timeout``, ``lost``).
    """
    cells = tuple(_EXPAND[job.protocol](job))
    difference = difference_from_store(cells, job.name, store, frozenset(retry))
    return Plan(
        job=job,
        cells=cells,
        difference=difference,
        runs=tuple({cell.run.run_id: cell.run for cell in cells if cell.run is not None}.values()),
        probes=tuple({cell.probe.probe_id: cell.probe for cell in cells if cell.probe is not None}.values()),
        snapshots=_snapshots_for(difference, store),
        slots=slots,
    )


def _snapshots_for(difference: Difference, store: StoreView) -> frozenset[SnapshotKey]:
    """Those that missing cells need and the store has."""
    missing = difference.missing
    return store.snapshots_among(
        {cell.generator for cell in missing if cell.generator is not None and cell.probe is not None}
    )

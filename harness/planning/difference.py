"""A job's cells against what the store has: new, stale and why, to be retried, done."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..dirac.cells import DiracCell
from ..identity import SnapshotKey
from ..storage.records import CellKey, Columns, StoredCell
from .cells import Cell


class StoreView(Protocol):
    """What a plan asks of the store."""

    def latest_cells(self, job: str) -> Mapping[CellKey, StoredCell]:
        """The latest row at each of the grid's coordinates (`Cell.key`)."""
        ...

    def snapshots_among(self, keys: Collection[SnapshotKey]) -> frozenset[SnapshotKey]:
        """Those of the generators that are there."""
        ...

    def told_by_training(self, job: str, cells: Mapping[str, SnapshotKey]) -> Mapping[str, Columns]:
        """What the training of completed cells told (`records.OF_DISCRIMINATORS`), where the generator is there."""
        ...


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
      kept: Of the stale cells those that need no training, by cell_id: their snapshots are there and are to be measured
        in another way; with what the training told, which stays.
    """

    new: tuple[AnyCell, ...]
    stale: tuple[AnyCell, ...]
    retried: tuple[AnyCell, ...]
    done: Mapping[str, int]
    reasons: Mapping[str, int]
    kept: Mapping[str, Columns] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[AnyCell, ...]:
        """The cells to be computed."""
        return (*self.new, *self.stale, *self.retried)


def difference_from_store(cells: Sequence[AnyCell], job: str, store: StoreView, retry: frozenset[str]) -> Difference:
    """How cells stand against the rows of a job; those whose status is in `retry` count as missing."""
    stored = store.latest_cells(job)
    new, stale, retried = [], [], []
    trained: list[tuple[Cell, str]] = []  # stale cells of the same training, with the cell_id of their old rows
    done: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for cell in cells:
        row = stored.get(cell.key)
        if row is None:
            new.append(cell)
        elif row.cell_id != cell.cell_id:
            stale.append(cell)
            before, after = json.loads(row.identity), json.loads(cell.identity)
            for reason in changes(before, after):
                reasons[reason] = reasons.get(reason, 0) + 1
            if isinstance(cell, Cell) and row.status == "completed" and _is_of_one_training(before, after):
                trained.append((cell, row.cell_id))
        elif row.status in retry:
            retried.append(cell)
        else:
            done[row.status] = done.get(row.status, 0) + 1
    return Difference(tuple(new), tuple(stale), tuple(retried), done, reasons, _kept(trained, job, store))


def _is_of_one_training(old: Any, new: Any) -> bool:
    """Whether two identities of protocol ``train`` differ in how the generator is measured, and in nothing else.

    Discriminators were asked about the same held-out samples.
    """
    same = all(old.get(part) == new.get(part) for part in ("run", "epoch", "probe"))
    return same and new["probe"] is None and old["evaluation"]["samples"] == new["evaluation"]["samples"]


def _kept(trained: Sequence[tuple[Cell, str]], job: str, store: StoreView) -> dict[str, Columns]:
    if not trained:
        return {}
    told = store.told_by_training(job, {old_id: cell.generator for cell, old_id in trained})
    return {cell.cell_id: told[old_id] for cell, old_id in trained if old_id in told}


def changes(old: Any, new: Any, *, path: str = "") -> list[str]:
    """Where two identities differ: ``probe.settings.iterations: 200 -> 500``, or ``evaluation.metrics: + modes``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            change
            for key in sorted({*old, *new})
            for change in changes(old.get(key), new.get(key), path=f"{path}.{key}" if path else key)
        ]
    if old == new:
        return []
    if isinstance(old or new, list) and isinstance(new or old, list):  # an empty one may be absent
        return [f"{path}: {_changes_of_list(old or [], new or [])}"]
    return [f"{path}: {old} -> {new}"]


def _changes_of_list(old: Sequence[Any], new: Sequence[Any]) -> str:
    """What was added and what was taken away; whole lists where they have nothing in common."""
    gone, come = [item for item in old if item not in new], [item for item in new if item not in old]
    if not gone and not come:
        is_order = len(old) == len(new)
        return f"other order, {_brief_list(new)}" if is_order else f"{_brief_list(old)} -> {_brief_list(new)}"
    if old and new and len(gone) == len(old):
        return f"{_brief_list(old)} -> {_brief_list(new)}"
    return ", ".join([*(f"+ {_brief(item)}" for item in come), *(f"- {_brief(item)}" for item in gone)])


def _brief_list(items: Sequence[Any]) -> str:
    return f"[{', '.join(map(_brief, items))}]"


def _brief(item: Any) -> str:
    """A part as a job's rows call it: ``recall(features=pixels, k=3)``."""
    if not isinstance(item, Mapping) or "name" not in item:
        return str(item)
    given = ", ".join(f"{key}={_brief(value)}" for key, value in item.items() if key != "name")
    return f"{item['name']}({given})" if given else str(item["name"])

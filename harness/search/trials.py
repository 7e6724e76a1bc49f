"""A search's trials on their way: asked for, trained stage by stage in shared packs, scored by exact bounds, pruned.

Trials are trained as cells of protocol ``train`` under the search's name: a stage of a trial is done when its cells
have rows, so that the store is their state, and a search that was killed goes on where it was. No Optuna, no Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..execution.state import Standing
from ..identity import digest
from ..job.space import Parameters
from ..job.tune import TuneJob, example_grid
from ..planning.cells import Cell, Run
from ..planning.costs import evaluation_seconds
from ..planning.grid import expand
from ..planning.packing import groups, pack_size, training_key
from ..planning.packs import TrainingPack
from ..storage.records import Status
from ..storage.store import Store
from ..storage.writer import new_part
from .cells import trial_cells
from .scoring import ROW_COLUMNS, TRIAL_COLUMNS, Ending, Result, Row, TrialScore, result_of, score_seeds, trial_row

MIN_OPEN = 8  # trials at once, as far as they fill packs


class Study(Protocol):
    """Who invents trials, and decides on what they report."""

    def ask(self) -> tuple[int, Parameters] | None:
        """A new trial, or one that was asked for before a search was killed; None if there are enough."""
        ...

    def report(self, number: int, *, stage: int, value: float) -> bool:
        """The value after a stage, counted from 0; whether the trial is pruned."""
        ...

    def finish(self, number: int, result: Result) -> None:
        """The end of a trial."""
        ...

    def standing(self) -> Standing:
        """How far the search is."""
        ...


@dataclass(eq=False)
class _Trial:
    """A trial on its way; `stage` is the index of the epoch it is trained to now."""

    number: int
    parameters: Parameters
    cells: Mapping[tuple[int, int], Cell]  # by epoch and seed
    stage: int = 0

    @property
    def digest(self) -> str:
        """What its numbers come from."""
        return digest(sorted(cell.cell_id for cell in self.cells.values()))


@dataclass(frozen=True)
class _Step:
    """A run to be taken from one epoch to another, where its cell is to be measured."""

    cell: Cell
    start: int

    @property
    def length(self) -> int:
        return self.cell.epoch - self.start


class Trials:
    """Supplies a driver with packs of as many trials as keep its workers busy (a `driver.PackSource`).

    A worker that is free gets whatever waits: further stages of trials that were not pruned, from whatever epoch, and
    new trials in the places of those that were.

    Attributes:
      standing: How far the search is, as of the last trial that ended.
      seconds_to_come: Expected time of one slot for what has not been cut into packs, if nothing more is pruned.
    """

    def __init__(self, job: TuneJob, study: Study, store: Store, *, num_slots: int) -> None:
        self._job, self._study, self._store = job, study, store
        any_training = job.training_job(job.name, (example_grid(job),))
        self._pack_size = pack_size(any_training, job.search.trials * job.search.seeds, num_slots)
        self._trials: list[_Trial] = []
        self._waiting: list[_Step] = []
        self._under_way: set[str] = set()  # cells that wait or are being computed
        self._all_asked = False
        self._rows: dict[str, Row] = {}  # of cells, by cell_id
        self._new_rows = store.cursor("cells", job.name, columns=[*ROW_COLUMNS, job.bound, job.distance])
        ended = store.read_rows("trials", job.name, columns=TRIAL_COLUMNS)
        self._ended = {(row["trial"], row["cells"]): row for row in ended}
        # asking far ahead would leave the sampler and the pruner nothing to learn from
        self._max_open = max(MIN_OPEN, job.search.trials // 4, -(-num_slots // job.search.seeds))
        self.standing = study.standing()
        (cell,) = expand(any_training)
        members = TrainingPack(runs=(cell.run,) * self._pack_size, epochs=(job.epochs,))
        self._seconds_per_epoch = members.training_seconds / self._pack_size / job.epochs  # of one run in a full pack
        self._seconds_per_cell = evaluation_seconds([cell])
        self.seconds_to_come = self._to_come()

    # --- as a source of packs

    @property
    def is_finished(self) -> bool:
        """Whether every trial has ended."""
        return self._all_asked and not self._trials

    @property
    def num_to_come(self) -> int:
        """About how many packs there may yet be."""
        invented = 0 if self._all_asked else self._job.search.trials * self._job.search.seeds
        return -(-(len(self._waiting) + invented) // self._pack_size)

    def packs(self, *, num_free: int) -> Sequence[TrainingPack]:
        """Packs for so many free workers, of what waits and, as long as there is room, of new trials."""
        self._read_rows()
        while len(self._waiting) < num_free * self._pack_size and not self._all_asked:
            if len(self._trials) >= self._max_open:
                break
            asked = self._study.ask()
            if asked is None:
                self._all_asked = True
            else:
                self._begin(*asked)
        cut = list(self._cut(num_free))
        self.seconds_to_come = self._to_come()
        return cut

    def note(self, statuses: Mapping[str, Status]) -> None:
        """Takes the trials of these cells further."""
        self._under_way -= set(statuses)
        self._read_rows()
        for trial in list(self._trials):
            if any(cell.cell_id in statuses for cell in trial.cells.values()):
                self._advance(trial)
        self.seconds_to_come = self._to_come()

    def _cut(self, num_free: int) -> Iterator[TrainingPack]:
        """Packs from the largest group of steps that can go together; the furthest trials first."""
        for free in range(num_free, 0, -1):
            if not self._waiting:
                return
            alike = groups(self._waiting, key=lambda step: (step.length, training_key(step.cell.run)))
            largest = max(alike, key=len)
            share = -(-len(self._waiting) // free)
            steps = sorted(largest, key=lambda step: -step.start)[: min(self._pack_size, share)]
            self._waiting = [step for step in self._waiting if step not in steps]
            yield TrainingPack(
                runs=tuple(step.cell.run for step in steps),
                epochs=tuple(sorted({step.cell.epoch for step in steps})),
                cells=tuple(step.cell for step in steps),
                starts=tuple(step.start for step in steps),
                stage=steps[0].length,
            )

    def _to_come(self) -> float:
        seeds, stages = self._job.search.seeds, self._job.stages
        invented = 0 if self._all_asked else self.standing.num_wanted - self.standing.num_done - len(self._trials)
        whole = max(0, invented)
        epochs = sum(stages[-1] - stages[trial.stage] for trial in self._trials) + whole * stages[-1]
        cells = sum(len(stages) - 1 - trial.stage for trial in self._trials) + whole * len(stages)
        trained = sum(step.length for step in self._waiting) + seeds * epochs
        measured = len(self._waiting) + seeds * cells
        return self._seconds_per_epoch * trained + self._seconds_per_cell * measured

    # --- trials

    def _begin(self, number: int, parameters: Parameters) -> None:
        cells = trial_cells(self._job, parameters, epochs=self._job.stages)
        trial = _Trial(number, parameters, {(cell.epoch, cell.seed): cell for cell in cells})
        self._trials.append(trial)
        ended = self._ended.get((number, trial.digest))
        if ended is None:
            self._advance(trial)
        else:  # killed after its row was written, before the study was told
            self._tell(trial, result_of(ended))

    def _advance(self, trial: _Trial) -> None:
        """Takes a trial through every stage whose rows are there; enqueues what the next one lacks."""
        while True:
            epoch, last = self._job.stages[trial.stage], trial.stage == len(self._job.stages) - 1
            living = self._living(trial, epoch)
            missing = [seed for seed in living if trial.cells[epoch, seed].cell_id not in self._rows]
            if missing:
                self._enqueue(trial, epoch, missing)
                return
            score = self._score(trial, epoch)
            if self._has_failed(trial, epoch):
                self._finish(trial, "fail")
                return
            if last or not self._living(trial, epoch, included=True):
                self._finish(trial, "complete" if score.value is not None and score.completed else "fail")
                return
            if score.value is not None and self._study.report(trial.number, stage=trial.stage, value=score.value):
                self._finish(trial, "pruned")
                return
            trial.stage += 1

    def _living(self, trial: _Trial, epoch: int, *, included: bool = False) -> list[int]:
        """Seeds that ended no earlier stage, or this one if it is included, otherwise than sound."""
        seeds = range(self._job.search.seeds)
        before = [e for e in self._job.stages if e < epoch or (included and e == epoch)]
        return [seed for seed in seeds if all(self._is_sound(trial.cells[e, seed]) for e in before)]

    def _is_sound(self, cell: Cell) -> bool:
        row = self._rows.get(cell.cell_id)
        return row is not None and row["status"] == "completed"

    def _has_failed(self, trial: _Trial, epoch: int) -> bool:
        """Whether a seed was lost to something other than its schedule: such a trial says nothing of it."""
        rows = [self._last_row(trial, seed, epoch) for seed in range(self._job.search.seeds)]
        return any(row["status"] not in ("completed", "diverged") for row in rows)

    def _enqueue(self, trial: _Trial, epoch: int, seeds: Sequence[int]) -> None:
        for seed in seeds:
            cell = trial.cells[epoch, seed]
            if cell.cell_id not in self._under_way:  # another trial may be of the same parameters
                self._under_way.add(cell.cell_id)
                self._waiting.append(_Step(cell, self._latest_state(cell.run, before=epoch)))

    def _latest_state(self, run: Run, *, before: int) -> int:
        """The last epoch from which a run can go on."""
        earlier = (epoch for epoch in reversed(self._job.stages) if epoch < before)
        kept = self._store.states.kept() if earlier else ()
        return next((epoch for epoch in earlier if (run.run_id, epoch) in kept), 0)

    def _score(self, trial: _Trial, epoch: int) -> TrialScore:
        return score_seeds([self._last_row(trial, seed, epoch) for seed in range(self._job.search.seeds)], self._job)

    def _last_row(self, trial: _Trial, seed: int, epoch: int) -> Row:
        """A seed's row at an epoch; of a seed that ended before, its last."""
        passed = [self._rows.get(trial.cells[e, seed].cell_id) for e in self._job.stages if e <= epoch]
        return [row for row in passed if row is not None][-1]

    def _finish(self, trial: _Trial, state: Ending) -> None:
        epoch = self._job.stages[trial.stage]
        rows = [self._rows[cell.cell_id] for cell in trial.cells.values() if cell.cell_id in self._rows]
        runs = {cell.run.run_id: cell.run for cell in trial.cells.values()}
        trained = {run_id: max((row["epoch"] for row in rows if row["run_id"] == run_id), default=0) for run_id in runs}
        result = Result(
            state=state,
            score=self._score(trial, epoch),
            epoch=epoch,
            member_steps=sum(run.steps_per_epoch * trained[run_id] for run_id, run in runs.items()),
            seconds=sum(row["seconds"] or 0.0 for row in rows),
        )
        row = {**trial_row(trial.number, trial.parameters, result), "cells": trial.digest}
        # before the study, which says that all is there
        self._store.write_part(self._job.name, "trials", [row], part=new_part())
        self._tell(trial, result)

    def _tell(self, trial: _Trial, result: Result) -> None:
        self._study.finish(trial.number, result)
        self._trials.remove(trial)
        self.standing = self._study.standing()
        needed = {cell.run.run_id for other in self._trials for cell in other.cells.values()}
        done = {cell.run.run_id for cell in trial.cells.values()} - needed
        self._store.states.delete({(run_id, epoch) for run_id in done for epoch in self._job.stages})

    def _read_rows(self) -> None:
        self._rows.update((row["cell_id"], row) for row in self._new_rows.new())

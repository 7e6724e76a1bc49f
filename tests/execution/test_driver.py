"""The driver: what is computed, what is not computed again, and what becomes of every kind of failure."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

import harness
from harness.errors import HarnessError
from harness.evaluation.cells import Evaluator
from harness.execution.driver import Driver
from harness.execution.executor import Executor
from harness.execution.state import State
from harness.job.job import Job
from harness.job.parts.problem import Problem
from harness.planning.packs import TrainingPack
from harness.planning.plan import make_plan
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from harness.worker.messages import (
    CellsWritten,
    Event,
    PackDone,
    PackFailed,
    SnapshotsWritten,
    Task,
    WorkerDied,
    WorkerSettings,
)
from harness.worker.provenance import Provenance
from harness.worker.rows import cell_row
from tests.snapshots import snapshots

JobMaker = Callable[..., Job]


def run(job: Job, store: Store, **arguments: Any) -> harness.Outcome:
    return harness.run(job, results=store.root, executor="serial", **arguments)


def cells(store: Store, columns: str = "*", where: str = "true") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        Results(store.root).query(f"SELECT {columns} FROM cells WHERE {where} ORDER BY cell_id").to_pylist()
    )
    return rows


def statuses(store: Store) -> dict[str, int]:
    rows = Results(store.root).query("SELECT status, count(*) AS n FROM cells GROUP BY status").to_pylist()
    return {row["status"]: row["n"] for row in rows}


def test_a_probe_job_fills_every_column_that_applies(probe_job: JobMaker, store: Store) -> None:
    outcome = run(probe_job(), store)
    assert outcome.is_complete
    assert outcome.num_computed == 24
    nullable = {
        "error",
        "git_commit",
        "bound_sliced",
        "real_bound_sliced",
        "jsd_discriminator",
        *("p_real", "p_fake"),  # of losses that make probabilities
        "grad_norm_minimax",
        "grad_norm_non_saturating",
        "grad_tail_index",  # of 16 batches and more
        "grad_cauchy_advantage",
        "discriminator_steps",  # an axis of protocol train
        *("updates", "modulus", "predicted_modulus", "verdict", "steps_to_tolerance"),  # protocol dirac
        *(f"{which}eigenvalues_{part}" for which in ("", "predicted_") for part in ("real", "imag")),
    }
    rows = cells(store)
    assert len(rows) == 24
    for row in rows:
        empty = {name for name, value in row.items() if value is None}
        assert empty <= nullable
        cross_entropy = row["loss"] != "wasserstein"
        for name in ("jsd_discriminator", "grad_norm_minimax", "grad_norm_non_saturating"):
            assert (row[name] is not None) == cross_entropy
        assert row["bound_holds"]
        assert row["bound_paper"] == pytest.approx(row["bound_paper_noise_term"] + row["bound_paper_divergence_term"])
        assert row["vacuous"] == (row["bound_paper"] > row["data_diameter"])
        assert row["noise_variance"] == pytest.approx(64 * row["sigma"] ** 2)
        if cross_entropy:
            assert row["grad_norm"] == row[f"grad_norm_{row['loss']}"]


def test_at_sigma_zero_the_jsd_is_log_2_exactly(probe_job: JobMaker, store: Store) -> None:
    run(probe_job(grid={"loss": ["minimax"], "epoch": [1]}), store)
    for row in cells(store, where="sigma = 0"):
        assert row["jsd_mixture"] == 0.6931471805599453
        assert row["jsd_mixture_se"] == 0


def test_losses_that_share_a_probe_have_the_same_discriminator(probe_job: JobMaker, store: Store) -> None:
    run(probe_job(), store)
    pairs = Results(store.root).query(
        """SELECT a.d_loss = b.d_loss AND a.accuracy = b.accuracy AND a.grad_norm_minimax = b.grad_norm_minimax AS same
           FROM cells a JOIN cells b USING (sigma, epoch, seed)
           WHERE a.loss = 'minimax' AND b.loss = 'non_saturating'"""
    )
    assert pairs["same"].to_pylist() == [True] * 8


def test_curves_have_a_row_a_measurement_and_end_where_the_cell_does(probe_job: JobMaker, store: Store) -> None:
    run(probe_job(), store)
    answer = Results(store.root).query(
        """SELECT count(*) AS n, max(iteration) AS last,
                  arg_max(curves.grad_norm, iteration) = any_value(cells.grad_norm) AS same
           FROM curves JOIN cells USING (cell_id) GROUP BY cell_id"""
    )
    assert answer.to_pylist() == [{"n": 4, "last": 12, "same": True}] * 24


def test_a_train_job_measures_every_requested_epoch(train_job: JobMaker, store: Store) -> None:
    assert run(train_job(), store).is_complete
    rows = cells(store, "loss, sigma, epoch, seed, iterations")
    assert len(rows) == 16
    assert all(row["iterations"] == 10 * row["epoch"] for row in rows)
    training = Results(store.root).query("SELECT epoch, count(*) AS n FROM training GROUP BY epoch ORDER BY epoch")
    assert training.to_pylist() == [{"epoch": epoch, "n": 8} for epoch in (1, 2, 3)]
    for row in cells(store, "run_id, epoch"):
        assert store.snapshots_among([(row["run_id"], row["epoch"]), (row["run_id"], 2)]) == {
            (row["run_id"], row["epoch"])
        }


def test_running_a_finished_job_again_computes_nothing(train_job: JobMaker, store: Store) -> None:
    run(train_job(), store)
    before = cells(store)
    again = run(train_job(), store)
    assert again.num_computed == 0
    assert again.is_complete
    assert cells(store) == before


def test_adding_a_value_computes_only_what_is_new(probe_job: JobMaker, store: Store) -> None:
    run(probe_job(), store)
    before = {row["cell_id"]: row["finished_at"] for row in cells(store)}
    outcome = run(probe_job(grid={"sigma": [0, 0.5, 1.0]}), store)
    assert outcome.num_computed == 12
    after = {row["cell_id"]: row["finished_at"] for row in cells(store)}
    assert len(after) == 36
    assert before.items() <= after.items()


def test_changed_settings_replace_the_rows(probe_job: JobMaker, store: Store) -> None:
    run(probe_job(grid={"epoch": [1]}), store)
    outcome = run(probe_job(grid={"epoch": [1]}, probe={"iterations": 5}), store)
    assert outcome.num_computed == 12
    assert {row["iterations"] for row in cells(store)} == {5}


MEASURED = """cell_id, status, d_loss, accuracy, grad_norm, grad_norm_std, jsd_discriminator, jsd_mixture, tv, w1,
    bound_paper, bound_sharp, bound_best, real_w1, real_jsd_mixture"""


class _Killed(BaseException):
    """Stands for SIGKILL: nothing in the package may catch it."""


@pytest.mark.parametrize("events", [1, 4, 9])
def test_a_run_killed_anywhere_and_run_again_gives_the_numbers_of_an_undisturbed_one(
    probe_job: JobMaker, store: Store, tmp_path: Any, events: int
) -> None:
    undisturbed = Store(tmp_path / "undisturbed")
    run(probe_job(), undisturbed)
    count = itertools.count(1)

    def kill(state: State) -> None:
        if next(count) > events:
            raise _Killed

    with pytest.raises(_Killed):
        run(probe_job(), store, observer=kill)
    assert run(probe_job(), store).is_complete
    assert cells(store, MEASURED) == cells(undisturbed, MEASURED)
    assert len(store.dataset("cells").to_table()) == 24


def test_an_epoch_has_the_same_numbers_whichever_other_epochs_are_measured(
    train_job: JobMaker, store: Store, tmp_path: Any
) -> None:
    """A run killed after its first epoch was written measures only the later ones when it is done again."""
    few = Store(tmp_path / "few")
    run(train_job(), store)
    run(train_job(grid={"epoch": [3]}), few)
    assert cells(few, MEASURED) == cells(store, MEASURED, "epoch = 3")


def test_a_diverging_member_is_marked_and_its_pack_mates_complete(train_job: JobMaker, store: Store) -> None:
    outcome = run(train_job(grid={"learning_rate": [1e-3, 1e3], "loss": ["minimax"]}), store)
    assert not outcome.is_complete
    assert outcome.statuses == {"completed": 8, "diverged": 8}
    for row in cells(store):
        assert (row["status"] == "diverged") == (row["learning_rate"] == 1e3)
        assert 0.5 < row["d_loss"] < 3  # the last finite one
        if row["status"] == "diverged":
            assert "not finite from update" in row["error"]
            assert row["iterations"] < 10
            assert row["w1"] is not None


def test_a_diverging_probe_keeps_its_curve_up_to_then(probe_job: JobMaker, store: Store) -> None:
    grid = {"learning_rate": [2e-4, 1e4], "loss": ["minimax"], "epoch": [1]}
    outcome = run(probe_job(grid=grid), store)
    assert outcome.statuses == {"completed": 4, "diverged": 4}
    answer = Results(store.root).query(
        "SELECT status, max(iteration) AS last FROM cells LEFT JOIN curves USING (cell_id) GROUP BY status, cell_id"
    )
    for row in answer.to_pylist():
        assert row["last"] == 12 if row["status"] == "completed" else row["last"] is None or row["last"] < 12


def test_probes_of_a_diverged_reference_run_are_marked_with_the_reason(probe_job: JobMaker, store: Store) -> None:
    training = {"steps_per_epoch": 4, "optimizer": {"name": "sgd", "learning_rate": 1e9}}
    outcome = run(probe_job(training=training), store)
    assert outcome.statuses == {"diverged": 24}
    assert all("its reference run" in row["error"] for row in cells(store))


def test_a_raising_member_fails_with_its_traceback_and_its_pack_mates_complete(
    train_job: JobMaker, store: Store
) -> None:
    outcome = run(train_job(grid={"loss": ["minimax", "tests.custom:exploding"]}), store)
    assert outcome.statuses == {"completed": 8, "failed": 8}
    for row in cells(store):
        assert (row["status"] == "failed") == (row["loss"] == "tests.custom:exploding")
        if row["status"] == "failed":
            assert "Traceback" in row["error"]
            assert "RuntimeError: this loss always fails" in row["error"]


def test_a_raising_loss_spares_the_loss_that_shares_its_probe(probe_job: JobMaker, store: Store) -> None:
    outcome = run(probe_job(grid={"loss": ["minimax", "tests.custom:exploding"], "epoch": [1]}), store)
    assert outcome.statuses == {"completed": 4, "failed": 4}


def test_a_pack_that_does_not_fit_on_the_gpu_is_halved_until_it_does(train_job: JobMaker, store: Store) -> None:
    """Eight members, of which two at a time fit; their numbers are those of packs of two."""
    grid = {"loss": ["tests.custom:starving"], "sigma": [0], "epoch": [1], "seed": list(range(8))}
    assert run(train_job(grid=grid, resources={"pack": 8}), store).statuses == {"completed": 8}
    asked_for = Store(f"{store.root}-asked-for")
    run(train_job(grid=grid, resources={"pack": 2}), asked_for)
    numbers = "cell_id, attempt, d_loss, w1, bound_best"
    assert cells(store, numbers) == cells(asked_for, numbers)


def test_what_does_not_fit_alone_fails_with_a_way_out(
    train_job: JobMaker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, *arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Evaluator, "evaluate", full)
    assert run(train_job(grid={"epoch": [1]}), store).statuses == {"failed": 8}
    (error,) = {row["error"] for row in cells(store, "error")}
    assert error.startswith("out of memory. A pack that does not fit is halved, and this one cannot be; smaller")
    assert "Tried to allocate 2.00 GiB" in error


def test_failed_cells_are_computed_again_only_when_asked(train_job: JobMaker, store: Store) -> None:
    job = train_job(grid={"loss": ["tests.custom:exploding"], "sigma": [0], "epoch": [1]})
    run(job, store)
    assert run(job, store).num_computed == 0
    assert run(job, store, retry=["failed"]).num_computed == 2


def test_a_pack_beyond_its_time_is_marked_as_timeout(train_job: JobMaker, store: Store) -> None:
    job = train_job(training={"steps_per_epoch": 200}, resources={"timeout_seconds": 1e-6})
    outcome = run(job, store)
    assert set(outcome.statuses) == {"timeout"}
    assert "resources.timeout_seconds is 1e-06" in cells(store)[0]["error"]


def test_data_that_cannot_be_loaded_stop_the_job_before_any_work(
    train_job: JobMaker, store: Store, tmp_path: Any
) -> None:
    import numpy as np

    np.save(tmp_path / "a.npy", np.full((90, 2), np.nan))
    job = train_job(problem={"name": "arrays", "path": str(tmp_path / "a.npy")})
    with pytest.raises(HarnessError, match=r"problem arrays: .*NaN or infinite"):
        run(job, store)
    assert not cells(store)


class Scripted(Executor):
    """An executor that obeys a script: what to answer for the n-th task it is given."""

    num_slots, threads_per_slot, uses_gpus = 2, 1, False

    def __init__(self, store: Store, script: Callable[[int, Task], Sequence[Event]]) -> None:
        self.store, self.script = store, script
        self.started: list[Task] = []
        self.pending: list[tuple[Task, Event]] = []

    @property
    def description(self) -> str:
        return "a script"

    @property
    def num_free(self) -> int:
        busy = {id(task) for task, _ in self.pending}
        return self.num_slots - len(busy)

    def open(self, settings: WorkerSettings, problem: Problem, *, num_tasks: int) -> None: ...

    def start(self, task: Task) -> None:
        self.started.append(task)
        self.pending += [(task, event) for event in self.script(len(self.started), task)]

    def wait(self) -> Sequence[tuple[Task, Event]]:
        return [self.pending.pop(0)]

    def close(self) -> None: ...


PROVENANCE = Provenance("{}", None)


def succeed(store: Store, job: Job, task: Task) -> list[Event]:
    """What a sound worker does, without the work."""
    pack = task.pack
    events: list[Event] = []
    if isinstance(pack, TrainingPack):
        for run_, epoch in itertools.product(pack.runs, pack.epochs):
            store.snapshots.write(snapshots([(run_.run_id, epoch)]))
            events.append(SnapshotsWritten(frozenset({(run_.run_id, epoch)})))
    rows = [
        cell_row(cell, PROVENANCE, status="completed", attempt=task.attempt, sequence=task.sequence)
        for cell in pack.cells
    ]
    store.write_part(job.name, "cells", rows, part=new_part())
    return [*events, CellsWritten({row["cell_id"]: row["status"] for row in rows}), PackDone()]


def drive(job: Job, store: Store, script: Callable[[int, Task], Sequence[Event]]) -> tuple[Scripted, State]:
    executor = Scripted(store, script)
    return executor, drive_with(executor, job, store)


def drive_with(executor: Scripted, job: Job, store: Store) -> State:
    plan = make_plan(job, store, slots=2)
    state = State.of(plan)
    Driver(store, executor, PROVENANCE, retries=job.resources.retries).run(job.name, plan.packs, state=state)
    return state


def test_a_dead_workers_pack_is_done_again_by_another(train_job: JobMaker, store: Store) -> None:
    job = train_job()
    executor, state = drive(job, store, lambda n, task: [WorkerDied("killed")] if n == 1 else succeed(store, job, task))
    assert state.statuses == {"completed": 16}
    assert [task.attempt for task in executor.started] == [1, 1, 2]


def test_a_pack_that_kills_every_worker_is_split_and_only_the_culprit_is_lost(
    train_job: JobMaker, store: Store
) -> None:
    job = train_job(resources={"retries": 1})
    culprit = make_plan(job, store, slots=2).runs[3].run_id

    def script(n: int, task: Task) -> Sequence[Event]:
        assert isinstance(task.pack, TrainingPack)
        dies = any(run_.run_id == culprit for run_ in task.pack.runs)
        return [WorkerDied("out of memory")] if dies else succeed(store, job, task)

    _, state = drive(job, store, script)
    assert state.statuses == {"completed": 14, "lost": 2}
    lost = cells(store, "run_id, error", "status = 'lost'")
    assert lost == [{"run_id": culprit, "error": "out of memory"}] * 2


def test_rows_written_by_a_worker_that_died_before_saying_so_are_not_called_lost(
    train_job: JobMaker, store: Store
) -> None:
    job = train_job(resources={"retries": 0, "pack": 1})

    def script(n: int, task: Task) -> Sequence[Event]:
        events = succeed(store, job, task)
        return [WorkerDied("killed while saying goodbye")] if n == 1 else events

    _, state = drive(job, store, script)
    assert state.statuses == {"completed": 16}
    assert statuses(store) == {"completed": 16}


def test_a_pack_that_is_done_again_owes_only_the_epochs_that_are_missing(train_job: JobMaker, store: Store) -> None:
    job = train_job(resources={"pack": 8})

    def script(n: int, task: Task) -> Sequence[Event]:
        if n > 1:
            return succeed(store, job, task)
        assert isinstance(task.pack, TrainingPack)
        early = [cell.cell_id for cell in task.pack.cells if cell.epoch == 1]
        snapshots = [SnapshotsWritten(frozenset({(run_.run_id, 1)})) for run_ in task.pack.runs]
        return [*snapshots, CellsWritten(dict.fromkeys(early, "completed")), WorkerDied("killed")]

    executor, state = drive(job, store, script)
    again = executor.started[1].pack
    assert isinstance(again, TrainingPack)
    assert again.epochs == (3,)
    assert {cell.epoch for cell in again.cells} == {3}
    assert state.statuses == {"completed": 16}


def test_preemption_does_not_use_up_retries(train_job: JobMaker, store: Store) -> None:
    job = train_job(resources={"retries": 0})
    executor, state = drive(
        job, store, lambda n, task: [WorkerDied("spot", preempted=True)] if n <= 5 else succeed(store, job, task)
    )
    assert state.statuses == {"completed": 16}
    assert {task.attempt for task in executor.started} == {1}


def test_probes_start_as_soon_as_their_snapshot_exists(probe_job: JobMaker, store: Store) -> None:
    """The first epoch's probes run while the reference runs go on to the second."""
    job = probe_job(resources={"pack": 8})
    log: list[str] = []

    class Watching(Scripted):
        def wait(self) -> Sequence[tuple[Task, Event]]:
            task, event = self.pending.pop(0)
            log.append(f"{type(task.pack).__name__} {type(event).__name__}")
            return [(task, event)]

    def script(n: int, task: Task) -> Sequence[Event]:
        events = succeed(store, job, task)
        # the snapshots of epoch 1 first, as training makes them
        return sorted(events, key=lambda event: min(event.keys)[1] if isinstance(event, SnapshotsWritten) else 9)

    executor = Watching(store, script)
    drive_with(executor, job, store)
    assert [type(task.pack).__name__ for task in executor.started] == ["TrainingPack"] + ["ProbePack"] * 4
    first_probe_was_asked_for_after = log[: log.index("ProbePack CellsWritten")]
    assert first_probe_was_asked_for_after.count("TrainingPack SnapshotsWritten") == 4
    started_before_training_ended = len(executor.started)
    assert started_before_training_ended == 5


def test_a_failed_training_pack_takes_its_probes_along_but_no_others(probe_job: JobMaker, store: Store) -> None:
    job = probe_job(resources={"pack": 1})
    failing = make_plan(job, store, slots=2).runs[0].run_id

    def script(n: int, task: Task) -> Sequence[Event]:
        if isinstance(task.pack, TrainingPack) and task.pack.runs[0].run_id == failing:
            return [PackFailed("failed", "Traceback: boom")]
        return succeed(store, job, task)

    _, state = drive(job, store, script)
    assert state.statuses == {"completed": 12, "failed": 12}
    for row in cells(store, "run_id, status, error"):
        assert (row["status"] == "failed") == (row["run_id"] == failing)
        assert row["error"] is None or "boom" in row["error"]


def test_the_time_left_begins_as_the_plan_has_it_and_becomes_what_the_work_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    state = State(num_cells=10, statuses={}, work_total=400.0, planned_rate=2.0)
    assert state.seconds_left == pytest.approx(200)  # before the first pack: two slots at the plan's rate
    now[0] += 30.0
    assert state.seconds_left == pytest.approx(200)  # what it takes to start is no sign of a slow machine
    state.first_start = now[0]
    now[0] += 1000.0
    state.work_done = 200.0  # half of it in 1,000 s: five times as slow as planned
    assert state.seconds_left == pytest.approx(1000, rel=0.1)
    state.work_done = 400.0
    assert state.seconds_left == 0

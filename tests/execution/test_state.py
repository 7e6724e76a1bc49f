"""What the driver knows of a running job: failures, extremes, silence, time left; and all of it as a small object."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from harness.execution.state import MAX_FAILURES, SILENT_SECONDS, Standing, State, as_dict
from harness.job.job import Job
from harness.planning.plan import Plan, make_plan
from harness.storage.store import Store
from harness.worker.messages import CellsWritten, Extreme, PackStarted, Task

JobMaker = Callable[..., Job]


class Clock:
    """Stands for `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


@pytest.fixture
def plan(train_job: JobMaker, store: Store) -> Plan:
    return make_plan(train_job(), store, slots=2)


def task(plan: Plan, number: int) -> Task:
    return Task("tiny", plan.packs[number], 1, number)


def test_the_best_and_the_worst_so_far_are_kept_with_which_they_are(plan: Plan) -> None:
    state = State.of(plan)
    pack = plan.packs[0]
    a, b, *_ = pack.cells
    for least, greatest in ((0.5, 0.75), (0.25, 0.3), (0.4, 0.9)):
        extremes = {"least": Extreme(a.cell_id, least), "greatest": Extreme(b.cell_id, greatest)}
        state.note_rows(pack.cells, CellsWritten({a.cell_id: "completed"}, {}, **extremes))
    found = as_dict(state)
    assert found["headline"] == "w1"
    assert found["least"] == {"value": 0.25, "cell_id": a.cell_id, "cell": state.least and state.least.cell}
    assert found["greatest"]["value"] == 0.9
    key = a.key
    # the axes with several values, and no others
    assert found["least"]["cell"] == f"{key.loss}, sigma {key.schedule}, epoch {key.epoch}, seed {key.seed}"


def test_failures_are_named_up_to_ten_and_then_counted(train_job: JobMaker, store: Store) -> None:
    plan = make_plan(train_job(grid={"seed": list(range(5))}), store, slots=1)
    state = State.of(plan)
    cells = plan.cells[: MAX_FAILURES + 3]
    errors = {cell.cell_id: f"Traceback\n  in x\nError: {number}" for number, cell in enumerate(cells)}
    state.note_rows(cells, CellsWritten(dict.fromkeys(errors, "failed"), errors=errors))
    assert [failure.error for failure in state.failures] == [f"Error: {number}" for number in range(MAX_FAILURES)]
    assert state.statuses == {"failed": MAX_FAILURES + 3}
    assert len(state.notices) == MAX_FAILURES + 1
    assert state.notices[0] == f"failed: {state.failures[0].cell}: Error: 0"
    assert "counted" in state.notices[-1]
    found = as_dict(state)
    assert (found["num_failed"], len(found["failures"])) == (MAX_FAILURES + 3, MAX_FAILURES)


def test_a_pack_of_which_nothing_is_heard_for_a_minute_is_named_once(plan: Plan, clock: Clock) -> None:
    state = State.of(plan)
    first, second = task(plan, 0), task(plan, 1)
    state.note_start(first)
    state.note_where(first, PackStarted("tower", 4711, "cpu"))
    state.note_start(second)
    clock.now += SILENT_SECONDS - 1
    state.note_heard(second)
    state.note_silence()
    assert state.notices == []
    clock.now += 2
    state.note_silence()
    (said,) = state.notices
    assert said.startswith("nothing heard for 1 min 1 s of process 4711 on tower (training ")
    assert said.endswith("; it goes on")
    clock.now += 1000
    state.note_heard(second)
    state.note_silence()
    assert len(state.notices) == 1
    packs = as_dict(state)["packs"]
    assert [(pack["pid"], pack["is_silent"]) for pack in packs] == [(4711, True), (None, False)]


def test_a_pack_that_is_measured_for_long_is_given_three_times_what_that_is_expected_to_take(
    train_job: JobMaker, store: Store, clock: Clock
) -> None:
    plan = make_plan(train_job(evaluation={"samples": 20_000}, resources={"pack": 1}), store, slots=1)
    pack = plan.packs[0]
    measuring = pack.seconds - pack.training_seconds
    assert 3 * measuring > SILENT_SECONDS
    state = State.of(plan)
    state.note_start(task(plan, 0))
    clock.now += 3 * measuring - 1
    state.note_silence()
    assert not state.notices
    clock.now += 2
    state.note_silence()
    assert len(state.notices) == 1


def test_the_time_left_is_the_plans_before_there_is_any_other(plan: Plan) -> None:
    assert State.of(plan).seconds_left == pytest.approx(plan.expected_seconds)


def test_the_rate_counts_rows_of_this_run_alone(plan: Plan, clock: Clock) -> None:
    state = State.of(plan)
    state.statuses, state.num_found = {"completed": 6}, 6
    assert state.cells_per_second is None
    state.note_start(task(plan, 0))
    clock.now += 8.0
    state.statuses = {"completed": 9, "failed": 1}
    assert state.cells_per_second == pytest.approx(0.5)


def test_a_state_is_a_small_object_of_json(plan: Plan, clock: Clock) -> None:
    state = State.of(plan, machine="2 Ray actors")
    state.note_start(task(plan, 0))
    clock.now += 5.0
    state.standing = Standing(3, 8, 1, "bound_best", 0.5, "linear(start=1, end=0)", 2)
    found: dict[str, Any] = json.loads(json.dumps(as_dict(state)))
    assert (found["job"], found["machine"], found["cells"], found["ended"]) == ("tiny", "2 Ray actors", 16, 0)
    (pack,) = found["packs"]
    started, told = datetime.fromisoformat(pack["started_at"]), datetime.fromisoformat(found["time"])
    assert told - started == pytest.approx(timedelta(seconds=5), abs=timedelta(milliseconds=1))
    assert pack["what"].startswith("training 4 cells, the first ") or pack["what"].startswith("training 8 cells")
    assert found["search"]["best_schedule"] == "linear(start=1, end=0)"
    assert len(json.dumps(found)) < 2_000


def test_of_many_packs_those_heard_of_longest_ago_are_told(train_job: JobMaker, store: Store, clock: Clock) -> None:
    plan = make_plan(train_job(grid={"seed": list(range(40))}, resources={"pack": 1}), store, slots=1)
    state = State.of(plan)
    tasks = [task(plan, number) for number in range(len(plan.packs))]
    for one in tasks:
        state.note_start(one)
        clock.now += 1.0
    state.note_heard(tasks[0])
    found = as_dict(state)
    assert found["num_packs"] == 160
    assert len(found["packs"]) == 100
    started = [datetime.fromisoformat(pack["started_at"]) for pack in found["packs"]]
    assert started == sorted(started)
    # the first of 160 started 160 s ago, and has been heard of since
    second = timedelta(seconds=159)
    assert datetime.fromisoformat(found["time"]) - started[0] == pytest.approx(second, abs=timedelta(milliseconds=1))
    assert len(json.dumps(found)) < 40_000

"""Trials on their way: stages, shared packs, places of those pruned, and nothing lost to a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import harness
from harness.execution import driver
from harness.execution.run import session
from harness.execution.state import Standing, State
from harness.job.space import Parameters
from harness.job.tune import TuneJob
from harness.planning.packs import TrainingPack
from harness.search.scoring import Result, TrialScore, score_seeds, seed_values
from harness.search.trials import Study, Trials
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import STATES
from harness.worker import worker
from harness.worker.messages import Event, Task
from tests.conftest import near
from tests.searches import HEAD, search_of

TEXT = (
    HEAD
    + """\
epochs: 6
space:
  schedule:
    linear: {start: {low: 0.05, high: 2}, end: 0.0}
search: {trials: 6, seeds: 3}
evaluation: {samples: 40, draws: 60, directions: 4, sigmas: [0.5]}
resources: {pack: 6}
"""
)


def search_job(*pairs: tuple[str, str]) -> TuneJob:
    return search_of(TEXT, *pairs)


class Script:
    """A study whose trials and verdicts are written down."""

    def __init__(self, num_trials: int, *, pruned: Callable[[int, int], bool] = lambda number, stage: False) -> None:
        self._todo, self._num_trials = list(range(num_trials)), num_trials
        self._pruned = pruned
        self.reports: list[tuple[int, int, float]] = []
        self.results: dict[int, Result] = {}

    def ask(self) -> tuple[int, Parameters] | None:
        if not self._todo:
            return None
        number = self._todo.pop(0)
        return number, {"schedule": "linear", "linear.start": 0.1 + 0.2 * number, "linear.end": 0.0, "loss": "minimax"}

    def report(self, number: int, *, stage: int, value: float) -> bool:
        self.reports.append((number, stage, value))
        return self._pruned(number, stage)

    def finish(self, number: int, result: Result) -> None:
        self.results[number] = result

    def standing(self) -> Standing:
        return Standing(num_done=len(self.results), num_wanted=self._num_trials)


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[TrainingPack]:
    """The packs that workers execute."""
    seen: list[TrainingPack] = []
    original = worker.Worker.execute

    def execute(self: worker.Worker, task: Task) -> Any:
        assert isinstance(task.pack, TrainingPack)
        seen.append(task.pack)
        return original(self, task)

    monkeypatch.setattr(worker.Worker, "execute", execute)
    return seen


def work(job: TuneJob, study: Study, store: Store, observer: driver.Observer | None = None) -> None:
    with session(
        job,
        store=store,
        executor="serial",
        address=None,
        announce=None,
        num_tasks=1,
    ) as opened:
        opened.work_through(job.name, Trials(job, study, store, num_slots=1), phase="searching", observer=observer)


def states(store: Store) -> list[str]:
    return [info.path for info in store.place.listing(STATES)]


def test_who_watches_a_search_is_told_its_trials_and_what_work_is_to_come(store: Store) -> None:
    seen: list[tuple[int, float, float]] = []

    def observe(state: State) -> None:
        assert state.standing is not None
        assert (state.phase, state.standing.num_wanted) == ("searching", 6)
        seen.append((state.standing.num_done, state.work_done, state.work_total))

    work(search_job(), Script(6), store, observe)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert (seen[0][0], seen[-1][0]) == (0, 6)
    _, work_done, work_total = seen[-1]
    assert work_done == pytest.approx(work_total)
    assert seen[0][2] == pytest.approx(work_total, rel=0.02)  # nothing is pruned: what was expected at first came


def test_a_pruned_trial_leaves_its_place_to_others_at_once(store: Store, packs: list[TrainingPack]) -> None:
    study = Script(6, pruned=lambda number, stage: (number, stage) in {(0, 0), (2, 0), (3, 1)})
    work(search_job(), study, store)
    assert {number: (result.state, result.epoch) for number, result in study.results.items()} == {
        0: ("pruned", 2),
        1: ("complete", 6),
        2: ("pruned", 2),
        3: ("pruned", 4),
        4: ("complete", 6),
        5: ("complete", 6),
    }
    # 3 seeds x 5 steps an epoch
    assert {number: result.member_steps for number, result in study.results.items()} == {
        0: 30,
        1: 90,
        2: 30,
        3: 60,
        4: 90,
        5: 90,
    }
    assert sum(pack.member_steps for pack in packs) == 30 + 90 + 30 + 60 + 90 + 90
    # 6 places: as long as there is anything to do they are all taken, by new trials and by stages of older ones
    assert [pack.num_members for pack in packs[:4]] == [6, 6, 6, 6]
    assert packs[1].starts == (2, 2, 2, 0, 0, 0)
    assert {pack.num_epochs for pack in packs} == {2}


def test_a_trial_in_stages_has_the_numbers_of_one_that_runs_through(store: Store) -> None:
    job = search_job(("trials: 6", "trials: 2"))
    study = Script(2)
    work(job, study, store)
    through = job.training_job(
        "through",
        [
            job.grid(
                {"schedule": "linear", "linear.start": 0.1 + 0.2 * n, "linear.end": 0.0, "loss": "minimax"},
                seeds=range(3),
            )
            for n in range(2)
        ],
    )
    harness.run(through, results=store.root, executor="serial")
    rows = Results(store.root).query(
        """SELECT a.bound_best, b.bound_best AS expected, a.d_loss, b.d_loss AS expected_loss, a.iterations
           FROM cells a JOIN cells b USING (cell_id) WHERE a.job = 'search' AND b.job = 'through'"""
    )
    columns = rows.to_pydict()
    assert rows.num_rows == 6
    assert columns["bound_best"] == pytest.approx(columns["expected"], rel=1e-4)
    assert columns["d_loss"] == pytest.approx(columns["expected_loss"], rel=1e-4)
    assert columns["iterations"] == [30] * 6


def test_states_are_kept_only_as_long_as_a_trial_may_go_on(store: Store) -> None:
    open_at: list[int] = []

    def pruned(number: int, stage: int) -> bool:
        open_at.append(sum("state-" in path for path in states(store)))
        return stage == 1

    work(search_job(("trials: 6", "trials: 2")), Script(2, pruned=pruned), store)
    assert max(open_at) >= 6  # there were some
    assert not [path for path in states(store) if "state-" in path]


def test_a_killed_search_goes_on_with_the_stage_it_was_in(
    store: Store, packs: list[TrainingPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = search_job(("trials: 6", "trials: 2"))
    original = driver.Driver._handle
    written = 0

    def dying(self: driver.Driver, task: Any, event: Event) -> None:
        nonlocal written
        original(self, task, event)
        written += type(event).__name__ == "CellsWritten"
        if written == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(driver.Driver, "_handle", dying)
    with pytest.raises(KeyboardInterrupt):
        work(job, Script(2), store)
    monkeypatch.setattr(driver.Driver, "_handle", original)
    num_before = len(packs)
    study = Script(2)
    work(job, study, store)
    assert [pack.starts for pack in packs[num_before:]] == [(4,) * 6]
    assert {result.state for result in study.results.values()} == {"complete"}
    rows = store.dataset("cells", job="search").to_table().to_pylist()
    assert len(rows) == len({row["cell_id"] for row in rows}) == 2 * 3 * 3
    # the same numbers as if nothing had happened
    other = Store(f"{store.root}-undisturbed")
    undisturbed = Script(2)
    work(job, undisturbed, other)
    for number, result in study.results.items():
        assert result.score.value == pytest.approx(undisturbed.results[number].score.value, rel=1e-6)


def test_a_state_that_is_lost_costs_time_and_nothing_else(store: Store, packs: list[TrainingPack]) -> None:
    job = search_job(("trials: 6", "trials: 1"))

    def lose_everything(number: int, stage: int) -> bool:
        store.states.delete(store.states.kept())
        return False

    study = Script(1, pruned=lose_everything)
    work(job, study, store)
    assert [(pack.starts, pack.num_epochs) for pack in packs] == [((0, 0, 0), 2), ((0, 0, 0), 4), ((0, 0, 0), 6)]
    assert study.results[0].state == "complete"
    assert store.dataset("cells", job="search").to_table().num_rows == 9


def test_a_diverged_seed_is_not_trained_on_and_counts_with_the_diameter(store: Store) -> None:
    job = search_job(
        ("trials: 6", "trials: 1"),
        ("steps_per_epoch: 5}", "steps_per_epoch: 5, optimizer: {name: sgd, learning_rate: 1e9}}"),
    )
    study = Script(1)
    work(job, study, store)
    result = study.results[0]
    assert (result.state, result.epoch, result.score.completed) == ("fail", 2, 0)
    rows = store.dataset("cells", job="search").to_table().to_pylist()
    assert len(rows) == 3
    assert result.score.value is not None
    assert result.score.value >= max(row["data_diameter"] for row in rows)


def test_trials_of_equal_parameters_share_their_cells(store: Store, packs: list[TrainingPack]) -> None:
    class Same(Script):
        def ask(self) -> tuple[int, Parameters] | None:
            asked = super().ask()
            return asked and (asked[0], {**asked[1], "linear.start": 0.4})

    study = Same(2)
    work(search_job(), study, store)
    assert study.results[0].score == study.results[1].score
    assert sum(pack.member_steps for pack in packs) == 90


def rows_of(*rows: tuple[str, float | None, float | None]) -> list[dict[str, Any]]:
    names = ("status", "bound_best", "data_diameter")
    return [{**dict(zip(names, row, strict=True)), "w1": 0.5} for row in rows]


def test_seeds_that_did_not_complete_count_with_the_largest_diameter() -> None:
    rows = rows_of(("completed", 1.0, 2.0), ("diverged", 0.5, 2.1), ("diverged", 9.0, 2.0), ("failed", None, None))
    assert seed_values(rows, "bound_best") == [1.0, 2.1, 2.1, 2.1]


def test_no_bound_counts_for_more_than_the_diameter_of_its_samples() -> None:
    """So that a seed that diverged, at the diameter, is not better than one that collapsed with a bound beyond it."""
    rows = rows_of(("completed", 5.0, 2.0), ("diverged", 1.0, 2.1), ("completed", 2.05, 2.1))
    assert seed_values(rows, "bound_best") == [2.0, 2.1, 2.05]


@pytest.mark.parametrize(("reduce", "expected"), [("median", 2.0), ("mean", 2.0), ("worst", 3.0)])
def test_seeds_are_reduced_as_the_job_says(reduce: str, expected: float) -> None:
    job = search_job(("search:", f"objective: {{reduce: {reduce}}}\nsearch:"))
    score = score_seeds(rows_of(("completed", 1.0, 3.0), ("completed", 2.0, 3.0), ("diverged", 10.0, 3.0)), job)
    assert score == TrialScore(
        value=near(expected), distance=score.distance, spread=2.0, seeds=3, completed=2, diameter=3.0
    )
    assert score_seeds(rows_of(("failed", None, None)), job).value is None


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("search: {trials: 6", (2, 4, 6)),
        ("search: {pruner: none, trials: 6", (6,)),
        ("search: {pruner: none, report: [3], trials: 6", (3, 6)),
        ("search: {pruner: halving, report: [5, 1, 3], trials: 6", (1, 3, 5, 6)),
    ],
)
def test_stages_are_the_epochs_of_reports_and_the_end(text: str, stages: Sequence[int]) -> None:
    assert search_job(("search: {trials: 6", text)).stages == stages

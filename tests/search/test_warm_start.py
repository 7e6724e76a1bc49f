"""What a search takes from the results of a grid: exact values as trials, others as suggestions, the rest not at all.

Where only the reading matters the grid's rows are made up: cells with the bounds that a test gives them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest

import harness
from harness.errors import HarnessError
from harness.execution.state import Standing
from harness.job.job import Job
from harness.job.reading import parse_job
from harness.job.space import Parameters
from harness.job.tune import TuneJob
from harness.planning.cells import Cell
from harness.planning.grid import expand
from harness.search.analysis import best, finished, share_of_member_steps
from harness.search.opening import open_study
from harness.search.scoring import Result, TrialScore
from harness.search.study import OptunaStudy, Storage
from harness.search.tune import tune
from harness.search.warm_start import Known, known_points
from harness.storage.query import Results
from harness.storage.records import Status
from harness.storage.store import Store
from harness.storage.writer import new_part
from harness.worker.provenance import Provenance
from harness.worker.rows import cell_row
from tests.conftest import near
from tests.search.test_trials import work
from tests.searches import changed, search_of

SHARED = """\
problem: {name: ring}
networks: {name: mlp, width: 8, depth: 1, latent: 2}
training: {batch: 16, steps_per_epoch: 5}
evaluation: {samples: 40, draws: 60, directions: 4, sigmas: [0.5]}
"""
SEARCH = f"""\
name: search
protocol: tune
{SHARED}
epochs: 2
space:
  schedule:
    constant: {{sigma: {{low: 0.01, high: 1, log: true}}}}
    linear: {{start: {{low: 0.05, high: 2}}, end: 0.0}}
search: {{trials: 2, seeds: 2, pruner: none, finalists: 9, finalist_seeds: 1, confirmation_seeds: 1}}
"""
LINE = "{schedule: linear, start: 0.5, end: 0}"


def search_job(*pairs: tuple[str, str]) -> TuneJob:
    return search_of(SEARCH, *pairs)


def grid_job(
    sigma: str,
    *pairs: tuple[str, str],
    seed: str = "[0, 1]",
    epoch: str = "[2]",
    loss: str = "[minimax]",
    more: str = "",
) -> Job:
    """A grid with the settings of the search, unless others are given."""
    grid = f"grid: {{loss: {loss}, sigma: {sigma}, epoch: {epoch}, seed: {seed}{more}}}"
    job = parse_job(changed(f"name: swept\nprotocol: train\n{SHARED}\n{grid}\n", *pairs))
    assert isinstance(job, Job)
    return job


def as_its_sigma(cell: Cell) -> float:
    """A bound that is the first number of a cell's schedule, and a little more a seed."""
    first = cell.sigma.schedule.given().get("start", cell.sigma_value)
    assert first is not None
    return first + cell.seed / 1024


def always(value: float) -> Callable[[Cell], float]:
    return lambda cell: value


def keep(
    store: Store,
    job: Job,
    *,
    bound: Callable[[Cell], float | None] = as_its_sigma,
    status: Callable[[Cell], Status] = lambda cell: "completed",
    diameter: float = 4.0,
    **columns: Any,
) -> None:
    """Rows of a job that nobody trained."""
    rows = [
        cell_row(
            cell,
            Provenance(versions="{}", git_commit=None),
            status=status(cell),
            attempt=1,
            sequence=1,
            **{"bound_best": bound(cell), "w1": 0.25, "data_diameter": diameter, "seconds": 1.5, **columns},
        )
        for cell in expand(job)
    ]
    store.write_part(job.name, "cells", rows, part=new_part())


def constant(sigma: float) -> Parameters:
    return {"schedule": "constant", "loss": "minimax", "constant.sigma": sigma}


def line(start: float, **others: float) -> Parameters:
    """A line down to 0."""
    own = {f"linear.{name}": value for name, value in others.items()}
    return {"schedule": "linear", "loss": "minimax", "linear.start": start, "linear.end": 0.0, **own}


def known(job: TuneJob, store: Store) -> list[Parameters]:
    return [point.parameters for point in known_points(job, store, "swept")]


@pytest.fixture
def memory() -> Storage:
    return optuna.storages.InMemoryStorage()


def warm(job: TuneJob, store: Store, storage: Storage | None) -> OptunaStudy:
    """The search's study, opened and told what the grid knows."""
    return open_study(job, store, storage, warm_start="swept")


def asked(study: OptunaStudy) -> list[Parameters]:
    """All that a study asks for."""
    found = []
    while (trial := study.ask()) is not None:
        found.append(trial[1])
    return found


def trials_in(storage: Storage) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="search", storage=storage).trials


# --- with real trainings


class Script:
    """A study of the points it is given."""

    def __init__(self, points: Sequence[Parameters]) -> None:
        self._todo = list(enumerate(points))
        self.results: dict[int, Result] = {}

    def ask(self) -> tuple[int, Parameters] | None:
        return self._todo.pop(0) if self._todo else None

    def report(self, number: int, *, stage: int, value: float) -> bool:
        return False

    def finish(self, number: int, result: Result) -> None:
        self.results[number] = result

    def standing(self) -> Standing:
        return Standing(num_done=len(self.results), num_wanted=len(self.results) + len(self._todo))


def ids_in(store: Store, job: str) -> list[str]:
    """Of the cells that have rows."""
    ids: list[str] = store.dataset("cells", job=job).to_table()["cell_id"].to_pylist()
    return ids


def test_what_a_grid_has_computed_is_told_and_not_trained(store: Store) -> None:
    harness.run(grid_job(f"[0.1, 0.4, {LINE}]"), results=store.root, executor="serial")
    job = search_job()
    points = known_points(job, store, "swept")
    # a search that tries these points comes to the same scores
    script = Script([point.parameters for point in points])
    work(job, script, Store(f"{store.root}-without"))
    assert {str(sorted(point.parameters.items())) for point in points} == {
        str(sorted(parameters.items())) for parameters in (constant(0.1), constant(0.4), line(0.5))
    }
    for number, point in enumerate(points):
        expected = script.results[number].score
        assert point.score == TrialScore(
            value=near(expected.value, rel=1e-6),
            distance=near(expected.distance, rel=1e-6),
            spread=near(expected.spread, rel=1e-4),
            seeds=2,
            completed=2,
            diameter=near(expected.diameter, rel=1e-6),
        )
    study = warm(job, store, None)
    work(job, study, store)
    assert len(ids_in(store, "search")) == 2 * 2  # trials, seeds
    assert not set(ids_in(store, "search")) & set(ids_in(store, "swept"))
    assert (len(finished(study.trials())), study.is_complete) == (2, True)
    found = best(study.trials(), 9)
    assert len(found) == 3 + 2
    assert all(point.score in [trial.score for trial in found] for point in points)
    assert share_of_member_steps(study.trials(), 2) == 1


def test_the_same_command_again_adds_nothing(store: Store) -> None:
    harness.run(grid_job("[0.1, 0.4]"), results=store.root, executor="serial")
    keep(store, grid_job("[0.2]", seed="[9]"))  # a suggestion
    said: list[str] = []
    first, again = (
        tune(search_job(), results=store.root, executor="serial", warm_start="swept", announce=said.append)
        for _ in range(2)
    )
    assert first == again
    assert first.num_trials == 2
    assert [text for text in said if text.startswith("warm start")] == [
        "warm start from swept: 2 results, 1 suggestions",
        "warm start from swept: 0 results, 0 suggestions",
    ]
    rows = Results(store.root).query("SELECT parameters FROM trials").to_pylist()
    points = [json.loads(row["parameters"]) for row in rows]
    assert len(points) == 2 + 2  # told, and tried
    assert all(points.count(constant(sigma)) == 1 for sigma in (0.1, 0.2, 0.4))
    ids = ids_in(store, "search")
    assert len(ids) == len(set(ids))


# --- exact values


def test_the_value_of_a_point_is_that_of_the_searchs_own_seeds(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.25]", seed="[0, 1, 2]"), bound=lambda cell: [1.0, 3.0, 99.0][cell.seed])
    (point,) = known_points(search_job(), store, "swept")
    assert point.score == TrialScore(value=2.0, distance=0.25, spread=2.0, seeds=2, completed=2, diameter=4.0)
    study = warm(search_job(), store, memory)
    (trial,) = trials_in(memory)
    assert (trial.state.name, trial.params, trial.value) == ("COMPLETE", constant(0.25), 2.0)
    (found,) = best(study.trials(), 9)
    assert (found.parameters, found.score) == (constant(0.25), point.score)
    assert (len(finished(study.trials())), study.is_complete) == (0, False)
    assert len(asked(study)) == 2  # as many as without


@pytest.mark.parametrize(("reduce", "value", "distance"), [("mean", 2.5, 2.125), ("worst", 4.0, 4.0)])
def test_a_seed_that_diverged_counts_as_in_a_search(store: Store, reduce: str, value: float, distance: float) -> None:
    keep(
        store,
        grid_job("[0.25]"),
        bound=lambda cell: 1.0,
        status=lambda cell: "diverged" if cell.seed == 1 else "completed",
    )
    job = search_job(("search:", f"objective: {{reduce: {reduce}}}\nsearch:"))
    (point,) = known_points(job, store, "swept")
    # bounds 1 and distances 0.25; of the seed that diverged the diameter 4
    assert point.score == TrialScore(value=value, distance=distance, spread=3.0, seeds=2, completed=1, diameter=4.0)


def test_the_bound_is_the_objectives(store: Store) -> None:
    keep(store, grid_job("[0.25]"), bound_sharp_best=3.5, bound_sliced_best=2.5, w1_sliced=0.125)
    values = {}
    for bound in ("sharp", "sliced"):
        (point,) = known_points(search_job(("search:", f"objective: {{bound: {bound}}}\nsearch:")), store, "swept")
        assert point.score is not None
        values[bound] = (point.score.value, point.score.distance)
    assert values == {"sharp": (3.5, 0.25), "sliced": (2.5, 0.125)}


def test_with_two_objectives_computing_time_is_told_too(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.25]", seed="[0, 1, 2]"), bound=lambda cell: 3.0)
    job = search_job(("search:", "objective: {minimise: [bound, seconds]}\nsearch:"))
    warm(job, store, memory)
    assert [trial.values for trial in trials_in(memory)] == [[3.0, 2 * 1.5]]  # of the search's two seeds


def test_the_last_row_of_a_cell_counts(store: Store) -> None:
    for value in (9.0, 2.0):
        keep(store, grid_job("[0.25]"), bound=always(value))
    (point,) = known_points(search_job(), store, "swept")
    assert (point.value, point.score and point.score.value) == (2.0, 2.0)


def test_a_constant_does_not_depend_on_how_far_others_went_and_a_line_does(store: Store) -> None:
    keep(store, grid_job(f"[0.25, {LINE}]", epoch="[2, 4]"))
    points = {str(point.parameters["schedule"]): point for point in known_points(search_job(), store, "swept")}
    assert points["constant"].score is not None
    assert points["linear"].score is None  # half of a line to epoch 4 is no line to epoch 2


def test_axes_of_the_space_are_read_from_the_runs(store: Store) -> None:
    space = "  penalty: {none: {}, r1: {gamma: {low: 1, high: 9}}}\n  learning_rate: {low: 0.001, high: 0.1}\n"
    job = search_job(("search:", f"{space}  discriminator_steps: [1, 2]\nsearch:"))
    axes = "penalty: [none, r2, {name: r1, gamma: 3}, {name: r1, gamma: 10}], learning_rate: [0.01, 0.5]"
    keep(store, grid_job("[0.25]", more=f", {axes}, discriminator_steps: [2, 3]"))
    points = known_points(job, store, "swept")
    shared = {**constant(0.25), "learning_rate": 0.01, "discriminator_steps": 2}
    # r2, gamma 10, the rate 0.5 and three steps are not in the space
    expected = [{**shared, "penalty": "none"}, {**shared, "penalty": "r1", "r1.gamma": 3.0}]
    assert sorted((point.parameters for point in points), key=len) == expected
    assert all(point.score is not None for point in points)


def test_a_family_of_noise_and_its_steps_are_read_from_the_runs(store: Store) -> None:
    axes = "  noise: [truncated, mixed_levels]\n  noise_on: [both, discriminator]\n"
    given = [
        "0.25",
        "{sigma: 0.25, noise: mixed_levels}",
        "{sigma: 0.25, noise_on: discriminator}",
        "{sigma: 0.25, noise: cauchy}",
        "{sigma: 0.25, noise: {name: mixed_levels, levels: [0.5, 1]}}",
    ]
    keep(store, grid_job(f"[{', '.join(given)}]"))
    points = known_points(search_job(("search:", f"{axes}search:")), store, "swept")
    # cauchy is not in the space, and neither are other levels than the default
    assert {(point.parameters["noise"], point.parameters["noise_on"]) for point in points} == {
        ("truncated", "both"),
        ("mixed_levels", "both"),
        ("truncated", "discriminator"),
    }
    assert len(points) == 3
    assert len(known_points(search_job(), store, "swept")) == 1  # a space without them is one of plain noise


def test_what_the_space_leaves_open_is_the_default_of_a_schedule(store: Store) -> None:
    job = search_job(("end: 0.0", "end: 0.0, fraction: {low: 0.25, high: 1}"))
    keep(store, grid_job(f"[{LINE}, {{schedule: linear, start: 0.75, end: 0, fraction: 0.5}}]"))
    points = known_points(job, store, "swept")
    assert [point.parameters for point in points] == [line(0.5, fraction=1.0), line(0.75, fraction=0.5)]
    assert all(point.score is not None for point in points)


# --- suggestions


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("batch: 16", "batch: 32"),
        ("steps_per_epoch: 5", "steps_per_epoch: 6"),
        ("steps_per_epoch: 5", "steps_per_epoch: 5, optimizer: {name: sgd}"),
        ("draws: 60", "draws: 80"),
        ("seed: [0, 1]", "seed: [0]"),
        ("seed: [0, 1]", "seed: [7, 8]"),
        ("epoch: [2]", "epoch: [1]"),
    ],
)
def test_results_of_other_settings_are_suggestions(store: Store, memory: Storage, old: str, new: str) -> None:
    keep(store, grid_job("[0.25]", (old, new)))
    (point,) = known_points(search_job(), store, "swept")
    assert (point.parameters, point.score) == (constant(0.25), None)
    study = warm(search_job(), store, memory)
    assert [trial.state.name for trial in trials_in(memory)] == ["WAITING"]
    assert best(study.trials(), 9) == []
    first, second = asked(study)  # it is one of the search's two trials
    assert first == constant(0.25)
    assert second != first


def test_the_five_best_are_suggested_the_best_first(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.7, 0.2, 0.6, 0.3, 0.5, 0.1, 0.4]", seed="[9]"))
    assert known(search_job(), store) == [constant(sigma / 10) for sigma in range(1, 8)]
    points = asked(warm(search_job(("trials: 2", "trials: 7")), store, memory))
    assert points[:5] == [constant(sigma / 10) for sigma in range(1, 6)]
    assert not [point for point in points[5:] if point in (constant(0.6), constant(0.7))]
    assert len(points) == 7


def test_no_more_suggestions_are_tried_than_trials(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.1, 0.2, 0.3]", seed="[9]"))
    assert asked(warm(search_job(), store, memory)) == [constant(0.1), constant(0.2)]


def test_suggestions_are_beside_exact_values_not_instead_of_them(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.4, 0.6]"))
    keep(store, grid_job("[0.3, 0.5]", seed="[9]"))
    said: list[str] = []
    study = open_study(search_job(), store, memory, warm_start="swept", announce=said.append)
    assert said == ["warm start from swept: 2 results, 2 suggestions"]
    assert [trial.parameters for trial in best(study.trials(), 9)] == [constant(0.4), constant(0.6)]
    assert asked(study) == [constant(0.3), constant(0.5)]


def test_suggestions_are_ordered_by_the_objective_at_their_last_epoch(store: Store) -> None:
    bounds: dict[tuple[float | None, int], list[float]] = {
        (0.1, 1): [1.0, 1.0, 1.0],
        (0.1, 2): [1.0, 3.0, 4.0],
        (0.2, 1): [4.5, 4.5, 4.5],
        (0.2, 2): [2.5, 2.5, 90.0],
    }
    grid = grid_job("[0.1, 0.2]", seed="[7, 8, 9]", epoch="[1, 2]")
    keep(store, grid, bound=lambda cell: bounds[cell.sigma_value, cell.epoch][cell.seed - 7])
    points = known_points(search_job(), store, "swept")
    assert [(point.parameters, point.value) for point in points] == [(constant(0.2), 2.5), (constant(0.1), 3.0)]


@pytest.mark.parametrize("storage", [None, "memory"])
def test_telling_again_adds_nothing_twice(store: Store, memory: Storage, storage: str | None) -> None:
    keep(store, grid_job(f"[0.4, 0.6, {LINE}]"))
    keep(store, grid_job("[0.3, 0.5]", seed="[9]"))
    job = search_job(("trials: 2", "trials: 4"))
    place = memory if storage else None
    study = warm(job, store, place)
    first = study.ask()
    assert first is not None
    again = warm(job, store, place)  # one suggestion is under way, the other waits
    points = asked(again)
    assert points[:2] == [first[1], constant(0.5)]
    assert (len(points), points.count(first[1]), points.count(constant(0.5))) == (4, 1, 1)
    assert [trial.parameters for trial in best(again.trials(), 9)] == [constant(0.4), line(0.5), constant(0.6)]
    last = warm(job, store, place)
    assert len(asked(last)) == 4  # the same: all are under way
    assert len(best(last.trials(), 9)) == 3


def test_there_are_five_suggestions_however_often_the_command_runs(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]", seed="[9]"))
    warm(search_job(), store, memory)
    warm(search_job(), store, memory)
    assert len(trials_in(memory)) == 5


def test_a_grid_sampler_takes_the_values_there_are(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.25]"))
    sampler = ("trials: 2", "trials: 3, sampler: grid, points: 2")
    job = search_job(("{low: 0.01, high: 1, log: true}", "0.25"), sampler)
    study = warm(job, store, memory)
    assert [trial.parameters for trial in best(study.trials(), 9)] == [constant(0.25)]
    assert constant(0.25) not in asked(study)


def test_a_complete_grid_stays_complete(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.25]", seed="[9]"))
    sampler = ("trials: 2", "trials: 4, sampler: grid, points: 2")
    job = search_job(("{start: {low: 0.05, high: 2}, end: 0.0}", "{start: 0.5, end: 0.0}"), sampler)
    study = warm(job, store, memory)
    while (trial := study.ask()) is not None:
        study.finish(
            trial[0], Result("complete", TrialScore(1.0, 0.5, 0.0, 2, 2, 4.0), 2, member_steps=20, seconds=1.0)
        )
    assert (len(finished(study.trials())), study.is_complete) == (3, True)  # its own points
    again = open_study(job, store, memory)
    assert again.is_complete
    assert again.ask() is None


def test_a_point_that_is_known_to_diverge_is_not_suggested(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[0.25]", epoch="[1, 2]"), status=lambda cell: "diverged" if cell.epoch == 2 else "completed")
    keep(store, grid_job("[0.75]", seed="[9]"))
    assert constant(0.25) not in asked(warm(search_job(), store, memory))


def test_a_point_without_a_bound_counts_with_the_diameter(store: Store) -> None:
    keep(store, grid_job("[0.25]"), bound_paper=None)
    job = search_job(("end: 0.0", "end: 0.1"), ("search:", "objective: {sigma: final}\nsearch:"))
    (point,) = known_points(job, store, "swept")
    assert point.score is not None
    assert point.score.value == 4.0


# --- what is passed over


@pytest.mark.parametrize(
    "sigma",
    [
        "5",
        "0.009",
        "{schedule: cosine, start: 0.5, end: 0}",
        "{schedule: linear, start: 0.5, end: 0.1}",
        "{schedule: linear, start: 2.5, end: 0}",
    ],
)
def test_points_outside_the_space_are_passed_over(store: Store, sigma: str) -> None:
    keep(store, grid_job(f"[{sigma}, 0.25]"), bound=lambda cell: 1.0)
    assert known(search_job(), store) == [constant(0.25)]


def test_a_schedule_with_a_parameter_that_the_space_lacks_is_passed_over(store: Store, memory: Storage) -> None:
    keep(store, grid_job("[{schedule: linear, start: 0.5, end: 0, fraction: 0.5}, 0.75]"))
    warm(search_job(), store, memory)
    assert [trial.params for trial in trials_in(memory)] == [constant(0.75)]


def test_another_family_of_noise_is_passed_over(store: Store) -> None:
    keep(store, grid_job("[{sigma: 0.25, noise: gaussian}, 0.75]"))
    assert known(search_job(), store) == [constant(0.75)]


def test_a_penalty_with_a_parameter_that_the_space_lacks_is_passed_over(store: Store) -> None:
    keep(store, grid_job("[0.25]", more=", penalty: [{name: r1, gamma: 3}]"))
    keep(store, grid_job("[0.75]", more=", penalty: [r1]"))
    job = search_job(("search:", "  penalty: {r1: {}}\nsearch:"))
    assert known(job, store) == [{**constant(0.75), "penalty": "r1"}]


def test_penalties_whose_strength_follows_a_schedule_are_passed_over_and_so_are_sums(store: Store) -> None:
    fading = "{name: r1, gamma: {schedule: cosine, start: 3, end: 1}}"
    keep(store, grid_job("[0.25]", more=f", penalty: [{fading}, {{sum: [r1, r2]}}]"))
    keep(store, grid_job("[0.75]", more=", penalty: [{name: r1, gamma: 3}]"))
    job = search_job(("search:", "  penalty: {r1: {gamma: {low: 1, high: 9}}}\nsearch:"))
    assert known(job, store) == [{**constant(0.75), "penalty": "r1", "r1.gamma": 3.0}]


def test_other_losses_than_the_spaces_are_passed_over(store: Store) -> None:
    keep(store, grid_job("[0.25]", ("loss: [minimax]", "loss: [minimax, hinge]")))
    assert known(search_job(), store) == [constant(0.25)]


def test_other_penalties_than_the_searchs_are_passed_over(store: Store) -> None:
    keep(store, grid_job("[0.25]", more=", penalty: [r1]"))
    keep(store, grid_job("[0.75]", more=", penalty: [none]"))
    assert known(search_job(), store) == [constant(0.75)]


def test_cells_that_did_not_complete_are_passed_over(store: Store) -> None:
    keep(store, grid_job("[0.25, 0.75]"), status=lambda cell: "failed" if cell.sigma_value == 0.25 else "completed")
    assert known(search_job(), store) == [constant(0.75)]


def test_probes_are_passed_over(store: Store) -> None:
    probed = ("protocol: train", "protocol: probe\nreference: {loss: minimax, sigma: 0.25}")
    keep(store, grid_job("[0.25]", probed))
    with pytest.raises(HarnessError, match="no result of it is"):
        known_points(search_job(), store, "swept")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{name: ring}", "{name: ring, modes: 7}"),
        ("width: 8", "width: 9"),
        ("latent: 2}", "latent: 2, spectral_norm: true}"),
    ],
)
def test_results_of_another_problem_or_network_are_no_start(store: Store, memory: Storage, old: str, new: str) -> None:
    keep(store, grid_job("[0.25]", (old, new)))
    with pytest.raises(HarnessError) as error:
        warm(search_job(), store, memory)
    assert str(error.value).startswith("--warm-start swept: no result of it is of the search's problem and networks")
    assert "WHERE job = 'swept'" in str(error.value)
    assert trials_in(memory) == []


def test_a_job_without_results_is_told_what_there_is(store: Store) -> None:
    with pytest.raises(HarnessError, match=r"--warm-start swept: the store has no results of this job; it has no job$"):
        known_points(search_job(), store, "swept")
    keep(store, grid_job("[0.25]"))
    keep(store, grid_job("[0.25]", ("name: swept", "name: older")))
    with pytest.raises(HarnessError, match=r"--warm-start wept: .*; it has older, swept$"):
        known_points(search_job(), store, "wept")


def test_a_search_does_not_offer_itself(store: Store) -> None:
    keep(store, grid_job("[0.25]"))
    with pytest.raises(HarnessError, match=r"it has swept$"):
        tune(search_job(), results=store.root, executor="serial", warm_start="wept")


def test_a_point_is_known_once_however_many_rows_it_has(store: Store) -> None:
    keep(store, grid_job("[0.25]", seed="[0, 1, 2, 3]", epoch="[1, 2]"))
    keep(store, grid_job("[0.25]", ("batch: 16", "batch: 32")))
    points = known_points(search_job(), store, "swept")
    assert [point.parameters for point in points] == [constant(0.25)]
    assert isinstance(points[0], Known)
    assert points[0].score == TrialScore(0.25 + 0.5 / 1024, 0.25, 1 / 1024, 2, 2, 4.0)

"""Searches: honest values, nothing lost to a kill, nothing computed twice."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr, ttest_rel

from harness.errors import JobError, TuneError
from harness.job.reading import load_grid, load_job, load_search, parse_job
from harness.job.tune import TuneJob
from harness.search.analysis import doubts
from harness.search.finals import Confirmed, contrasts, finalist_seeds, fresh_seeds, verdicts
from harness.search.opening import open_study
from harness.search.scoring import Result, TrialScore
from harness.search.study import OptunaStudy
from harness.search.tune import tune
from harness.storage.query import Results
from harness.storage.snapshots import States
from harness.storage.store import Store
from tests.searches import HEAD, search_of

TEXT = (
    HEAD
    + """\
epochs: 2
space:
  schedule:
    constant: {sigma: {low: 0.01, high: 1, log: true}}
    linear: {start: {low: 0.05, high: 2}, end: 0.0}
search: {trials: 5, seeds: 3, pruner: none, finalists: 2, finalist_seeds: 2, confirmation_seeds: 2}
evaluation: {samples: 40, draws: 60, directions: 4, sigmas: [0.5]}
"""
)


def replaced(*pairs: tuple[str, str]) -> TuneJob:
    return search_of(TEXT, *pairs)


def trials(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Results(store.root).query("SELECT * FROM trials ORDER BY trial").to_pylist()
    return rows


def test_a_search_tells_the_medians_of_exact_bounds_and_confirms_on_fresh_seeds(store: Store) -> None:
    job = replaced(("search:", "objective: {bound: weighted}\nsearch:"), ("sigmas: [0.5]", "sigmas: [0.1]"))
    tuned = tune(job, results=store.root, executor="serial")
    rows = trials(store)
    assert [row["trial"] for row in rows] == list(range(5))
    assert len({row["parameters"] for row in rows}) == 5
    cells = Results(store.root).query("SELECT * FROM cells WHERE job = 'search'").to_pylist()
    assert len(cells) == 15 + 2 * 2
    cells = [cell for cell in cells if cell["seed"] < 3]
    for row in rows:
        parameters = json.loads(row["parameters"])
        own = [
            cell
            for cell in cells
            if all(
                f"{value:.17g}"[:8] in cell["schedule"]
                for value in parameters.values()
                if isinstance(value, float) and value
            )
        ]
        assert sorted(cell["seed"] for cell in own) == [0, 1, 2]
        assert row["value"] == statistics.median(
            min(cell["bound_weighted_best"], cell["data_diameter"]) for cell in own
        )
        assert row["distance"] == statistics.median(cell["w1"] for cell in own)
        assert row["value"] >= row["distance"]
    assert tuned.finalists[0]["trial"] == tuned.best_number
    assert {row["trial"] for row in tuned.finalists} == {
        row["trial"] for row in sorted(rows, key=lambda row: row["value"])[:2]
    }
    for finalist in tuned.finalists:  # over the further seeds alone: the search's have chosen them
        (trial,) = (row for row in rows if row["trial"] == finalist["trial"])
        start = json.loads(trial["parameters"]).get("linear.start") or json.loads(trial["parameters"])["constant.sigma"]
        own = Results(store.root).query(
            "SELECT least(bound_weighted_best, data_diameter) AS bound FROM cells "
            f"WHERE job = 'search' AND seed >= 3 AND contains(schedule, '{start!r}'[:8])"
        )["bound"]
        assert len(own) == 2
        assert finalist["bound_weighted_best"] == statistics.median(own.to_pylist())
    assert tuned.best_value == min(row["bound_weighted_best"] for row in tuned.finalists)
    expected = spearmanr([row["value"] for row in rows], [row["distance"] for row in rows]).statistic
    assert tuned.rank_correlation == pytest.approx(expected)
    assert open_study(job, store).kept("rank_correlation") == tuned.rank_correlation
    fresh = Results(store.root).query("SELECT DISTINCT seed FROM cells WHERE job = 'search-confirmation'")
    assert sorted(fresh["seed"].to_pylist()) == list(fresh_seeds(job))
    names = [row.candidate for row in tuned.confirmed]
    assert "no noise" in names
    assert {f"trial {row['trial']}" for row in tuned.finalists} <= set(names)
    assert sum(name.startswith("constant") for name in names) == 5
    medians = [statistics.median(row.bounds) for row in tuned.confirmed]
    assert medians == sorted(medians)
    (plain,) = (row for row in tuned.confirmed if row.candidate == "no noise")
    rows = Results(store.root).query(
        "SELECT least(bound_weighted_best, data_diameter) AS bound, w1 FROM cells "
        "WHERE job = 'search-confirmation' AND schedule = '0' ORDER BY seed"
    )
    assert {"bound": plain.bounds, "w1": plain.distances} == rows.to_pydict()
    best = load_job(tuned.best_file)
    assert best.protocol == "train"


def test_every_baseline_is_a_contrast_and_all_are_corrected_together() -> None:
    """Against SciPy's own test: two baselines by two measures, so the least p counts four times."""
    bounds = {
        "constant, 0.1 scales": [0.9, 1.0, 1.1, 0.8],
        "trial 3": [1.0, 1.3, 1.2, 0.9],
        "no noise": [2.0, 3.1, 4.0, 2.2],
    }
    distances = {
        "constant, 0.1 scales": [0.11, 0.12, 0.13, 0.1],
        "trial 3": [0.09, 0.1, 0.14, 0.12],
        "no noise": [0.1, 0.08, 0.18, 0.3],
    }
    confirmed = [Confirmed(name, "0.2", bounds[name], distances[name], 0) for name in bounds]
    found = contrasts(confirmed, 3, replaced())
    assert [(one.theirs, one.metric) for one in found] == [
        (name, metric) for name in ("no noise", "constant, 0.1 scales") for metric in ("bound_best", "w1")
    ]
    tests = [
        ttest_rel(values["trial 3"], values[name])
        for name in ("no noise", "constant, 0.1 scales")
        for values in (bounds, distances)
    ]
    assert [one.t_p for one in found] == pytest.approx([test.pvalue for test in tests], rel=1e-9)
    least = min(range(4), key=lambda index: tests[index].pvalue)
    assert found[least].p == pytest.approx(4 * tests[least].pvalue, rel=1e-9)
    said = list(verdicts(confirmed, 3, replaced()))
    assert len(said) == 5
    assert said[0].startswith("trial 3 against no noise: bound_best undecided, by -1.73 [")
    assert said[1].startswith("trial 3 against no noise: w1 undecided, by ")
    assert "corrected for 4 contrasts" in said[-1]


def test_a_seed_without_a_finite_bound_is_no_pair() -> None:
    confirmed = [
        Confirmed("trial 3", "0.2", [1.0, 2.0], [0.1, 0.2], 0),
        Confirmed("no noise", "0", [math.inf, 3.0], [0.2, 0.3], 1),
    ]
    bound, distance = contrasts(confirmed, 3, replaced())
    assert (bound.num_pairs, bound.num_ours_alone, distance.num_pairs) == (1, 1, 2)
    assert bound.verdict == "undecided"


def test_fresh_seeds_are_of_the_search_and_of_no_other() -> None:
    job = replaced()
    seeds = fresh_seeds(job)
    assert len(seeds) == 2
    assert not set(seeds) & {*range(job.search.seeds), *finalist_seeds(job)}
    assert fresh_seeds(replaced(("trials: 5", "trials: 9"))) == seeds  # going on with it
    assert fresh_seeds(replaced(("high: 1,", "high: 2,")))[0] != seeds[0]


def test_the_best_is_chosen_on_other_seeds_than_those_of_the_search() -> None:
    assert finalist_seeds(replaced()) == range(3, 5)
    assert finalist_seeds(replaced(("finalist_seeds: 2", "finalist_seeds: 0"))) == range(3)


def test_a_search_that_was_killed_goes_on_and_repeats_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = 0
    original = OptunaStudy.finish

    def dying(self: OptunaStudy, number: int, result: Result) -> None:
        nonlocal finished
        finished += 1
        if finished == 3:  # its cells and its row are there, the study does not know it
            raise KeyboardInterrupt
        original(self, number, result)

    job = replaced(("trials: 5", "trials: 8"))
    monkeypatch.setattr(OptunaStudy, "finish", dying)
    with pytest.raises(KeyboardInterrupt):
        tune(job, results=store.root, executor="serial")
    before = store.dataset("cells", job="search").to_table()["cell_id"].to_pylist()
    suggested = {row["parameters"] for row in trials(store)}
    assert len(suggested) == 3
    monkeypatch.setattr(OptunaStudy, "finish", original)
    tune(job, results=store.root, executor="serial")
    rows = trials(store)
    assert [row["trial"] for row in rows] == list(range(8))
    assert len({row["parameters"] for row in rows}) == 8
    assert suggested < {row["parameters"] for row in rows}
    assert store.dataset("trials").to_table().num_rows == 8
    after = store.dataset("cells", job="search").to_table()["cell_id"].to_pylist()
    assert len(after) == len(set(after)) == 8 * 3 + 2 * 2  # with the finalists' further seeds
    assert set(before) < set(after)


def test_a_finished_search_computes_nothing_again(store: Store) -> None:
    first = tune(replaced(), results=store.root, executor="serial")
    parts = store.dataset("cells").to_table().num_rows
    again = tune(replaced(), results=store.root, executor="serial")
    assert again == first
    assert store.dataset("cells").to_table().num_rows == parts
    assert len(trials(store)) == 5


def test_a_search_in_which_every_trial_diverges_says_so(store: Store) -> None:
    diverging = replaced(
        ("steps_per_epoch: 5}", "steps_per_epoch: 5, optimizer: {name: sgd, learning_rate: 1e9}}"),
        ("trials: 5", "trials: 2"),
    )
    with pytest.raises(TuneError, match="all 2 trials diverged or failed"):
        tune(diverging, results=store.root, executor="serial")


@pytest.mark.parametrize(("values", "warned"), [([2.0, 2.0001, 2.0], True), ([1.0, 2.0, 3.0], False)])
def test_a_saturated_objective_is_named(store: Store, values: list[float], warned: bool) -> None:
    study = open_study(replaced(), store)
    for value in values:
        asked = study.ask()
        assert asked is not None
        study.finish(asked[0], finished(value))
    found = doubts(study.trials(), replaced())
    assert bool(found) == warned
    assert all("bound: sliced" in text for text in found)


def finished(value: float) -> Result:
    score = TrialScore(value=value, distance=value / 2, spread=0.0, seeds=3, completed=3, diameter=9.0)
    return Result("complete", score, epoch=2, member_steps=30, seconds=1.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "low: 0.01, high: 1, log: true",
            "low: 1, high: 0.1",
            r"9:23: space.schedule.constant.sigma: low must be below",
        ),
        ("low: 0.01, high: 1, log: true", "low: 0, high: 1, log: true", "a log scale needs low > 0"),
        ("constant:", "constnt:", "Did you mean 'constant'"),
        ("end: 0.0", "stop: 0.0", "schedule linear takes start, end and may have fraction; got start, stop"),
        ("low: 0.05, high: 2", "low: -1, high: 2", "must be finite and >= 0"),
        ("trials: 5", "trails: 5", "Did you mean 'trials'"),
        ("epochs: 2\n", "", "'epochs' is missing"),
        ("steps_per_epoch: 5", "batch_size: 5", "unknown key"),
        (", steps_per_epoch: 5", "", "needs training.steps_per_epoch"),
    ],
)
def test_an_impossible_search_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(JobError, match=message):
        parse_job(TEXT.replace(old, new), source="job.yaml")


def test_each_protocol_names_its_command(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(TEXT)
    with pytest.raises(JobError, match=r"harness tune .*job\.yaml"):
        load_grid(path)
    path.write_text(
        TEXT.split("epochs:")[0].replace("tune", "train") + "grid: {loss: [minimax], sigma: [0], epoch: [1], seed: [0]}"
    )
    with pytest.raises(JobError, match=r"harness run .*job\.yaml"):
        load_search(path)
    assert parse_job(path.read_text()).protocol == "train"


def test_the_default_bound_is_the_informative_one() -> None:
    assert replaced().bound == "bound_best"
    digits = replaced(("{name: ring}", "{name: digits}"))
    assert digits.bound == "bound_sliced_best"


def test_damaged_states_cost_time_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state that a stage leaves is damaged before the next reads it."""
    job = replaced(("epochs: 2", "epochs: 4"), ("pruner: none", "pruner: median"))
    assert len(job.stages) > 1
    undisturbed = tune(job, results=tmp_path / "undisturbed", executor="serial")
    keep, num_damaged = States.write, []

    def keep_damaged(self: States, run_id: str, epoch: int, content: bytes) -> None:
        keep(self, run_id, epoch, content)
        for path in (tmp_path / "disturbed" / ".states").glob(f"state-{run_id}-{epoch}-*"):
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            num_damaged.append(path.name)

    monkeypatch.setattr(States, "write", keep_damaged)
    disturbed = tune(job, results=tmp_path / "disturbed", executor="serial")
    assert num_damaged
    assert disturbed.num_trials == undisturbed.num_trials
    values = "SELECT trial, state, value, distance FROM trials ORDER BY trial"
    one, two = (Results(tmp_path / name).query(values).to_pylist() for name in ("undisturbed", "disturbed"))
    assert [(row["trial"], row["state"]) for row in one] == [(row["trial"], row["state"]) for row in two]
    for mine, theirs in zip(one, two, strict=True):
        assert mine["value"] == pytest.approx(theirs["value"], rel=1e-4)
    statuses = "SELECT DISTINCT status FROM cells"
    assert Results(tmp_path / "disturbed").query(statuses).to_pylist() == [{"status": "completed"}]

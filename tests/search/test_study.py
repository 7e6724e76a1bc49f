"""The Optuna study of a search, without any training: what is suggested, given back, pruned, and told."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
import pytest
from scipy.stats import spearmanr

from harness.errors import HarnessError
from harness.execution.state import Standing
from harness.job.space import Parameters, penalty_of, schedule_text, sigma_of
from harness.job.tune import TuneJob
from harness.search import analysis
from harness.search.analysis import TrialRecord, best
from harness.search.importance import importances
from harness.search.opening import open_study
from harness.search.scoring import Ending, Result, TrialScore
from harness.search.study import OptunaStudy, Storage
from harness.storage.store import Store
from tests.search.own import Repeated
from tests.searches import HEAD, search_of

TEXT = (
    HEAD
    + """\
epochs: 6
space:
  schedule:
    constant: {sigma: {low: 0.01, high: 1, log: true}}
    linear: {start: {low: 0.05, high: 2}, end: 0.0}
  loss: [minimax, hinge]
  penalty: {none: {}, r1: {gamma: {low: 1, high: 100, log: true}}}
objective: {bound: paper}
search: {trials: 6, seeds: 3}
"""
)
TRIALS = "trials: 6"
CONSTANT, LINEAR = (
    "    constant: {sigma: {low: 0.01, high: 1, log: true}}\n",
    "    linear: {start: {low: 0.05, high: 2}, end: 0.0}\n",
)
ONE_FAMILY = (CONSTANT, "")
NO_PENALTY = ("  penalty: {none: {}, r1: {gamma: {low: 1, high: 100, log: true}}}\n", "")
ONE_LOSS = ("[minimax, hinge]", "[minimax]")
TWO_OBJECTIVES = ("{bound: paper}", "{minimise: [bound, seconds]}")


@pytest.fixture
def memory() -> Storage:
    """A storage that keeps studies as long as the test lasts, and does not wait for a disk."""
    return optuna.storages.InMemoryStorage()


Open = Callable[[TuneJob], OptunaStudy]


@pytest.fixture
def opened(store: Store, memory: Storage) -> Open:
    """Opens the study of a search, the first time and again."""
    return lambda job: open_study(job, store, memory)


def make(*pairs: tuple[str, str]) -> TuneJob:
    return search_of(TEXT, *pairs)


def result(
    value: float | None,
    state: Ending = "complete",
    *,
    distance: float | None = 0.5,
    completed: int = 3,
    epoch: int = 6,
    seconds: float = 1.0,
) -> Result:
    """Of three seeds, with 15 generator steps an epoch."""
    score = TrialScore(value=value, distance=distance, spread=0.0, seeds=3, completed=completed, diameter=9.0)
    return Result(state, score, epoch=epoch, member_steps=15 * epoch, seconds=seconds)


def ask(study: OptunaStudy) -> tuple[int, Parameters]:
    asked = study.ask()
    assert asked is not None
    return asked


def tell(study: OptunaStudy, *values: float) -> None:
    """As many complete trials, one after another."""
    for value in values:
        study.finish(ask(study)[0], result(value))


def suggested(study: OptunaStudy) -> list[Parameters]:
    """All that a study asks for, each told a value when it is asked."""
    found = []
    while (asked := study.ask()) is not None:
        number, parameters = asked
        found.append(parameters)
        study.finish(number, result(far_from_the_middle(parameters)))
    return found


def far_from_the_middle(parameters: Parameters) -> float:
    """An objective that is least inside every range."""
    middles = {"constant.sigma": 0.1, "linear.start": 0.9, "linear.end": 0.4, "r1.gamma": 10.0}
    return 1.0 + sum(math.log((parameters[name] + 0.1) / m) ** 2 for name, m in middles.items() if name in parameters)


def num_finished(study: OptunaStudy) -> int:
    return len(analysis.finished(study.trials()))


def value_of(trial: TrialRecord) -> float:
    assert trial.score is not None
    assert trial.score.value is not None
    return trial.score.value


def distinct(points: Sequence[Parameters]) -> int:
    return len({tuple(sorted(point.items())) for point in points})


def kept(storage: Storage) -> optuna.Study:
    """The study as Optuna finds it."""
    return optuna.load_study(study_name="search", storage=storage)


# --- what is suggested


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random"])
def test_a_sampler_suggests_as_many_points_of_the_space_as_there_are_trials(opened: Open, sampler: str) -> None:
    # TPE models from its 11th trial on
    job = make((TRIALS, f"trials: 18, sampler: {sampler}"))
    points = suggested(opened(job))
    assert len(points) == distinct(points) == 18
    assert all(job.space.holds(point) for point in points)
    names = {name for point in points for name in point}
    assert names == {"schedule", "loss", "penalty", "constant.sigma", "linear.start", "linear.end", "r1.gamma"}
    assert all(("r1.gamma" in point) == (point["penalty"] == "r1") for point in points)


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_a_sampler_of_whole_spaces_models_one_family(opened: Open, sampler: str) -> None:
    # a Gaussian process begins with its 11th trial; with several families there is nothing that all trials have
    trials = (TRIALS, f"trials: 13, sampler: {sampler}")
    job = make(ONE_FAMILY, NO_PENALTY, ONE_LOSS, ("end: 0.0", "end: {low: 0, high: 1}"), trials)
    points = suggested(opened(job))
    assert len(points) == distinct(points) == 13
    assert all(job.space.holds(point) for point in points)
    assert min(far_from_the_middle(point) for point in points[-3:]) < 1.5


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes"])
@pytest.mark.parametrize("log", ["", ", log: true"])
def test_of_what_counts_whole_numbers_are_suggested(opened: Open, sampler: str, log: str) -> None:
    schedule = f"overconfidence: {{rate: 1, longest: {{low: 100, high: 500{log}}}, target: {{low: 0, high: 0.9}}}}"
    counting = (CONSTANT, f"    {schedule}\n"), (LINEAR, "")
    job = make(*counting, NO_PENALTY, ONE_LOSS, (TRIALS, f"trials: 9, sampler: {sampler}"))
    points = suggested(opened(job))
    assert distinct(points) == 9
    assert all(job.space.holds(point) for point in points)
    assert {type(point["overconfidence.longest"]) for point in points} == {int}
    for point in points:
        assert sigma_of(point).schedule.given()["longest"] == point["overconfidence.longest"]


def test_a_penalty_of_ones_own_that_counts_is_given_whole_numbers(opened: Open) -> None:
    own = (NO_PENALTY[0], '  penalty: {"tests.search.own:Repeated": {times: {low: 2, high: 40}}}\n')
    points = suggested(opened(make(own, ONE_LOSS)))
    assert {type(point["tests.search.own:Repeated.times"]) for point in points} == {int}
    fixed = make((NO_PENALTY[0], '  penalty: {"tests.search.own:Repeated": {times: 3}}\n'))
    assert [penalty_of(point) for point in fixed.space.points(1)] == [Repeated(times=3)] * 4


def test_what_is_asked_for_together_is_distinct(opened: Open) -> None:
    study = opened(make((TRIALS, "trials: 20")))
    assert distinct([ask(study)[1] for _ in range(20)]) == 20
    assert study.ask() is None


def test_a_search_is_that_of_its_seed(store: Store) -> None:
    jobs = [make((TRIALS, f"trials: 4, seed: {seed}")) for seed in (0, 0, 1)]
    first, again, other = (suggested(open_study(job, store, optuna.storages.InMemoryStorage())) for job in jobs)
    assert first == again
    assert distinct([*first, *other]) == 8


GRID = (NO_PENALTY, (TRIALS, "trials: 40, sampler: grid, points: 3"))


def test_a_grid_is_asked_for_point_by_point_and_nothing_else(opened: Open) -> None:
    job = make(*GRID)
    points = suggested(opened(job))
    assert len(points) == distinct(points) == (3 + 3) * 2  # constants and lines; losses
    assert distinct([*points, *job.space.points(3)]) == 12


def test_a_grid_goes_on_where_it_was(store: Store) -> None:
    job = make(*GRID)
    study = open_study(job, store, None)
    before = [ask(study) for _ in range(5)]
    for number, _ in before[:3]:
        study.finish(number, result(1.0))
    points = suggested(open_study(job, store, None))
    assert points[:2] == [parameters for _, parameters in before[3:]]  # asked for, and not told
    assert len(points) == 12 - 3
    assert distinct([*points, *(parameters for _, parameters in before)]) == 12
    again = open_study(job, store, None)
    assert again.ask() is None
    assert again.is_complete


def test_a_finer_grid_adds_the_points_between(opened: Open) -> None:
    coarse = suggested(opened(make(*GRID)))
    finer = suggested(opened(make(GRID[0], (TRIALS, "trials: 40, sampler: grid, points: 5"))))
    assert len(finer) == 20 - 12
    assert distinct([*coarse, *finer]) == 20


def test_a_grid_over_another_range_is_tried_whole(opened: Open) -> None:
    before = suggested(opened(make(*GRID, ("high: 2}", "high: 1}"))))
    job = make(*GRID)
    after = suggested(opened(job))
    assert distinct([*before, *after]) == 12 + 2 * 2  # the middle and the end of either loss's lines are others
    assert all(point in [*before, *after] for point in job.space.points(3))
    assert opened(job).is_complete


# --- going on after a kill


def test_trials_that_were_under_way_are_given_back_and_new_ones_are_new(store: Store) -> None:
    job = make((TRIALS, "trials: 9, sampler: random"))
    study = open_study(job, store, None)
    first = [ask(study) for _ in range(4)]
    study.finish(first[1][0], result(1.0))
    again = open_study(job, store, None)
    assert [ask(again) for _ in range(3)] == [first[0], first[2], first[3]]
    second = [ask(again) for _ in range(2)]
    third = open_study(job, store, None)
    assert [ask(third) for _ in range(5)] == [first[0], first[2], first[3], *second]
    new = [ask(third) for _ in range(3)]
    assert [number for number, _ in (*second, *new)] == [4, 5, 6, 7, 8]
    assert distinct([parameters for _, parameters in (*first, *second, *new)]) == 9
    assert third.ask() is None


def test_a_kill_while_a_trial_is_invented_leaves_a_whole_trial(
    opened: Open, memory: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make()
    study = opened(job)

    def dying(*arguments: Any, **options: Any) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Trial, "suggest_float", dying)
        with pytest.raises(KeyboardInterrupt):
            study.ask()
    half = kept(memory).trials[0].params
    assert set(half) == {"schedule", "loss", "penalty"}
    number, parameters = ask(opened(job))
    assert number == 0
    assert half.items() <= parameters.items()
    assert job.space.holds(parameters)


def test_what_is_known_of_a_search_is_known_after_reopening(store: Store) -> None:
    job = make((TRIALS, "trials: 5"))
    study = open_study(job, store, None)
    tell(study, 3.0, 1.0, 2.0)
    study.finish(ask(study)[0], result(0.5, "pruned", epoch=2))
    again = open_study(job, store, None)
    assert (num_finished(again), analysis.num_pruned(again.trials()), again.is_complete) == (4, 1, False)
    assert best(again.trials(), 9) == best(study.trials(), 9)
    assert [value_of(trial) for trial in best(again.trials(), 9)] == [1.0, 2.0, 3.0]
    assert analysis.share_of_member_steps(again.trials(), 6) == analysis.share_of_member_steps(study.trials(), 6)
    tell(again, 4.0)
    assert again.is_complete


OTHERS = [
    ("width: 8", "width: 9", "networks.width: 8 -> 9"),
    ("{name: ring}", "{name: ring, modes: 7}", "problem.modes: 8 -> 7"),
    ("batch: 16", "batch: 32", "batch: 16 -> 32"),
    ("epochs: 6", "epochs: 9", "epochs: 6 -> 9; "),  # and so the stages
    ("seeds: 3", "seeds: 4", "seeds: 3 -> 4"),
    ("bound: paper", "bound: sharp", "objective.bound: paper -> sharp"),
    ("bound: paper", "bound: paper, reduce: mean", "objective.reduce: median -> mean"),
    ("bound: paper", "bound: paper, sigma: 0.3", "objective.sigma: best -> 0.3"),
    ("bound: paper", "bound: paper, minimise: [bound, seconds]", "objective.minimise: + seconds"),
    ("objective:", "evaluation: {draws: 60}\nobjective:", "evaluation.draws: 2000 -> 60"),
    ("seeds: 3", "seeds: 3, report: [3]", "stages: + 3, - 2, - 4"),
    ("[minimax, hinge]", "[hinge]", "choices.loss: - minimax"),
    ("constant: {sigma: {low: 0.01, high: 1, log: true}}", "cosine: {start: 1, end: 0}", "choices.schedule: "),
    (*NO_PENALTY, "choices.penalty: - none, - r1"),
    # Optuna keeps a parameter on one scale
    ("high: 2}", "high: 2, log: true}", "scales.linear.start: even -> log"),
    ("gamma: {low: 1, high: 100, log: true}", "gamma: 5", "scales.r1.gamma: log -> even"),
]


def test_another_setting_is_another_search_and_refused(store: Store) -> None:
    tell(open_study(make(), store, None), 1.0)
    for old, new, change in OTHERS:
        with pytest.raises(HarnessError, match="give this job another name") as error:
            open_study(make((old, new)), store, None)
        assert change in str(error.value)
    assert num_finished(open_study(make(), store, None)) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds: 3", "seeds: 3, sampler: random"),
        ("seeds: 3", "seeds: 3, pruner: halving"),
        ("seeds: 3", "seeds: 3, seed: 7"),
        ("seeds: 3", "seeds: 3, report: [2, 4]"),  # as `auto` has it
        ("seeds: 3", "seeds: 3, finalists: 1, finalist_seeds: 0, confirmation_seeds: 1"),
        ("objective:", "resources: {pack: 2}\nobjective:"),
        ("bound: paper", "reduce: median"),  # as the default has it
        ("end: 0.0", "end: 0.1"),
        ("end: 0.0", "end: 0.0, fraction: {low: 0.5, high: 1}"),
        ("  loss:", "  learning_rate: {low: 0.001, high: 0.1}\n  loss:"),
    ],
)
def test_what_leaves_values_comparable_may_change(opened: Open, old: str, new: str) -> None:
    before = opened(make())
    tell(before, 1.0, 2.0)
    job = make((old, new))
    num_kept = sum(job.space.holds(trial.parameters) for trial in before.trials())
    points = suggested(opened(job))
    assert len(points) == 6 - num_kept
    assert all(job.space.holds(point) for point in points)


def test_a_learning_rate_may_be_searched_from_now_on_on_a_log_scale(opened: Open) -> None:
    tell(opened(make()), 1.0)
    axis = "  learning_rate: {low: 0.001, high: 0.1, log: true}\n  loss:"
    assert "learning_rate" in ask(opened(make(("  loss:", axis))))[1]


def test_a_parameter_that_comes_and_goes_keeps_its_scale(opened: Open) -> None:
    fraction = "end: 0.0, fraction: {low: 0.5, high: 1"
    for space in ("end: 0.0", fraction + "}", "end: 0.0"):
        tell(opened(make(ONE_FAMILY, ("end: 0.0", space))), 1.0)
    with pytest.raises(HarnessError, match=r"linear\.fraction: even -> log"):
        opened(make(ONE_FAMILY, ("end: 0.0", fraction + ", log: true}")))


def test_more_trials_may_be_wanted_and_fewer(opened: Open) -> None:
    assert len(suggested(opened(make((TRIALS, "trials: 3"))))) == 3
    assert len(suggested(opened(make((TRIALS, "trials: 5"))))) == 2
    fewer = opened(make((TRIALS, "trials: 4")))
    assert fewer.ask() is None
    assert fewer.is_complete


def test_a_range_may_change(opened: Open) -> None:
    space = (ONE_FAMILY, NO_PENALTY, ONE_LOSS)
    before = suggested(opened(make(*space, (TRIALS, "trials: 12"))))
    elsewhere = make(*space, (TRIALS, "trials: 8"), ("low: 0.05, high: 2", "low: 3, high: 4"))
    after = suggested(opened(elsewhere))
    assert all(0.05 <= point["linear.start"] <= 2 for point in before)
    assert all(3 <= point["linear.start"] <= 4 for point in after)
    assert len(after) == distinct(after) == 8


NARROW = make(ONE_FAMILY, NO_PENALTY, ONE_LOSS)
ELSEWHERE = make(ONE_FAMILY, NO_PENALTY, ONE_LOSS, ("low: 0.05, high: 2", "low: 3, high: 4"))


def test_a_search_whose_space_has_changed_is_not_answered_by_the_old_one(
    opened: Open, store: Store, memory: Storage
) -> None:
    """As for fixed values, so for ranges: what was found outside is not the best, and is said to be left out."""
    tell(opened(NARROW), *[1.0] * 6)
    said: list[str] = []
    study = open_study(ELSEWHERE, store, memory, announce=said.append)
    assert said[0].startswith("trials that lie outside of the space as it is now: 6; they count neither")
    assert num_finished(study) == 0
    tell(study, *[2.0] * 6)
    assert study.ask() is None
    assert {value_of(trial) for trial in best(study.trials(), 9)} == {2.0}
    assert num_finished(study) == 6
    wide = make(ONE_FAMILY, NO_PENALTY, ONE_LOSS, ("low: 0.05, high: 2", "low: 0.05, high: 4"), (TRIALS, "trials: 12"))
    said.clear()
    both = open_study(wide, store, memory, announce=said.append)
    assert (both.is_complete, num_finished(both), said) == (True, 12, [])
    assert {value_of(trial) for trial in best(both.trials(), 9)} == {1.0, 2.0}


def test_another_fixed_value_is_searched_afresh(opened: Open) -> None:
    roth = "  penalty: {roth: {gamma: 0.01}}\n"
    text = (ONE_FAMILY, (NO_PENALTY[0], roth), ONE_LOSS)
    tell(opened(make(*text)), *[1.0] * 6)
    again = opened(make(*text, ("gamma: 0.01", "gamma: 0.02")))
    assert {point["roth.gamma"] for point in suggested(again)} == {0.02}
    assert again.is_complete
    assert num_finished(again) == 6
    assert all(trial.parameters["roth.gamma"] == 0.02 for trial in best(again.trials(), 9))


def test_what_was_under_way_in_another_space_is_dropped(opened: Open) -> None:
    before = opened(NARROW)
    for _ in range(3):
        ask(before)
    points = suggested(opened(ELSEWHERE))
    assert len(points) == 6
    assert all(ELSEWHERE.space.holds(point) for point in points)


def test_points_of_a_grid_that_were_dropped_are_tried_where_the_range_comes_back(opened: Open) -> None:
    grid = (TRIALS, "trials: 40, sampler: grid, points: 3")
    space = (ONE_FAMILY, NO_PENALTY, ONE_LOSS, grid)
    there, back = make(*space, ("low: 0.05, high: 2", "low: 3, high: 4")), make(*space)
    tell(opened(back), 1.0)  # and two points wait
    assert [point["linear.start"] for point in suggested(opened(there))] == [3, 3.5, 4]
    assert len(suggested(opened(back))) == 2
    assert opened(back).is_complete


# --- what is pruned


def stages_passed(study: OptunaStudy, *values: float) -> list[bool]:
    """The verdicts on a trial of these values, the last of which is its end's."""
    number, _ = ask(study)
    verdicts: list[bool] = []
    for stage, value in enumerate(values[:-1]):
        verdicts.append(bool(study.report(number, stage=stage, value=value)))
        if verdicts[-1]:
            study.finish(number, result(value, "pruned", epoch=2))
            return verdicts
    study.finish(number, result(values[-1]))
    return verdicts


def test_the_median_gives_up_what_is_worse_than_half_of_five_complete_trials(opened: Open) -> None:
    study = opened(make((TRIALS, "trials: 40, pruner: median")))
    for values in [(1, 10, 1), (2, 20, 2), (3, 30, 3), (4, 40, 4)]:
        assert stages_passed(study, *values) == [False, False]
    assert stages_passed(study, 99, 99, 99) == [False, False]  # there are four
    # now the medians are those of 1 2 3 4 99 and 10 20 30 40 99
    assert stages_passed(study, 3.1, 0, 0) == [True]
    assert stages_passed(study, 3.0, 29, 3) == [False, False]
    # one more complete trial: 1 2 3 3 4 99 and 10 20 29 30 40 99; a trial counts with its best so far
    assert stages_passed(study, 3.01, 0, 0) == [True]
    assert stages_passed(study, 2.9, 99, 3) == [False, False]
    assert analysis.num_pruned(study.trials()) == 2


def test_halving_keeps_the_better_half_of_what_came_so_far(opened: Open) -> None:
    study = opened(make((TRIALS, "trials: 40, pruner: halving")))
    assert stages_passed(study, 5, 50, 1) == [False, False]  # the first is the best so far
    assert stages_passed(study, 4, 40, 1) == [False, False]  # 4 | 5 and 40 | 50
    assert stages_passed(study, 6, 0, 0) == [True]  # 4 | 5 6: of three one is kept
    assert stages_passed(study, 3, 30, 1) == [False, False]  # 3 4 | 5 6 and 30 | 40 50
    assert stages_passed(study, 4.5, 0, 0) == [True]  # 3 4 | 4.5 5 6
    assert stages_passed(study, 4.2, 45, 0) == [False, True]  # 3 4 4.2 | 4.5 5 6, then 30 40 | 45 50
    assert stages_passed(study, 1, 45, 0) == [False, True]  # 1 3 4 | 4.2 4.5 5 6, then 30 40 | 45 45 50
    assert analysis.num_pruned(study.trials()) == 4


def test_halving_judges_at_every_report(opened: Open) -> None:
    study = opened(make((TRIALS, "trials: 40, pruner: halving, report: [1, 2, 3]")))
    assert stages_passed(study, 5, 50, 500, 1) == [False, False, False]
    assert stages_passed(study, 4, 40, 400, 1) == [False, False, False]
    assert stages_passed(study, 3, 30, 450, 0) == [False, False, True]  # 400 | 450 500


@pytest.mark.parametrize(
    "settings", [((TRIALS, "trials: 40, pruner: none"),), ((TRIALS, "trials: 40"), TWO_OBJECTIVES)]
)
def test_without_a_pruner_nothing_is_pruned(opened: Open, settings: Sequence[tuple[str, str]]) -> None:
    study = opened(make(*settings))
    for value in range(8):
        assert stages_passed(study, 10.0**value, 10.0**value, 1.0) == [False, False]
    assert analysis.num_pruned(study.trials()) == 0


@pytest.mark.filterwarnings("error")
def test_the_median_gives_up_again_what_a_kill_kept_it_from_telling(store: Store) -> None:
    job = make((TRIALS, "trials: 40, pruner: median"))
    study = open_study(job, store, None)
    for value in (1, 2, 3, 4, 5):
        stages_passed(study, value, value, value)
    number, _ = ask(study)
    assert study.report(number, stage=0, value=3.5)
    again = open_study(job, store, None)
    assert ask(again)[0] == number
    assert again.report(number, stage=0, value=3.5)


@pytest.mark.filterwarnings("error")
def test_halving_gives_up_again_what_a_kill_kept_it_from_telling(opened: Open) -> None:
    job = make((TRIALS, "trials: 40, pruner: halving"))
    study = opened(job)
    stages_passed(study, 1, 1, 1)
    number, _ = ask(study)
    assert study.report(number, stage=0, value=2.0)
    again = opened(job)
    assert ask(again)[0] == number
    assert again.report(number, stage=0, value=2.0)


def test_a_study_of_an_earlier_version_is_read(store: Store, memory: Storage) -> None:
    job = make((TRIALS, "trials: 9, pruner: median"))
    open_study(job, store, memory)  # with the identity it should have
    study = kept(memory)
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    scale = optuna.distributions.FloatDistribution(0.01, 1, log=True)
    chosen = {"schedule": ["constant", "linear"], "loss": ["minimax", "hinge"], "penalty": ["none", "r1"]}
    choices = {name: optuna.distributions.CategoricalDistribution(names) for name, names in chosen.items()}
    point = {"schedule": "constant", "loss": "hinge", "penalty": "none", "constant.sigma": 0.1}
    attributes = {
        "value": 2.0,
        "distance": 0.5,
        "spread": 0.25,
        "seeds": 3,
        "completed": 2,
        "diameter": 9.0,
        "epoch": 6,
        "member_steps": 90,
        "seconds": 1.0,
    }
    for source in ({}, {"source": "swept"}):
        shared: dict[str, Any] = {"params": point, "distributions": {**choices, "constant.sigma": scale}}
        study.add_trial(
            optuna.trial.create_trial(
                **shared, value=2.0, intermediate_values={1: 5.0, 2: 4.0}, user_attrs={**attributes, **source}
            )
        )
    study.enqueue_trial(point, user_attrs={"suggested_by": "swept"})
    trial = study.ask()
    trial.report(99.0, 1)
    trial.report(99.0, 2)
    trial.set_user_attr("given_up", 1)
    again = open_study(job, store, memory)
    score = TrialScore(value=2.0, distance=0.5, spread=0.25, seeds=3, completed=2, diameter=9.0)
    whole = TrialRecord(
        number=0,
        state="complete",
        parameters=point,
        score=score,
        values=(2.0,),
        reports={0: 5.0, 1: 4.0},
        epoch=6,
        member_steps=90,
    )
    first, told, running = again.trials()
    assert first == whole
    assert told == dataclasses.replace(whole, number=1, source="swept")
    assert (running.state, running.parameters, running.reports) == ("running", point, {0: 99.0, 1: 99.0})
    assert (running.score, running.suggested_by) == (None, "swept")
    number, parameters = ask(again)
    assert (number, parameters) == (2, point)
    assert not again.report(2, stage=0, value=99.0)
    assert again.report(2, stage=1, value=99.0)


# --- what comes of it


def test_a_trial_that_failed_has_no_value(opened: Open, memory: Storage) -> None:
    study = opened(make())
    tell(study, 5.0)
    study.finish(ask(study)[0], result(0.1, "fail"))
    study.finish(ask(study)[0], result(None, "fail", distance=None))
    assert [trial.values for trial in kept(memory).trials] == [[5.0], None, None]
    assert [value_of(trial) for trial in best(study.trials(), 9)] == [5.0]
    assert (num_finished(study), analysis.num_pruned(study.trials())) == (3, 0)


def test_the_best_are_of_least_value_and_of_a_family(opened: Open) -> None:
    study = opened(make((TRIALS, "trials: 12, sampler: random")))
    values = [7.0, 3.0, 9.0, 1.0, 8.0, 2.0, 6.0, 5.0]
    families = []
    for value in values:
        number, parameters = ask(study)
        families.append(parameters["schedule"])
        study.finish(number, result(value))
    study.finish(ask(study)[0], result(0.5, "pruned"))
    assert [trial.number for trial in best(study.trials(), 4)] == [3, 5, 1, 7]
    for family in ("constant", "linear"):
        expected = sorted(value for value, own in zip(values, families, strict=True) if own == family)
        found = best(study.trials(), 9, family=family)
        assert expected
        assert [value_of(trial) for trial in found] == expected
        assert {trial.parameters["schedule"] for trial in found} == {family}
    assert best(study.trials(), 1, family="cosine") == []


def test_trials_of_equal_parameters_are_one_finalist(opened: Open) -> None:
    study = opened(make(ONE_FAMILY, NO_PENALTY, ONE_LOSS, ("{low: 0.05, high: 2}", "0.5")))
    tell(study, 2.0, 1.0, 3.0)
    assert [(trial.number, value_of(trial)) for trial in best(study.trials(), 9)] == [(1, 1.0)]


def test_the_share_of_steps_is_of_what_whole_trials_would_have_taken(opened: Open) -> None:
    study = opened(make())
    assert analysis.share_of_member_steps(study.trials(), 6) == 1
    ends: list[tuple[int, Ending]] = [(6, "complete"), (2, "pruned"), (4, "pruned"), (2, "fail")]
    for epoch, state in ends:
        study.finish(ask(study)[0], result(1.0, state, epoch=epoch))
    assert analysis.share_of_member_steps(study.trials(), 6) == pytest.approx((6 + 2 + 4 + 2) / (4 * 6))


def test_the_rank_correlation_is_spearmans_over_all_trials_without_a_lost_seed(opened: Open) -> None:
    study = opened(make((TRIALS, "trials: 9")))
    values, distances = [5.0, 3.0, 4.0, 9.0, 1.0, 3.0], [0.5, 0.4, 0.6, 0.8, 0.3, 0.35]  # with a tie
    states: list[Ending] = ["complete", "complete", "pruned", "complete", "complete", "complete"]
    for bound, distance, state in zip(values, distances, states, strict=True):
        study.finish(ask(study)[0], result(bound, state, distance=distance))
    study.finish(ask(study)[0], result(0.1, distance=9.0, completed=2))  # both are the diameter's
    study.finish(ask(study)[0], result(None, "fail", distance=None, completed=0))
    expected = float(spearmanr(values, distances).statistic)
    assert 0 < expected < 1
    assert analysis.rank_correlation(study.trials()) == pytest.approx(expected)


def test_reports_are_correlated_with_the_ends_of_whole_trials(opened: Open) -> None:
    study = opened(make((TRIALS, "trials: 9, pruner: none, report: [1, 2, 5]")))
    whole = [(5, 4, 1, 1), (4, 5, 2, 2), (3, 1, 5, 3), (2, 2, 4, 4), (1, 3, 3, 5)]
    for values in whole:
        stages_passed(study, *values)
    pruned, _ = ask(study)
    study.report(pruned, stage=0, value=99.0)
    study.finish(pruned, result(99.0, "pruned", epoch=1))
    *reports, ends = zip(*whole, strict=True)
    expected = {epoch: spearmanr(values, ends).statistic for epoch, values in zip((1, 2, 5), reports, strict=True)}
    assert expected[1] == pytest.approx(-1)
    assert analysis.report_correlations(study.trials(), (1, 2, 5, 6)) == pytest.approx(expected)


@pytest.mark.parametrize("values", [(1.0, 2.0), (1.0, 1.0, 1.0)])
def test_the_rank_correlation_of_too_few_or_equal_values_is_unknown(opened: Open, values: Sequence[float]) -> None:
    study = opened(make())
    for index, value in enumerate(values):
        study.finish(ask(study)[0], result(value, distance=0.1 * index))
    assert math.isnan(analysis.rank_correlation(study.trials()))


def test_the_front_is_what_no_trial_is_better_than_in_both(opened: Open) -> None:
    study = opened(make((TRIALS, "trials: 16"), TWO_OBJECTIVES))
    draw = random.Random(0)
    told = {}
    for _ in range(14):
        number, parameters = ask(study)
        told[number] = (float(draw.randint(1, 6)), float(draw.randint(1, 6)), parameters)
        study.finish(number, result(told[number][0], seconds=told[number][1]))
    study.finish(ask(study)[0], result(0.5, "fail", seconds=0.1))  # better than all, were it sound

    def is_beaten(bound: float, seconds: float) -> bool:
        others = [(b, s) for b, s, _ in told.values() if (b, s) != (bound, seconds)]
        return any(b <= bound and s <= seconds for b, s in others)

    expected = {number for number, (bound, seconds, _) in told.items() if not is_beaten(bound, seconds)}
    front = analysis.front(study.trials(), ("bound", "seconds"))
    assert 1 < len(expected) < 14
    assert {row["trial"] for row in front} == expected
    assert [row["bound"] for row in front] == sorted(row["bound"] for row in front)
    for row in front:
        bound, seconds, parameters = told[row["trial"]]
        assert row == {"trial": row["trial"], "bound": bound, "seconds": seconds, **parameters}


def test_a_single_objective_has_no_front(opened: Open) -> None:
    study = opened(make())
    tell(study, 1.0, 2.0)
    assert analysis.front(study.trials(), ("bound",)) == []


def test_a_search_knows_how_far_it_is(opened: Open) -> None:
    study = opened(make())
    study.finish(ask(study)[0], result(None, "fail", distance=None))
    assert study.standing() == Standing(num_done=1, num_wanted=6, objective="bound_best")
    tell(study, 2.5)
    study.finish(ask(study)[0], result(1.0, "pruned"))
    found = study.standing()
    assert (found.num_done, found.num_wanted, found.num_pruned, found.best, found.best_trial) == (3, 6, 1, 2.5, 1)
    assert found.best_schedule == schedule_text(sigma_of(study.trials()[1].parameters))


# --- importances


def row(value: float | None, state: Ending = "complete", **parameters: Any) -> dict[str, Any]:
    """A row of the ``trials`` view; of parameters, double underscores stand for dots."""
    named = {name.replace("__", "."): item for name, item in parameters.items()}
    return {"state": state, "family": named["schedule"], "value": value, "parameters": json.dumps(named)}


def lines(objective: Callable[[float, float, str, str], float], *, num: int = 40) -> list[dict[str, Any]]:
    """Complete trials at random points: the objective is a function of sigma's ends, the family and the loss."""
    draw = random.Random(1)
    rows = []
    for _ in range(num):
        start, end = draw.random(), draw.random()
        family, loss = draw.choice(["linear", "cosine"]), draw.choice(["minimax", "hinge"])
        own: dict[str, Any] = {f"{family}__start": start, f"{family}__end": end}
        rows.append(row(objective(start, end, family, loss), schedule=family, loss=loss, **own))
    return rows


OBJECTIVES: Mapping[str, Callable[[float, float, str, str], float]] = {
    "sigma at the start": lambda start, end, family, loss: 1 + (start - 0.3) ** 2,
    "sigma at the end": lambda start, end, family, loss: 2 - end,
    "schedule": lambda start, end, family, loss: 1.0 + (family == "cosine"),
    "loss": lambda start, end, family, loss: 1.0 + (loss == "hinge"),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_alone_matters_has_the_importance(name: str) -> None:
    shares = importances(lines(OBJECTIVES[name]))
    assert set(shares) == {*OBJECTIVES, "sigma half way"}
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == name
    assert shares[name] > 0.9


def test_sigma_half_way_is_that_of_the_schedule() -> None:
    draw = random.Random(3)
    points = [(draw.random(), draw.random()) for _ in range(60)]
    # (start + end) / 2 for a line
    rows = [row(abs(a + b - 1), schedule="linear", linear__start=a, linear__end=b, loss="hinge") for a, b in points]
    shares = importances(rows)
    assert set(shares) == {"sigma at the start", "sigma half way", "sigma at the end"}  # the rest never varies
    assert next(iter(shares)) == "sigma half way"


def test_importances_need_eight_complete_trials_of_a_schedule() -> None:
    rows = lines(OBJECTIVES["loss"], num=8)
    others = [
        *(row(index, "pruned", schedule="linear", linear__start=0.1 * index, linear__end=0.0) for index in range(9)),
        row(None, "fail", schedule="linear", linear__start=0.5, linear__end=0.5),
        # sigma is not a function of time
        row(1, schedule="adaptive", adaptive__start=0.5, adaptive__target=0.6, adaptive__rate=2.0, loss="hinge"),
    ]
    assert importances([*others, *rows]) == importances(rows) != {}
    assert importances([*others, *rows[:7]]) == {}
    assert importances(others) == importances([]) == {}
    assert importances([row(index, schedule="constant", constant__sigma=0.5) for index in range(9)]) == {}


def test_importances_of_a_constant_objective_are_none() -> None:
    assert not any(importances(lines(lambda start, end, family, loss: 2.0)).values())


# --- storage


@pytest.mark.parametrize("url", ["nonsense", "nonsense://host/name", "sqlite:////no/such/folder/study.db"])
def test_a_storage_that_cannot_be_used_is_named(store: Store, url: str) -> None:
    with pytest.raises(HarnessError, match="cannot be used") as error:
        open_study(make(), store, url)
    assert str(error.value).startswith(f"--storage {url}: ")


def test_a_password_is_not_repeated(store: Store) -> None:
    with pytest.raises(HarnessError, match="cannot be used") as error:
        open_study(make(), store, "postgresql://user:secret@127.0.0.1:1/none")  # where nothing listens
    assert "secret" not in str(error.value)


def test_results_that_are_no_folder_need_a_storage(store: Store) -> None:
    with pytest.raises(HarnessError, match="--storage URL"):
        open_study(make(), Store(f"file://{store.absolute_root}"), None)


def test_a_study_is_where_the_storage_says(store: Store) -> None:
    url = f"sqlite:///{store.root}.db"
    tell(open_study(make(), store, url), 1.0)
    assert num_finished(open_study(make(), store, url)) == 1
    assert num_finished(open_study(make(), store, None)) == 0
    with pytest.raises(HarnessError, match=f"the study in {url} was made with other settings"):
        open_study(make(("width: 8", "width: 9")), store, url)


def test_a_study_without_trials_has_no_settings_to_keep_to(opened: Open) -> None:
    opened(make())
    assert opened(make(("width: 8", "width: 9"))).trials() == []

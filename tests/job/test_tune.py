"""Spaces and objectives of a search: which points there are, the cells they become, and what is refused where."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest

from harness.errors import JobError
from harness.job.parts.noise import MixedLevels, NoiseSchedule
from harness.job.parts.optimizers import SGD
from harness.job.parts.penalties import R1, R1R2, Dragan, NoPenalty, WeightClip
from harness.job.parts.schedules import Linear
from harness.job.reading import dump_job, parse_job
from harness.job.space import Parameters, Range, Space, WholeRange, schedule_text
from harness.job.tune import TuneJob
from harness.planning.cells import Cell
from harness.planning.grid import expand
from harness.storage.records import CELLS
from tests.searches import HEAD, changed, search_of

TEXT = (
    HEAD
    + """\
epochs: 6
space:
  schedule:
    constant: {sigma: {low: 0.01, high: 1, log: true}}
    linear: {start: {low: 0.05, high: 2}, end: 0.0}
  loss: [minimax]
objective: {bound: paper}
search: {trials: 6, seeds: 3}
"""
)
LOSS, OBJECTIVE, SEARCH = "  loss: [minimax]\n", "{bound: paper}", "{trials: 6, seeds: 3}"


def make(*pairs: tuple[str, str]) -> TuneJob:
    return search_of(TEXT, *pairs)


def with_axes(text: str) -> tuple[str, str]:
    """The space with further lines."""
    return LOSS, LOSS + text


# --- ranges


def test_points_of_an_even_range_are_equally_far_apart() -> None:
    assert Range(low=0.05, high=2.0).points(4) == pytest.approx([0.05, 0.7, 1.35, 2.0])


def test_points_of_a_log_range_have_equal_ratios() -> None:
    points = Range(low=0.01, high=1.0, log=True).points(5)
    assert points == pytest.approx([0.01, 0.1 / math.sqrt(10), 0.1, 1 / math.sqrt(10), 1.0])


def test_a_range_of_two_points_is_its_ends_and_of_one_its_low_end() -> None:
    for log in (False, True):
        assert Range(low=0.5, high=8.0, log=log).points(2) == [0.5, 8.0]
        assert Range(low=0.5, high=8.0, log=log).points(1) == [0.5]


ENDS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.6, 0.7, 0.9, 1.0, 2.0, 3.0, 7.0)


def test_the_points_of_a_range_end_at_its_ends_and_are_in_it() -> None:
    for (low, high), num, log in itertools.product(itertools.combinations(ENDS, 2), (2, 3, 5), (False, True)):
        points = Range(low=low, high=high, log=log).points(num)
        assert (points[0], points[-1]) == (low, high)
        assert all(low <= point <= high for point in points)


COUNTED = ("end: 0.0}", "end: 0.0}\n    overconfidence: {rate: 1, longest: {low: 100, high: 500}}")


def test_the_points_of_what_counts_are_whole_numbers_once_each() -> None:
    job = make(COUNTED)
    longest = job.space.numbers({"schedule": "overconfidence"})["overconfidence.longest"]
    assert isinstance(longest, Range)
    assert longest.points(4) == [100, 233, 367, 500]  # thirds of 400, rounded
    assert longest.points(1000) == list(range(100, 501))
    few = WholeRange(low=1, high=5, log=True)
    assert few.points(4) == [1, 2, 3, 5]  # 5^(1/3) is 1.7, 5^(2/3) 2.9
    assert few.points(5) == [1, 2, 3, 5]  # 5^(1/4) is 1.495
    assert [few.num_points(num) for num in (1, 4, 5, 9)] == [1, 4, 4, 4]
    for num in (2, 3, 600):
        assert job.space.num_points(num) == len(list(job.space.points(num)))


def test_a_space_holds_no_fraction_of_what_counts() -> None:
    space = make(COUNTED).space
    point = {"schedule": "overconfidence", "loss": "minimax", "overconfidence.rate": 1.0}
    assert space.holds({**point, "overconfidence.longest": 449})
    assert not space.holds({**point, "overconfidence.longest": 449.5})


# --- points of a space

WHOLE: dict[str, Any] = {
    "schedule": {
        "constant": {"sigma": Range(low=0.01, high=1.0, log=True)},
        "linear": {"start": Range(low=0.05, high=2.0), "end": 0.0, "fraction": Range(low=0.5, high=1.0)},
    },
    "loss": ("minimax", "hinge"),
    "penalty": {"none": {}, "r1": {"gamma": Range(low=1.0, high=100.0, log=True)}},
    "learning_rate": 1e-3,
    "discriminator_steps": (1, 5),
}


def test_choices_are_what_is_categorical() -> None:
    assert Space(**WHOLE).choices() == {
        "schedule": ["constant", "linear"],
        "loss": ["minimax", "hinge"],
        "penalty": ["none", "r1"],
        "discriminator_steps": [1, 5],
    }
    assert Space(schedule=WHOLE["schedule"]).choices() == {"schedule": ["constant", "linear"], "loss": ["minimax"]}


@pytest.mark.parametrize(
    ("schedule", "penalty", "names"),
    [
        ("constant", "none", {"constant.sigma", "learning_rate"}),
        ("constant", "r1", {"constant.sigma", "r1.gamma", "learning_rate"}),
        ("linear", "none", {"linear.start", "linear.end", "linear.fraction", "learning_rate"}),
        ("linear", "r1", {"linear.start", "linear.end", "linear.fraction", "r1.gamma", "learning_rate"}),
    ],
)
def test_numbers_of_a_family_are_there_only_with_it(schedule: str, penalty: str, names: set[str]) -> None:
    assert set(Space(**WHOLE).numbers({"schedule": schedule, "penalty": penalty})) == names


def test_the_grid_of_a_space_is_the_product_of_what_can_occur_together() -> None:
    space = Space(**WHOLE)
    points = list(space.points(3))
    # sigma: 3 constants, 3 x 1 x 3 lines; 2 losses; no penalty or 3 gammas; 2 numbers of steps; one rate
    assert len(points) == (3 + 9) * 2 * (1 + 3) * 2
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    assert Counter(point["schedule"] for point in points) == {"constant": 3 * 16, "linear": 9 * 16}
    assert {point["learning_rate"] for point in points} == {1e-3}
    assert {point["linear.end"] for point in points if "linear.end" in point} == {0.0}
    assert sorted({point["r1.gamma"] for point in points if point["penalty"] == "r1"}) == pytest.approx([1, 10, 100])
    assert all(("r1.gamma" in point) == (point["penalty"] == "r1") for point in points)
    assert all(("constant.sigma" in point) == (point["schedule"] == "constant") for point in points)
    assert all(space.holds(point) for point in points)


INSIDE: Parameters = {
    "schedule": "linear",
    "linear.start": 1.0,
    "linear.end": 0.0,
    "linear.fraction": 0.5,
    "loss": "hinge",
    "penalty": "r1",
    "r1.gamma": 100.0,
    "learning_rate": 1e-3,
    "discriminator_steps": 5,
}


@pytest.mark.parametrize(
    "other",
    [
        {"schedule": "cosine"},
        {"linear.start": 0.049},
        {"linear.start": 2.001},
        {"linear.end": 0.1},
        {"linear.fraction": 0.4},
        {"loss": "non_saturating"},
        {"penalty": "r2", "r2.gamma": 1.0},
        {"r1.gamma": 100.001},
        {"learning_rate": 2e-3},
        {"discriminator_steps": 2},
    ],
)
def test_a_space_holds_its_ends_and_nothing_beyond(other: Parameters) -> None:
    space = Space(**WHOLE)
    assert space.holds(INSIDE)
    assert not space.holds({**INSIDE, **other})


def test_a_point_that_lacks_a_parameter_is_not_in_the_space() -> None:
    for name in INSIDE:
        assert not Space(**WHOLE).holds({key: value for key, value in INSIDE.items() if key != name})


def test_a_point_with_a_parameter_that_the_space_lacks_is_not_in_it() -> None:
    space = Space(schedule={"linear": {"start": Range(low=0.05, high=2.0), "end": 0.0}})
    point = {"schedule": "linear", "loss": "minimax", "linear.start": 1.0, "linear.end": 0.0}
    assert space.holds(point)
    assert not space.holds({**point, "linear.fraction": 0.5})


@pytest.mark.parametrize(
    ("old", "new"), [(LOSS, "  loss: [hinge, hinge]\n"), with_axes("  discriminator_steps: [2, 2]\n")]
)
def test_a_choice_may_be_named_once(old: str, new: str) -> None:
    with pytest.raises(JobError, match="duplicate value"):
        parse_job(changed(TEXT, (old, new)))


# --- cells of a point


def cells(job: TuneJob, parameters: Parameters, *, seeds: range = range(1)) -> list[Cell]:
    return expand(job.training_job(job.name, [job.grid(parameters, seeds=seeds)]))


POINT: Parameters = {"schedule": "linear", "loss": "minimax", "linear.start": 1.0, "linear.end": 0.0}


def test_a_point_is_trained_to_the_last_epoch_once_a_seed_under_its_schedule() -> None:
    own = cells(make(), POINT, seeds=range(3))
    assert [(cell.epoch, cell.seed) for cell in own] == [(6, 0), (6, 1), (6, 2)]
    assert {cell.sigma for cell in own} == {NoiseSchedule(schedule=Linear(start=1.0, end=0.0))}
    # 1 - t, where t is the share of the 6 epochs
    assert [own[0].run.sigma_at(epoch) for epoch in (0, 3, 6)] == [1.0, 0.5, 0.0]


def test_a_point_is_trained_to_the_epochs_that_are_named_on_the_way_to_the_same_end() -> None:
    job = make()
    on_the_way = expand(job.training_job("search", [job.grid(POINT, seeds=(0,), epochs=(2, 4, 6))]))
    assert [cell.epoch for cell in on_the_way] == [2, 4, 6]
    assert on_the_way[-1].cell_id == cells(job, POINT)[0].cell_id


def test_what_the_space_leaves_out_is_as_in_training() -> None:
    job = make(("steps_per_epoch: 5}", "steps_per_epoch: 5, discriminator_steps: 3, optimizer: {name: sgd}}"))
    (cell,) = cells(job, POINT)
    assert cell.run.penalty == NoPenalty()
    assert cell.run.optimizer == SGD(name="sgd", learning_rate=0.01)
    assert cell.run.discriminator_steps == 3
    # the loss's default: Arjovsky et al. clip, with five steps of the discriminator
    (clipped,) = cells(make(), {**POINT, "loss": "wasserstein"})
    assert (clipped.run.penalty, clipped.run.discriminator_steps) == (WeightClip(name="weight_clip", limit=0.01), 5)


@pytest.mark.parametrize(
    ("text", "parameters", "penalty"),
    [
        ("{r1: {gamma: {low: 1, high: 9}}}", {"penalty": "r1", "r1.gamma": 3.0}, R1(name="r1", gamma=3.0)),
        ("{r1: {}}", {"penalty": "r1"}, R1(name="r1", gamma=10.0)),
        ("{r1_r2: {gamma: {low: 1, high: 9}}}", {"penalty": "r1_r2", "r1_r2.gamma": 3.0}, R1R2(gamma=3.0)),
        ("{none: {}, r1: {}}", {"penalty": "none"}, NoPenalty()),
        (
            "{dragan: {weight: {low: 1, high: 9}, spread: 0.25}}",
            {"penalty": "dragan", "dragan.weight": 2.0, "dragan.spread": 0.25},
            Dragan(name="dragan", weight=2.0, spread=0.25),
        ),
    ],
)
def test_a_penalty_reaches_the_run_with_its_parameters(text: str, parameters: Parameters, penalty: Any) -> None:
    job = make(with_axes(f"  penalty: {text}\n"))
    point = {**POINT, **parameters}
    assert job.space.holds(point)
    assert job.grid(point, seeds=(0,)).penalty == (penalty,)
    assert [cell.run.penalty for cell in cells(job, point)] == [penalty]


def test_no_penalty_is_not_the_losss_default() -> None:
    point = {**POINT, "loss": "wasserstein"}
    assert cells(make(), point)[0].run.penalty == WeightClip(name="weight_clip")
    assert cells(make(), {**point, "penalty": "none"})[0].run.penalty == NoPenalty()


def test_a_learning_rate_reaches_the_run_and_leaves_the_rest_of_the_optimiser() -> None:
    job = make(("steps_per_epoch: 5}", "steps_per_epoch: 5, optimizer: {name: adam, betas: [0.0, 0.5]}}"))
    (cell,) = cells(job, {**POINT, "learning_rate": 0.025})
    assert cell.run.optimizer.model_dump() == {"name": "adam", "learning_rate": 0.025, "betas": (0.0, 0.5)}


def test_a_family_of_noise_and_its_steps_reach_the_run() -> None:
    (cell,) = cells(make(), {**POINT, "noise": "mixed_levels", "noise_on": "discriminator"})
    assert cell.sigma.noise == MixedLevels()
    assert cell.sigma.noise_on == "discriminator"
    (plain,) = cells(make(), {**POINT, "noise": "truncated", "noise_on": "both"})
    assert plain.cell_id == cells(make(), POINT)[0].cell_id
    assert schedule_text(cell.sigma) == f"{schedule_text(plain.sigma)} mixed_levels discriminator only"


def test_noise_is_a_choice_of_the_space() -> None:
    job = make(with_axes("  noise: [truncated, diffusion]\n  noise_on: [both, discriminator]\n"))
    chosen = {"noise": ["truncated", "diffusion"], "noise_on": ["both", "discriminator"]}
    assert {name: job.space.choices()[name] for name in chosen} == chosen
    points = list(job.space.points(2))
    assert len(points) == (2 + 2) * 2 * 2
    assert all(job.space.holds(point) for point in points)
    assert make(with_axes("  noise: diffusion\n")).space.noise == ("diffusion",)


def test_discriminator_steps_reach_the_run() -> None:
    assert [cells(make(), {**POINT, "discriminator_steps": num})[0].run.discriminator_steps for num in (1, 4)] == [1, 4]


def test_a_schedule_arrives_after_its_fraction_of_training() -> None:
    job = make(("end: 0.0", "end: 0.0, fraction: {low: 0.25, high: 1}"))
    (cell,) = cells(job, {**POINT, "linear.fraction": 0.5})
    # half of 6 epochs: 1 - 2 t, and 0 from the third on
    assert [cell.run.sigma_at(epoch) for epoch in range(7)] == pytest.approx([1, 2 / 3, 1 / 3, 0, 0, 0, 0])
    # the whole of training is what it is without a fraction, and the same cell
    assert cells(job, {**POINT, "linear.fraction": 1.0})[0].cell_id == cells(make(), POINT)[0].cell_id


def test_every_point_of_a_grid_is_a_cell_of_its_own() -> None:
    job = make().model_copy(update={"space": Space(**WHOLE)})
    points = list(job.space.points(2))
    # constants (2 sigmas), lines (2 starts x 2 fractions); 2 losses; none or 2 gammas; 2 numbers of steps
    assert len(points) == (2 + 4) * 2 * 3 * 2
    assert len({cell.cell_id for point in points for cell in cells(job, point)}) == len(points)


def test_a_search_as_a_text_is_the_same_search() -> None:
    job = make(
        with_axes("  penalty: {none: {}, r1: {gamma: {low: 1, high: 10, log: true}}}\n  discriminator_steps: [1, 2]\n"),
        (OBJECTIVE, "{minimise: [bound, seconds], sigma: 0.3}"),
        (SEARCH, "{sampler: gp, report: [2]}"),
    )
    assert parse_job(dump_job(job)) == job


# --- objectives

NOISY_TO_THE_END = ("end: 0.0", "end: 0.1")


@pytest.mark.parametrize(
    ("bound", "best", "final", "distance"),
    [
        ("paper", "bound_best", "bound_paper", "w1"),
        ("sharp", "bound_sharp_best", "bound_sharp", "w1"),
        ("weighted", "bound_weighted_best", "bound_weighted", "w1"),
        ("sliced", "bound_sliced_best", "bound_sliced", "w1_sliced"),
    ],
)
def test_the_minimised_column_is_of_the_bound_at_the_sigma(bound: str, best: str, final: str, distance: str) -> None:
    for sigma, column in (("best", best), ("final", final), ("0.3", best)):
        job = make(NOISY_TO_THE_END, (OBJECTIVE, f"{{bound: {bound}, sigma: {sigma}}}"))
        assert (job.bound, job.distance) == (column, distance)
        assert {job.bound, job.distance} <= set(CELLS.names)


def test_at_a_number_the_bound_is_the_least_over_a_grid_of_that_number() -> None:
    evaluation = ("objective:", "evaluation: {samples: 40, sigmas: [0.1, 0.5]}\nobjective:")
    for text in ("0.3", "1"):
        (cell,) = cells(make(evaluation, (OBJECTIVE, f"{{sigma: {text}}}")), POINT)
        assert cell.evaluation.sigmas == (float(text),)
        assert cell.evaluation.samples == 40
    for text in ("best", "final"):
        (cell,) = cells(make(evaluation, NOISY_TO_THE_END, (OBJECTIVE, f"{{sigma: {text}}}")), POINT)
        assert cell.evaluation.sigmas == (0.1, 0.5)


def test_the_default_bound_is_sliced_for_images_and_paper_elsewhere() -> None:
    plain = (OBJECTIVE, "{}")
    assert make(plain).bound == "bound_best"
    assert make(plain, ("{name: ring}", "{name: digits}")).bound == "bound_sliced_best"
    assert make(("{name: ring}", "{name: digits}")).bound == "bound_best"  # as it says


def test_the_bound_alone_is_minimised_by_default_and_pruned_by_the_median() -> None:
    assert (make().objective.minimise, make().pruner) == (("bound",), "median")
    both = make((OBJECTIVE, "{minimise: [bound, seconds]}"))
    assert (both.objective.minimise, both.pruner) == (("bound", "seconds"), "none")


@pytest.mark.parametrize(
    ("epochs", "stages"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (6, (2, 4, 6)), (7, (2, 4, 7)), (30, (10, 20, 30))]
)
def test_trials_are_judged_at_one_and_two_thirds_unless_nothing_is_pruned(epochs: int, stages: tuple[int]) -> None:
    length = ("epochs: 6", f"epochs: {epochs}")
    assert make(length).stages == stages
    assert make(length, (SEARCH, "{pruner: halving}")).stages == stages
    assert make(length, (SEARCH, "{pruner: none}")).stages == (epochs,)
    assert make(length, (OBJECTIVE, "{minimise: [bound, seconds]}")).stages == (epochs,)


# --- what is refused, and where


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (*with_axes("  penalty: {}\n"), "12:12: space.penalty", "is empty"),
        (*with_axes("  penalty: {r1: {gamma: big}}\n"), "12:25: space.penalty.r1.gamma", "must be a valid number"),
        (
            *with_axes("  discriminator_steps: [0]\n"),
            "12:25: space.discriminator_steps[0]",
            "greater than or equal to 1",
        ),
        (*with_axes("  discriminator_steps: [1, 0]\n"), "12:28: space.discriminator_steps[1]", "got 0"),
        (*with_axes("  noise: [gausian]\n"), "12:11: space.noise[0]", "Did you mean 'gaussian'?"),
        (*with_axes("  noise_on: [generator]\n"), "12:14: space.noise_on[0]", "got 'generator'"),
        (
            f"  loss: [minimax]\nobjective: {OBJECTIVE}",
            "  noise: gaussian\nobjective: {sigma: final}",
            "11:10: space.noise",
            "which gaussian may lack; use sigma: best, or one of truncated, mixed_levels, diffusion",
        ),
        (
            f"low: 0.01, high: 1, log: true}}}}\n    linear: {{start: {{low: 0.05, high: 2}}, end: 0.0}}\n{LOSS}",
            "low: 0, high: 1}}\n  noise_on: [both, discriminator]\n",
            "9:15: space.schedule.constant",
            "there is none at sigma 0",
        ),
        (LOSS, "  loss: [hinge, minimx]\n", "11:17: space.loss[1]", "Did you mean 'minimax'?"),
        ("high: 2}", "hgh: 2}", "10:33: space.schedule.linear.start.hgh", "Did you mean 'high'?"),
        (OBJECTIVE, "{sigma: -1}", "12:20: objective.sigma", "must be greater than 0, got -1"),
        (OBJECTIVE, "{sigma: 0}", "12:20: objective.sigma", "must be greater than 0, got 0"),
        (OBJECTIVE, "{sigma: bst}", "12:20: objective.sigma", "Did you mean 'best'?"),
        (OBJECTIVE, "{sigma: final}", "10:48: space.schedule.linear.end", "may not end at 0"),
        (OBJECTIVE, "{bound: papr}", "12:20: objective.bound", "Did you mean 'paper'?"),
        (
            OBJECTIVE,
            "{minimise: [seconds]}",
            "12:12: objective",
            "must be [bound] or [bound, seconds], got ['seconds']",
        ),
        (OBJECTIVE, "{minimise: []}", "12:12: objective", "must be [bound] or [bound, seconds], got []"),
        (OBJECTIVE, "{minimise: [bound, second]}", "12:31: objective.minimise[1]", "Did you mean 'seconds'?"),
        (SEARCH, "{sampler: tpee}", "13:19: search.sampler", "Did you mean 'tpe'?"),
        (SEARCH, "{pruner: medan}", "13:18: search.pruner", "Did you mean 'median'?"),
        (SEARCH, "{report: [6]}", "13:19: search.report[0]", "a report at epoch 6 is not before the end, 6"),
        (SEARCH, "{report: [2, 7]}", "13:22: search.report[1]", "a report at epoch 7 is not before the end, 6"),
        (SEARCH, "{report: [0]}", "13:19: search.report[0]", "must be greater than or equal to 1"),
        (SEARCH, "{report: atuo}", "13:18: search.report", "Did you mean 'auto'?"),
        # 5 constants and 5 lines
        (SEARCH, "{sampler: grid, trials: 9}", "13:33: search.trials", "the grid has 10 points, more than 9 trials"),
        (SEARCH, "{sampler: grid, points: 25}", "13:9: search.trials", "the grid has 50 points, more than 48 trials"),
        (
            f"{OBJECTIVE}\nsearch: {SEARCH}",
            "{minimise: [bound, seconds]}\nsearch: {pruner: median}",
            "13:18: search.pruner",
            "a search for a Pareto front has no order to prune by; set pruner: none",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, place: str, message: str) -> None:
    with pytest.raises(JobError) as error:
        parse_job(changed(TEXT, (old, new)), source="job.yaml")
    blocks = str(error.value).split("job.yaml:")
    assert [block for block in blocks if block.startswith(f"{place}: ") and message in block], str(error.value)


def test_a_grid_with_no_more_points_than_trials_is_accepted() -> None:
    assert make((SEARCH, "{sampler: grid, trials: 10}")).search.points == 5


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (
            *with_axes("  penalty: {r7: {gamma: 1}}\n"),
            "12:17: space.penalty.r7",
            "unknown penalty 'r7'.\n  Valid: ",
        ),
        (
            *with_axes("  penalty: [r1, none]\n"),
            "12:12: space.penalty",
            "families with their parameters, {FAMILY: {PARAMETER: {low: ..., high: ...}}}: {r1: {}, none: {}}",
        ),
        (*with_axes("  penalty: {sum: [r1, r2]}\n"), "12:12: space.penalty", "a search has no sums; use r1_r2, or a"),
        (
            "sigma: {low: 0.01, high: 1, log: true}",
            "sigma: {schedule: linear, start: 1, end: 0}",
            "9:23: space.schedule.constant.sigma",
            "the families of schedules that are tried stand under space.schedule",
        ),
        (
            *with_axes("  penalty: {r1: {gama: 1}}\n"),
            "12:17: space.penalty.r1",
            "penalty r1 takes gamma; got gama. Did you mean 'gamma'?",
        ),
        (*with_axes("  penalty: {none: {x: 1}}\n"), "12:19: space.penalty.none", "takes no parameters; got x"),
        (
            *with_axes("  penalty: {r1: {gamma: -1}}\n"),
            "12:17: space.penalty.r1",
            "gamma must be greater than or equal to 0, got -1.0",
        ),
        (*with_axes("  penalty: {r1: {gamma: {low: -1, high: 1}}}\n"), "12:17: space.penalty.r1", "or equal to 0"),
        (*with_axes("  penalty: {weight_clip: {limit: 0}}\n"), "12:26: space.penalty.weight_clip", "greater than 0"),
        (
            *with_axes("  penalty: {r1: {gamma: {schedule: cosine, start: 1, end: 0}}}\n"),
            "12:25: space.penalty.r1.gamma",
            "a number that follows a schedule belongs to a grid",
        ),
        (*with_axes("  penalty: {sum: {}}\n"), "12:18: space.penalty.sum", "r1_r2 is r1 and r2 of one gamma"),
        (*with_axes("  penalty: {sum: {sum: 1}}\n"), "12:18: space.penalty.sum", "a sum has no numbers to search"),
        (
            LOSS,
            "  loss: [minimax, hinge]\n  penalty: {none: {}, roth: {gamma: {low: 1, high: 2}}}\n",
            "12:29: space.penalty.roth",
            "loss hinge has another objective: use minimax or non_saturating, or another penalty; search such losses",
        ),
        (
            f"end: 0.0}}\n{LOSS}",
            "end: 0.0}\n    overconfidence: {rate: 1}\n  loss: [minimax, wasserstein]\n",
            "11:21: space.schedule.overconfidence",
            "the discriminator of loss wasserstein does not have; use adaptive, which follows P(r > f) there; search",
        ),
        (*with_axes("  learning_rate: {low: 0, high: 1}\n"), "12:18: space.learning_rate", "must be > 0, got 0"),
        (*with_axes("  learning_rate: 0\n"), "12:18: space.learning_rate", "must be > 0, got 0"),
        (*with_axes("  learning_rate: -1\n"), "12:18: space.learning_rate", "must be > 0, got -1"),
        ("    linear:", "    liner:", "10:12: space.schedule.liner", "Did you mean 'linear'?"),
        ("low: 0.05, high: 2", "low: -1, high: 2", "10:13: space.schedule.linear", "start must be finite and >= 0"),
        (
            "end: 0.0}",
            "end: 0.0}\n    overconfidence: {rate: 1, longest: {low: 100.5, high: 500}}",
            "11:21: space.schedule.overconfidence",
            "longest must be a whole number of steps from 1 to 1000; got 100.5",
        ),
        ("end: 0.0", "end: 0.0, fraction: 2", "10:13: space.schedule.linear", "fraction must be in (0, 1]"),
        (
            "end: 0.0",
            "ende: 0.0",
            "10:13: space.schedule.linear",
            "and may have fraction; got start, ende. Did you mean 'end'?",
        ),
        (SEARCH, "{sampler: cmaes}\n", "13:19: search.sampler", "cmaes has one objective"),
    ],
)
def test_a_family_that_cannot_be_is_named_with_its_place(old: str, new: str, place: str, message: str) -> None:
    minimised = (OBJECTIVE, "{minimise: [bound, seconds]}")
    with pytest.raises(JobError) as error:
        parse_job(changed(TEXT, minimised, (old, new)), source="job.yaml")
    text = str(error.value)
    assert text.startswith(f"job.yaml:{place}: ")
    assert message in text


def test_every_mistake_in_the_families_is_named_at_once() -> None:
    axes = "  penalty: {r7: {}, r1: {gamma: -1}}\n  learning_rate: 0\n"
    with pytest.raises(JobError) as error:
        parse_job(
            changed(TEXT, ("constant:", "constnt:"), with_axes(axes), (SEARCH, "{sampler: grid}")), source="job.yaml"
        )
    places = [block.split(": ")[1] for block in str(error.value).split("job.yaml:")[1:]]
    assert places == ["space.schedule.constnt", "space.penalty.r7", "space.penalty.r1", "space.learning_rate"]

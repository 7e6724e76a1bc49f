"""What is said of a job: numbers of SciPy and the standard library in the right words, and nothing beyond them."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from scipy import stats

import harness.report.sentences
from harness.contrasts.contrast import Seed, contrast, corrected, seeds_needed
from harness.job.reading import dump_job
from harness.report.findings import Findings, findings
from harness.search.tune import tune
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from harness.theory.comparisons import paired_difference
from tests.conftest import PROBE, make_job
from tests.searches import HEAD, search_of
from tests.storage.test_store import cell

Write = Callable[..., None]
LONG = [0.50, 0.12, 0.44, 0.61, 0.15, 0.38, 0.70, 0.11]
MIDDLE = [0.35, 0.14, 0.41, 0.66, 0.10, 0.42, 0.59, 0.16]
SHORT = [0.10, 0.09, 0.12, 0.11, 0.08, 0.10, 0.13, 0.07]
LOG_2 = math.log(2)


@pytest.fixture
def write(store: Store) -> Write:
    """Rows of a schedule each, one per value, with seeds from 0."""

    def written(values: Mapping[str, Sequence[float | None]], *, column: str = "w1", **columns: Any) -> None:
        common = {"real_w1": 0.0625, "data_diameter": 4.0, "bound_holds": True, "bound_best": 2.0} | columns
        rows = []
        for schedule, of_seeds in values.items():
            for seed, value in enumerate(of_seeds):
                own: dict[str, Any] = {"schedule": schedule, "seed": seed, column: value, **common}
                if value is None:
                    own |= {"status": "failed", "error": "Traceback:\n  x\nRuntimeError: b\x1b[31m"}
                rows.append(cell(cell_id=f"{schedule}-{own.get('loss', '')}-{own.get('epoch', 1)}-{seed}", **own))
        store.write_part("j", "cells", rows, part=new_part())

    return written


@pytest.fixture
def seen(store: Store) -> Callable[[], Findings]:
    return lambda: findings(Results(store.root), "j")


Seen = Callable[[], Findings]


def test_the_best_row_is_said_with_its_floor_its_seeds_and_their_spread(write: Write, seen: Seen) -> None:
    write({"0": LONG, "linear": SHORT})
    write({"0": [0.01], "linear": [0.9]}, epoch=0)  # an earlier epoch counts for nothing
    expected = f"{statistics.fmean(SHORT):.3g} (sd {statistics.stdev(SHORT):.2g} over 8 seeds)"
    assert seen().sentences[0] == (
        f"Best of 2 rows at epoch 1, by mean W1: sigma linear, with {expected}; other real samples have 0.0625, the "
        "floor."
    )


def test_better_than_the_other_is_said_with_the_interval_of_the_paired_t_test(write: Write, seen: Seen) -> None:
    write({"0": LONG, "linear": SHORT})
    test = stats.ttest_rel(SHORT, LONG)
    low, high = test.confidence_interval(0.95)
    assert test.pvalue < 0.05
    assert seen().sentences[1] == (
        "It is better than the other (paired t test), though it was picked on the seeds that test it; the next, "
        f"sigma 0 ({statistics.fmean(LONG):.3g}): {statistics.fmean(SHORT) - statistics.fmean(LONG):+.3g} "
        f"[{low:+.3g}, {high:+.3g}], p {test.pvalue:.2g} on 8 pairs of seeds."
    )


def test_rows_that_chance_cannot_tell_apart_are_said_to_be_so_by_holm(write: Write, seen: Seen) -> None:
    close = [value + 0.03 * (-1) ** seed for seed, value in enumerate(SHORT)]
    write({"0": LONG, "0.1": [value + 0.001 for value in close], "linear": SHORT})
    against = {name: stats.ttest_rel(SHORT, values) for name, values in (("0", LONG), ("0.1", close))}
    assert 2 * against["0"].pvalue < 0.05 < against["0.1"].pvalue
    text = seen().sentences[1]
    assert text.startswith("It cannot be told from 1 of the 2 others (paired t test, Holm over 2), such as sigma 0.1: ")
    assert text.endswith("; it is better than the 1 remaining.")


def test_what_each_test_alone_would_call_better_is_not_where_there_are_two(write: Write, seen: Seen) -> None:
    more = [0.08, -0.02, 0.05, 0.01, 0.06, -0.01, 0.04, 0.03]
    rivals = {"0": more, "0.1": [*more[1:], more[0]]}
    others = {name: [a + b for a, b in zip(SHORT, of, strict=True)] for name, of in rivals.items()}
    assert all(0.025 < stats.ttest_rel(SHORT, values).pvalue < 0.05 for values in others.values())
    write({**others, "linear": SHORT})
    assert seen().sentences[1].startswith("It cannot be told from any of the 2 others (paired t test, Holm over 2), ")


def test_rows_that_are_equal_are_told_apart_by_nothing(write: Write, seen: Seen) -> None:
    write({"0": SHORT, "linear": SHORT})
    assert seen().sentences[1] == (
        "It cannot be told from the other (paired t test), sigma linear: +0 [+0, +0], p 1 on 8 pairs of seeds."
    )
    assert not seen().on("differs")


def test_one_seed_tells_nothing_of_chance(write: Write, seen: Seen) -> None:
    write({"0": [0.5], "linear": [0.25]})
    first, second, *_ = seen().sentences
    assert first.startswith("Best of 2 rows at epoch 1, by W1: sigma linear, with 0.25 (on one seed)")
    assert second == "One pair of seeds cannot tell it from the next, sigma 0 (0.5): 2 pairs are the least."
    (undecided,) = seen().on("undecided")
    assert undecided.endswith("in W1 is undecided: fewer than 2 pairs of seeds tell nothing of chance.")
    assert seen().axes == ()  # nor would harness compare


def test_a_single_row_is_no_best(write: Write, seen: Seen) -> None:
    write({"0": SHORT})
    assert seen().sentences[0].startswith("minimax, sigma 0 has a mean W1 at epoch 1 of 0.1 (sd 0.02 over 8 seeds)")
    assert seen().axes == ()


def test_seeds_that_diverged_or_failed_are_beside_the_mean_that_lacks_them(write: Write, seen: Seen) -> None:
    write({"linear": [*SHORT, None]})
    write({"0": [9.0, 9.0]}, status="diverged")
    assert "with 0.1 (sd 0.02 over 8 seeds, 1 more seed without a value)" in seen().sentences[0]
    assert seen().on("failed") == (
        "2 cells diverged: no reason",
        r"1 cell failed: RuntimeError: b\x1b[31m",
    )


def test_a_job_without_rows_and_one_without_a_sound_row_say_so(store: Store, write: Write, seen: Seen) -> None:
    store.write_job("j", "name: j")
    assert seen().sentences == ("No cell has a row yet.",)
    write({"0": [None, None]})
    assert seen().sentences == ("None of 2 cells completed.", r"2 cells failed: RuntimeError: b\x1b[31m")


def test_names_that_mean_something_to_others_are_names(store: Store) -> None:
    name = "<script>'; DROP"
    store.write_part(name, "cells", [cell("<b>", w1=0.5), cell("a'b", cell_id="c", w1=0.25)], part="p")
    assert "a'b, with 0.25" in findings(Results(store.root), name).sentences[0]


def test_what_differs_along_an_axis_is_what_compare_says(write: Write, seen: Seen) -> None:
    write({"0": LONG, "0.1": MIDDLE, "linear": SHORT})
    ps = {name: stats.ttest_rel(values, LONG).pvalue for name, values in (("0.1", MIDDLE), ("linear", SHORT))}
    assert 2 * ps["linear"] < 0.05 < ps["0.1"]
    (differs,), (undecided,) = seen().on("differs"), seen().on("undecided")
    low, high = stats.ttest_rel(SHORT, LONG).confidence_interval(1 - 0.05 / 2)
    assert differs.startswith("sigma linear against 0: better in W1, by ")
    assert f"[{low:+.3g}, {high:+.3g}], p {2 * ps['linear']:.2g} on 8 pairs of seeds (Holm over 2)" in differs
    assert undecided.startswith("1 of 2 contrasts of sigma against 0 in W1 are undecided; nearest to a verdict is ")
    assert seen().axes == ("schedule",)


def test_seeds_that_collapsed_are_counted_beside_a_difference() -> None:
    ours, theirs = (
        {seed: Seed(value, "completed", value > 0.3) for seed, value in enumerate(values)} for values in (SHORT, LONG)
    )
    (found,) = corrected([contrast(ours, theirs, metric="w1", names=("a", "b"))])
    assert harness.report.sentences.difference(found).endswith(" on 8 pairs of seeds, collapsed 0 of 8 against 5 of 8")


def test_the_seeds_that_would_tell_have_the_power_that_is_asked_for(write: Write, seen: Seen) -> None:
    write({"0": LONG, "0.1": MIDDLE})
    (text,) = seen().on("undecided")
    found = re.search(r"about (\d+) pairs would show it", text)
    assert found is not None
    needed = int(found[1])
    difference = paired_difference(MIDDLE, LONG)
    effect = abs(difference.mean) / statistics.stdev([a - b for a, b in zip(MIDDLE, LONG, strict=True)])

    def power(num: int) -> float:
        critical, centre = stats.t.isf(0.025, num - 1), effect * math.sqrt(num)
        return float(stats.nct.sf(critical, num - 1, centre) + stats.nct.cdf(-critical, num - 1, centre))

    assert power(needed - 1) < 0.8 <= power(needed)


def test_no_number_of_seeds_is_named_where_there_is_no_difference_or_no_spread(write: Write, seen: Seen) -> None:
    write({"0": SHORT, "0.1": SHORT})
    (text,) = seen().on("undecided")
    assert "pairs would show it" not in text
    ours, theirs = ({0: Seed(value, "completed")} for value in (1.0, 2.0))
    (alone,) = corrected([contrast(ours, theirs, metric="w1", names=("a", "b"))])
    assert seeds_needed(alone, num_contrasts=1) is None


def test_many_rows_are_counted_and_not_contrasted(write: Write, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    write({str(index): [0.1 + index / 100, 0.15 + index / 90] for index in range(30)})
    monkeypatch.setattr(harness.report.sentences, "MAX_CONTRASTS", 20)
    assert "of the next 10 of the 29 others" in seen().sentences[1]
    too_many = "are too many to contrast here; see harness compare j --by schedule."
    assert seen().on("undecided") == (f"29 contrasts {too_many}",)
    monkeypatch.setattr(harness.report.sentences, "MAX_ROWS", 59)
    assert seen().on("undecided") == (f"60 cells {too_many}",)


def test_bounds_that_say_nothing_and_bounds_that_do_not_hold_are_counted(write: Write, seen: Seen) -> None:
    write({"0": SHORT})
    assert seen().on("bounds") == ("Every bound holds in all 8 cells.",)
    write({"0.1": SHORT[:3]}, bound_best=4.5)
    assert seen().on("bounds")[1] == (
        "In 3 of 11 cells even the best full bound is vacuous: it exceeds the data's diameter."
    )
    write({"0.2": SHORT[:2]}, bound_holds=False)
    assert seen().on("bounds")[0].startswith("In 2 of 13 cells a bound does not hold")


def test_a_generator_of_images_is_judged_by_the_sliced_distance(store: Store, write: Write, seen: Seen) -> None:
    probed = {name: part for name, part in PROBE.items() if name != "probe"}
    job = make_job({**probed, "name": "j", "protocol": "train"}, training={"steps_per_epoch": 4})
    store.write_job("j", dump_job(job))
    write({"0": [0.5, 0.6], "0.5": [0.1, 0.3]}, column="w1_sliced", w1=9.0, real_w1_sliced=0.03125)
    assert "by mean sliced W1: sigma 0.5, with 0.2 " in seen().sentences[0]
    assert "other real samples have 0.0312, the floor" in seen().sentences[0]


# --- probes


def probes(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    """A row each of two seeds, with the same numbers."""
    both = [
        cell(
            cell_id=f"{row.get('loss', '')}-{row['sigma']}-{seed}",
            **{"seed": seed, "schedule": f"{row['sigma']:g}", "protocol": "probe", **row},
        )
        for row in rows
        for seed in (0, 1)
    ]
    store.write_part("j", "cells", both, part=new_part())


def test_probes_say_what_noise_does_to_accuracy_gradient_and_overlap(store: Store, seen: Seen) -> None:
    jsds = {0.0: LOG_2, 0.5: LOG_2 - 0.005, 1.0: 0.4, 2.0: 0.25}
    accuracies = {0.0: 1.0, 0.5: 0.75, 1.0: 0.625, 2.0: 0.5}
    rows = [
        {"sigma": sigma, "loss": loss, "accuracy": accuracies[sigma], "jsd_mixture": jsd, "jsd_mixture_se": 0.001,
         "real_jsd_mixture": jsd / 2, "grad_norm": norm * (1 + 3 * sigma)}
        for sigma, jsd in jsds.items()
        for loss, norm in (("minimax", 0.5), ("non_saturating", 4.0))
    ]  # fmt: skip
    probes(store, rows)
    first, second, third = seen().on("noise")
    assert first == (
        "At epoch 1, fresh discriminators are right with mean accuracy: minimax 1 without noise and 0.5 at sigma 2; "
        "non_saturating 1 without noise and 0.5 at sigma 2 (over 2 cells each)."
    )
    assert second == (
        "The mean norm of the gradient that the generator gets there: minimax 0.5 without noise and 3.5 at sigma 2 (7 "
        "times as much); non_saturating 4 without noise and 28 at sigma 2 (7 times as much) (over 2 cells each)."
    )
    assert third == (
        "From sigma 1 on the noisy sets overlap: JSD 0.25 at sigma 2 (log 2 = 0.693 without overlap); that of other "
        "real samples is 0.125."
    )
    assert seen().sentences[:2] == (first, second)


def test_one_cell_that_does_not_overlap_is_enough_not_to_say_so(store: Store, seen: Seen) -> None:
    probes(store, [{"sigma": 0.0, "accuracy": 1.0, "jsd_mixture": LOG_2}, {"sigma": 1.0, "jsd_mixture": 0.3}])
    store.write_part(
        "j", "cells", [cell(cell_id="x", seed=2, schedule="1", sigma=1.0, protocol="probe", jsd_mixture=0.69)], part="q"
    )
    (overlap,) = (text for text in seen().on("noise") if "overlap" in text)
    assert overlap.startswith("Up to sigma 1 the noisy sets do not overlap: JSD 0.43, log 2 = 0.693")


def test_sets_of_real_samples_that_do_not_overlap_either_are_said_to_be_too_few(store: Store, seen: Seen) -> None:
    probes(store, [{"sigma": 1.0, "accuracy": 1.0, "jsd_mixture": LOG_2, "real_jsd_mixture": LOG_2}])
    assert (
        seen()
        .on("noise")[-1]
        .endswith("; nor do two sets of real samples, so this says more of their number than of the generator.")
    )


def test_batch_statistics_are_not_averaged_over(store: Store, seen: Seen) -> None:
    """Most cells have separate ones, which leak the label."""
    for norm, sigmas, accuracy in (("separate", (0.0, 1.0), 1.0), ("joint", (0.0,), 0.5)):
        rows = [{"sigma": sigma, "accuracy": accuracy, "batch_norm": norm, "loss": "minimax"} for sigma in sigmas]
        probes(store, rows)
    told = (
        "At epoch 1, batch norm separate, fresh discriminators are right with mean accuracy 1 without noise and 1 at "
    )
    assert seen().sentences[0].startswith(told)


# --- games


def test_games_say_how_they_end_which_is_fastest_and_which_converge_whatever_the_order(
    store: Store, seen: Seen
) -> None:
    table = [
        ("none", "simultaneous", "diverges", 1.25, 1.25, None),
        ("none", "alternating", "cycles", 1.0, 1.0, None),
        ("r1(gamma=1)", "simultaneous", "converges", 0.5, 0.5, 40),
        ("r1(gamma=1)", "alternating", "converges", 0.75, 0.752, 90),
        ("dragan", "simultaneous", "stalls", None, None, None),
        ("dragan", "alternating", "converges", 0.9, 0.9, 200),
    ]
    names = ("penalty", "updates", "verdict", "modulus", "predicted_modulus", "steps_to_tolerance")
    rows = []
    for index, values in enumerate(table):
        own: dict[str, Any] = dict(zip(names, values, strict=True))
        rows.append(cell(cell_id=str(index), protocol="dirac", epoch=None, seed=None, **own))
    store.write_part("j", "cells", rows, part="p")
    assert seen().sentences == (
        "Of 6 games 3 converge, 1 stalls, 1 cycles, 1 diverges.",
        "The fastest is penalty r1(gamma=1), simultaneous: 40 iterations to its tolerance (a factor of 0.5 an "
        "iteration).",
        "Under every order of updates converge: penalty r1(gamma=1).",
        "Under none converge: penalty none.",
        "In 5 games the simulated factor is that of the predicted eigenvalues to within 0.002.",
    )


# --- searches

SEARCH = (
    HEAD
    + """\
epochs: 1
space:
  schedule:
    constant: {sigma: {low: 0.01, high: 1, log: true}}
    linear: {start: {low: 0.05, high: 2}, end: 0.0}
search: {trials: 4, seeds: 2, pruner: none, finalists: 2, finalist_seeds: 2, confirmation_seeds: 3}
evaluation: {samples: 40, draws: 60, directions: 4, sigmas: [0.5]}
"""
)


def test_a_search_says_what_it_chose_and_what_that_gains_on_fresh_seeds(store: Store) -> None:
    tuned = tune(search_of(SEARCH), results=store.root, executor="serial")
    results = Results(store.root)
    found = findings(results, "search")
    chosen = next(row for row in tuned.confirmed if row.candidate == f"trial {tuned.best_number}")
    (row,) = results.query(
        f"SELECT avg(w1) AS w1, avg(least(bound_best, data_diameter)) AS bound, count(*) AS n FROM cells WHERE "
        f"job = 'search-confirmation' AND {_of_schedule(results, tuned.best)}"
    ).to_pylist()
    assert row["n"] == 3
    first, distance, bound, *_ = found.sentences
    assert first == (
        f"Of 4 trials trial {tuned.best_number} was chosen, {chosen.schedule}: on 3 fresh seeds mean W1 "
        f"{row['w1']:.3g}, bound_best {row['bound']:.3g}."
    )
    assert len(found.contrasts) == 14  # seven baselines, two metrics
    for text, metric in ((distance, "w1"), (bound, "bound_best")):
        own = [one for one in found.contrasts if one.metric == metric]
        better = sum(one.verdict == "better" for one in own)
        assert text.startswith(f"In {'W1' if metric == 'w1' else metric} it is better than {better} of 7 baselines")
        assert text.endswith("(paired t tests, Holm over 14).")
    # the same as those that the search itself ends with
    assert len(found.on("differs")) + len(found.on("undecided")) == 14


def _of_schedule(results: Results, parameters: Mapping[str, Any]) -> str:
    """SQL: the schedule among those of the confirmation that has these parameters."""
    values = [f"{value:.6g}"[:6] for value in parameters.values() if isinstance(value, float) and value]
    rows = results.query("SELECT DISTINCT schedule FROM cells WHERE job = 'search-confirmation'").to_pylist()
    (schedule,) = (row["schedule"] for row in rows if all(value in row["schedule"] for value in values))
    return f"schedule = '{schedule}'"


def test_a_search_under_way_says_how_far_it_is(store: Store) -> None:
    store.write_job("search", dump_job(search_of(SEARCH)))
    assert findings(Results(store.root), "search").sentences == ("No trial has ended yet.",)
    trials = [
        {"trial": number, "state": "complete", "family": "constant", "value": value, "distance": value / 2, "seeds": 2,
         "parameters": json.dumps({"schedule": "constant", "constant.sigma": sigma, "loss": "minimax"}),
         "spread": 0.0, "completed_seeds": 2, "diameter": 4.0}
        for number, (value, sigma) in enumerate([(1.5, 0.25), (0.75, 0.5)])
    ]  # fmt: skip
    store.write_part("search", "trials", trials, part="p")
    (text, *_) = findings(Results(store.root), "search").sentences
    assert text == "Of 2 trials so far trial 1 is the best, 0.5: median bound_best 0.75 over 2 seeds."

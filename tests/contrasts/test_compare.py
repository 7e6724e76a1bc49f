"""Contrasts of rows: which are compared, what SciPy alone says of them, and how often nothing is called something."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import harness
from harness.contrasts.compare import compared
from harness.contrasts.contrast import Contrast, Seed, contrast, corrected, sentence
from harness.errors import HarnessError
from harness.job.parts.settings import Collapsed
from harness.job.reading import dump_job
from harness.storage.query import Results
from harness.storage.records import CELLS
from harness.storage.store import Store
from tests.in_process import harness as command
from tests.planning.test_unneeded import SPACE
from tests.searches import HEAD, search_of
from tests.storage.test_store import cell


def contrasts_of(results: Results, *jobs: str, **options: Any) -> list[Contrast]:
    return list(compared(results, *jobs, **options).contrasts)


def write(store: Store, values: Mapping[str, Sequence[float | None]], *, job: str = "j", **columns: Any) -> None:
    """Rows of a schedule each, one per value, with seeds from 0."""
    rows = [
        cell(
            cell_id=f"{job}-{schedule}-{columns.get('loss', 'minimax')}-{seed}",
            schedule=schedule,
            seed=seed,
            w1=value,
            bound_best=None if value is None else 2 * value,
            status="failed" if value is None else "completed",
            **columns,
        )
        for schedule, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]
    store.write_part(job, "cells", rows, part="p" + str(abs(hash((job, *values))))[:8])


NONE = [0.50, 0.12, 0.44, 0.61, 0.15, 0.38, 0.70, 0.11]
CONSTANT = [0.35, 0.14, 0.41, 0.66, 0.10, 0.42, 0.59, 0.16]
ANNEALED = [0.10, 0.09, 0.12, 0.11, 0.08, 0.10, 0.13, 0.07]


@pytest.fixture
def results(store: Store) -> Results:
    write(store, {"0": NONE, "0.1": CONSTANT, "linear": ANNEALED})
    return Results(store.root)


def test_intervals_and_p_are_those_of_scipy_alone(results: Results) -> None:
    """Two contrasts, so Holm's levels are 2.5 % for the smaller p and 5 % for the other."""
    constant, annealed = contrasts_of(results, "j", metrics=["w1"])
    tests = {id(c): stats.ttest_rel(ours, NONE) for c, ours in ((constant, CONSTANT), (annealed, ANNEALED))}
    assert tests[id(annealed)].pvalue < tests[id(constant)].pvalue
    for found, level, times in ((annealed, 0.025, 2), (constant, 0.05, 1)):
        expected = tests[id(found)]
        interval = expected.confidence_interval(1 - level)
        assert found.interval == pytest.approx((interval.low, interval.high), rel=1e-9)
        assert found.p == pytest.approx(max(times * expected.pvalue, 2 * tests[id(annealed)].pvalue), rel=1e-9)
    assert annealed.wilcoxon_p == pytest.approx(stats.wilcoxon(ANNEALED, NONE).pvalue, rel=1e-9)
    assert (annealed.verdict, constant.verdict) == ("better", "undecided")
    assert annealed.our_mean == pytest.approx(0.1)
    assert annealed.their_median == pytest.approx(0.41)


def write_metric(store: Store, name: str, values: Mapping[str, Sequence[float]]) -> None:
    """The metric of the cells that `write` made."""
    rows = [
        {"cell_id": f"j-{schedule}-minimax-{seed}", "name": name, "value": value}
        for schedule, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]
    store.write_part("j", "metrics", rows, part=next(iter(store.read_rows("cells", "j", columns=["part"])))["part"])


def test_metrics_of_their_own_table_are_compared_too_and_more_modes_are_better(store: Store) -> None:
    write(store, {"0": NONE, "linear": ANNEALED})
    few, all_ = [5, 6, 7, 4, 8, 6, 5, 6], [8, 8, 8, 8, 7, 8, 8, 8]
    write_metric(store, "modes", {"0": few, "linear": all_})
    (found,) = contrasts_of(Results(store.root), "j", metrics=["modes"], collapsed=Collapsed(modes=8))
    assert found.t_p == pytest.approx(stats.ttest_rel(all_, few).pvalue, rel=1e-9)
    assert found.verdict == "better"
    assert found.shares is not None
    assert (found.shares.ours, found.shares.theirs) == ((1, 8), (7, 8))  # fewer than all modes
    # all eight pairs differ, one of them (seed 4) the other way round
    assert found.shares.p == pytest.approx(stats.binomtest(1, 8).pvalue, rel=1e-9)


BEST = ("bound_best", "bound_sharp_best", "bound_weighted_best")
LESS_IS_BETTER = (
    *("w1", "w1_sliced", "w1_minus_floor", "w1_sliced_minus_floor"),
    *(*BEST, *(f"{name}_upper" for name in BEST), "bound_sliced_best"),
    *("energy_distance", "reverse_kl", "frechet_distance", "kid", "kid[classifier]"),
)
MORE_IS_BETTER = ("modes", "high_quality_share", "precision", "recall[classifier](k=4)", "coverage(k=3)")


def test_verdicts_call_better_only_what_is() -> None:
    """All other columns of numbers say less or more: those at a cell's own sigma, places of minima, errors, floors."""
    others = {field.name for field in CELLS if str(field.type) == "double"} - {*LESS_IS_BETTER}
    assert {"jsd_mixture", "tv", "bound_paper", "bound_best_sigma", "real_w1", "jsd_mixture_se"} < others
    others |= {"density", "memorisation", "package.module:coverage"}
    expected = {
        **dict.fromkeys(LESS_IS_BETTER, ("better", "worse")),
        **dict.fromkeys(MORE_IS_BETTER, ("worse", "better")),
        **dict.fromkeys(others, ("less", "more")),
    }
    few, many = ({seed: Seed(value + seed, "completed") for seed in range(5)} for value in (1.0, 2.0))
    few[0] = Seed(0.5, "completed")  # so that differences are not all equal
    for metric, (of_less, of_more) in expected.items():
        pair = corrected([contrast(few, many, metric=metric, names=("a", "b"))])
        back = corrected([contrast(many, few, metric=metric, names=("b", "a"))])
        assert (pair[0].verdict, back[0].verdict) == (of_less, of_more), metric


def test_a_metric_that_no_table_has_is_refused(results: Results) -> None:
    with pytest.raises(HarnessError, match="no column 'mode' of numbers, and no such metric"):
        contrasts_of(results, "j", metrics=["mode"])


def test_all_contrasts_that_are_reported_are_corrected_together(results: Results) -> None:
    alone = {found.ours: found.p for found in contrasts_of(results, "j", metrics=["w1"])}
    together = {
        found.ours: found.p
        for found in contrasts_of(results, "j", metrics=["w1", "bound_best"])
        if found.metric == "w1"
    }
    assert together["linear"] == pytest.approx(2 * alone["linear"], rel=1e-9)


def test_a_metric_named_twice_is_one_contrast(results: Results) -> None:
    assert contrasts_of(results, "j", metrics=["w1", "w1"]) == contrasts_of(results, "j", metrics=["w1"])
    asked = ("compare", "j", "--metric", "w1,w1", "--results", results.store.root)
    assert "corrected for 2 contrasts" in command(*asked).stdout


def test_a_metric_is_proposed_by_its_name_alone(store: Store) -> None:
    write(store, {"0": NONE, "linear": ANNEALED})
    write_metric(store, "recall[classifier](k=4, z=1)", {"0": NONE, "linear": ANNEALED})
    with pytest.raises(HarnessError, match=r"Did you mean 'recall\[classifier\]\(k=4, z=1\)'\?"):
        contrasts_of(Results(store.root), "j", metrics=["recall"])
    both = "w1,recall[classifier](k=4, z=1)"  # a comma between parameters parts no names
    rows = json.loads(command("compare", "j", "--metric", both, "--json", "--results", store.root).stdout)
    assert [row["metric"] for row in rows] == ["w1", "recall[classifier](k=4, z=1)"]


def test_shares_of_the_same_seeds_are_mcnemars(results: Results) -> None:
    (_, annealed) = contrasts_of(results, "j", metrics=["w1"], collapsed=Collapsed(w1=0.3))
    assert annealed.shares is not None
    assert (annealed.shares.ours, annealed.shares.theirs) == ((0, 8), (5, 8))
    assert annealed.shares.p == pytest.approx(2 / 2**5)  # five discordant pairs, all on one side
    assert annealed.shares.ours_interval == pytest.approx((0.0, 1 - 0.025 ** (1 / 8)))
    assert "collapsed 0 of 8 against 5 of 8, p 0.062" in sentence(annealed)


def test_seeds_without_a_partner_are_left_out_and_counted(store: Store) -> None:
    write(store, {"0": NONE[:5], "linear": ANNEALED})
    (found,) = contrasts_of(Results(store.root), "j", metrics=["w1"], collapsed=Collapsed(w1=0.3))
    assert (found.num_pairs, found.num_ours_alone, found.num_theirs_alone) == (5, 3, 0)
    assert found.difference.mean == pytest.approx(np.mean(ANNEALED[:5]) - np.mean(NONE[:5]))
    assert "on 5 pairs of seeds" in sentence(found)
    assert ", 3 without a partner left out" in sentence(found)
    assert found.shares is not None
    assert found.shares.p == pytest.approx(stats.fisher_exact([[0, 8], [3, 2]]).pvalue)


def test_seeds_that_are_not_the_same_are_compared_by_welchs_test(store: Store) -> None:
    write(store, {"0": NONE})
    rows = [cell(cell_id=f"other-{k}", schedule="linear", seed=100 + k, w1=v) for k, v in enumerate(ANNEALED)]
    store.write_part("j", "cells", rows, part="other")
    (found,) = contrasts_of(Results(store.root), "j", metrics=["w1"])
    assert not found.is_paired
    assert found.t_p == pytest.approx(stats.ttest_ind(ANNEALED, NONE, equal_var=False).pvalue, rel=1e-9)
    assert math.isnan(found.wilcoxon_p)
    assert "on seeds that are not the same" in sentence(found)


def test_what_diverged_or_failed_is_counted_and_never_dropped(store: Store) -> None:
    write(store, {"0": NONE, "linear": [None, *ANNEALED[1:]]})
    diverged = cell(cell_id="d", schedule="linear", seed=8, w1=5.0, status="diverged")
    store.write_part("j", "cells", [diverged, cell(cell_id="e", schedule="0", seed=8, w1=0.2)], part="later")
    (found,) = contrasts_of(Results(store.root), "j", metrics=["w1"], collapsed=Collapsed(w1=0.3))
    assert found.num_pairs == 8  # the failed one has no distance; the diverged one has its last finite one
    assert found.num_diverged == (1, 0)
    assert found.shares is not None
    assert found.shares.ours == (2, 9)  # both count as collapsed
    assert "; diverged 1 against 0" in sentence(found)


def test_each_combination_of_other_axes_is_a_contrast_of_its_own(store: Store) -> None:
    write(store, {"0": NONE, "linear": ANNEALED})
    write(store, {"0": CONSTANT, "linear": ANNEALED}, loss="hinge")
    results = Results(store.root)
    found = contrasts_of(results, "j", by="schedule", metrics=["w1"])
    assert [contrast.within for contrast in found] == ["loss hinge", "loss minimax"]
    assert found[0].their_mean == pytest.approx(np.mean(CONSTANT))
    with pytest.raises(HarnessError, match="--by: which axis\\? Those with several values: loss, schedule"):
        contrasts_of(results, "j")
    by_loss = contrasts_of(results, "j", by="loss", against="minimax", metrics=["w1"])
    assert [(contrast.ours, contrast.within) for contrast in by_loss] == [
        ("hinge", "schedule 0"),
        ("hinge", "schedule linear"),
    ]


def test_a_search_is_compared_though_its_file_names_no_grid(results: Results) -> None:
    results.store.write_job("j", dump_job(search_of(f"{HEAD}{SPACE}")))
    found = contrasts_of(results, "j", against="0", metrics=["w1"])
    assert [contrast.ours for contrast in found] == ["0.1", "linear"]


def test_two_jobs_are_compared_where_both_have_cells(store: Store) -> None:
    write(store, {"0": NONE, "linear": ANNEALED})
    write(store, {"linear": CONSTANT}, job="k")
    (found,) = contrasts_of(Results(store.root), "j", "k", metrics=["w1"])
    assert (found.ours, found.theirs) == ("j", "k")
    assert found.difference.mean == pytest.approx(np.mean(ANNEALED) - np.mean(CONSTANT))


def test_jobs_without_common_cells_are_told_in_what_they_differ(store: Store) -> None:
    write(store, {"0": NONE})
    write(store, {"0": CONSTANT}, job="k", loss="hinge")
    write(store, {"0": CONSTANT}, job="l")
    write(store, {"0.1": CONSTANT}, job="l", loss="hinge")
    results = Results(store.root)
    with pytest.raises(HarnessError, match=r"in job alone\n  They differ in loss: j has minimax; k has hinge$"):
        contrasts_of(results, "j", "k")
    with pytest.raises(HarnessError, match="in job alone; no combination of their axes' values is in both"):
        contrasts_of(results, "k", "l")


def test_what_has_no_partner_is_left_out_aloud(store: Store) -> None:
    write(store, {"0": NONE, "0.1": CONSTANT, "linear": ANNEALED})
    write(store, {"0.1": CONSTANT, "linear": ANNEALED}, loss="hinge")
    write(store, {"0": NONE, "0.1": CONSTANT, "linear": ANNEALED}, job="k")
    results = Results(store.root)
    found = compared(results, "j", by="schedule", against="0", metrics=["w1"])
    assert [contrast.within for contrast in found.contrasts] == ["loss minimax"] * 2
    assert found.left_out == {"schedule 0": ["loss hinge"]}
    two = compared(results, "j", "k", metrics=["w1"])
    assert len(two.contrasts) == 3
    assert two.left_out == {"job k": ["loss hinge, schedule 0.1", "loss hinge, schedule linear"]}
    asked = ("compare", "j", "--by", "schedule", "--against", "0", "--results", store.root)
    said = "1 combination left out, without schedule 0: loss hinge"
    assert said in command(*asked).stdout
    programs = command(*asked, "--json")
    assert said in programs.stderr
    assert len(json.loads(programs.stdout)) == 4


@pytest.mark.parametrize(("wanted", "value"), [("r1", "r1(gamma=10)"), ("0.0", "0"), ("r1(gamma=10)", "r1(gamma=10)")])
def test_a_value_is_known_by_its_name_or_its_number(store: Store, wanted: str, value: str) -> None:
    write(store, {"0": NONE, "r1(gamma=10)": ANNEALED, "r2(gamma=1)": NONE, "r2(gamma=2)": CONSTANT, "0.25": NONE})
    results = Results(store.root)
    assert {found.theirs for found in contrasts_of(results, "j", against=wanted)} == {value}
    with pytest.raises(HarnessError, match=r"--against r2: which of 'r2\(gamma=1\)', 'r2\(gamma=2\)'\?"):
        contrasts_of(results, "j", against="r2")
    with pytest.raises(HarnessError, match=r"--against: no schedule '0\.2'"):  # the beginning of a number is no name
        contrasts_of(results, "j", against="0.2")


def test_one_pair_of_seeds_is_said_to_decide_nothing(store: Store) -> None:
    write(store, {"0": NONE[:1], "linear": ANNEALED[:1]})
    answer = command("compare", "j", "--metric", "w1", "--results", store.root).stdout
    assert "linear against 0: w1 cannot be decided, by -0.4 on 1 pair of seeds: 2 pairs are the least" in answer
    assert not re.search(r"\b(nan|inf)\b", answer)


def test_a_limit_of_more_modes_than_the_problem_has_is_refused_as_in_a_job_file(results: Results) -> None:
    results.store.write_job("j", dump_job(search_of(f"{HEAD}{SPACE}")))
    answer = command("compare", "j", "--collapsed", "modes=9", "--results", results.store.root)
    assert "--collapsed modes=9: problem ring has 8 modes; fewer than all of them is the limit" in answer.stderr
    with pytest.raises(HarnessError, match="must be greater than 0"):
        harness.compare("j", results=results.store.root, collapsed={"w1": 0.0})


def test_of_jobs_that_do_not_differ_few_are_called_different(tmp_path: Path) -> None:
    """Two hundred pairs; "better" or "worse" in at most 5 %, and three standard errors of that."""
    random = np.random.default_rng(7)
    false, total = 0, 200
    for number in range(total):
        store = Store(tmp_path / str(number))
        for job in ("one", "two"):
            write(store, {"0": list(random.lognormal(-1, 0.6, 12))}, job=job)
        (found,) = contrasts_of(Results(store.root), "one", "two", metrics=["w1"])
        false += found.verdict != "undecided"
    assert false <= total * 0.05 + 3 * math.sqrt(total * 0.05 * 0.95)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("k",), "no job 'k'"),
        (("j", "--by", "colour"), "--by: unknown axis 'colour'"),
        (("j", "--by", "loss"), "--by loss: has one value only; those with several: schedule"),
        (("j", "--against", "0.2"), "--against: no schedule '0.2'"),
        (
            ("j", "--metric", "bound_bst"),
            "--metric: no column 'bound_bst' of numbers, and no such metric. Did you mean 'bound_best'?",
        ),
        (("j", "--epoch", "7"), "--epoch 7: not an epoch of j; theirs: 1"),
        (("j", "--collapsed", "w1"), "--collapsed w1: name what a seed is known by, and a limit: w1=0.3"),
        (("j", "--collapsed", "tv=1"), "--collapsed tv=1: name what a seed is known by, and a limit"),
        (("j", "--collapsed", "w1=-1"), "--collapsed w1=-1: must be greater than 0"),
        (("j", "--collapsed", "modes=8"), "--collapsed modes: j has no such metric; add it: evaluation.metrics: [mod"),
        (("j", "--metric", ""), "--metric names none; name columns of cells, or metrics of the job"),
        (("j", "--by", "sigm"), "Did you mean 'sigma'?"),
        (("j", "--json", "--format", "csv"), "--json and --format csv ask for two formats"),
    ],
)
def test_what_cannot_be_compared_is_said(arguments: tuple[str, ...], sentence: str, results: Results) -> None:
    answer = command("compare", *arguments, "--results", results.store.root)
    assert answer.returncode == 2
    assert sentence in answer.stderr


def test_the_command_says_verdicts_in_words_and_has_all_numbers_for_programs(results: Results) -> None:
    asked = (
        "compare",
        "j",
        "--against",
        "0",
        "--metric",
        "w1",
        "--collapsed",
        "w1=0.3",
        "--results",
        results.store.root,
    )
    shown = command(*asked).stdout
    assert "linear against 0: w1 better, by -0.276 [" in shown
    assert "0.1 against 0: w1 undecided, by -0.0225 [" in shown
    assert "corrected for 2 contrasts (Holm, 5 %)" in shown
    rows = json.loads(command(*asked, "--json").stdout)
    assert [row["verdict"] for row in rows] == ["undecided", "better"]
    assert rows[1]["difference"] == pytest.approx(np.mean(ANNEALED) - np.mean(NONE), rel=1e-12)
    table = list(csv.DictReader(io.StringIO(command(*asked, "--format", "csv").stdout)))
    assert float(table[1]["holm_p"]) == rows[1]["holm_p"]


def test_long_labels_leave_room_for_the_difference(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "exponential(end=0.05, start=0.5) + something that makes it as long as a terminal is wide, and longer"
    write(store, {"0": NONE, "linear": CONSTANT, long: ANNEALED})
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", command("compare", "j", "--metric", "w1", "--results", store.root).stdout)
    assert f" [1] {long} " in " ".join(shown.split())  # in lines of the terminal, broken between words
    assert re.search(r"\n\[1\] +better +0\.1 +-0\.276\d ", shown)  # means and differences, as above
    assert re.search(r"\nlinear +undecided +0\.353\d +-0\.0225 ", shown)


def test_from_python_it_is_the_same(results: Results) -> None:
    found = harness.compare("j", results=results.store.root, metrics=["w1"], collapsed={"w1": 0.3})
    assert found == contrasts_of(results, "j", metrics=["w1"], collapsed=Collapsed(w1=0.3))
    assert str(found[1]) == sentence(found[1])
    assert harness.compare("j", results=results.store.root, by="sigma", metrics=["w1"]) != []

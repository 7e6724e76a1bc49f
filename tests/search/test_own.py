"""Samplers and pruners of one's own, from outside the package: a search with them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import optuna
import pytest

from harness.errors import HarnessError, JobError
from harness.job.reading import dump_job, parse_job
from harness.job.strategies import PRUNERS, SAMPLERS, WithOptions
from harness.job.tune import TuneJob
from harness.search.opening import open_study
from harness.search.study import make_pruner, make_sampler
from harness.search.tune import tune
from harness.storage.query import Results
from harness.storage.store import Store
from tests.search import own
from tests.searches import HEAD, changed, search_of

TEXT = (
    HEAD
    + """\
epochs: 3
space:
  schedule:
    linear: {start: {low: 1, high: 2}, end: 0.0}
search:
  trials: 4
  seeds: 1
  sampler: tpe
  pruner: none
  finalists: 1
  finalist_seeds: 0
  confirmation_seeds: 1
evaluation: {samples: 40, draws: 60, directions: 4, sigmas: [0.5]}
"""
)
OWN = (
    ("sampler: tpe", "sampler: {name: tests.search.own:Steps, share: 0.125}"),
    ("pruner: none", "pruner: {name: tests.search.own:EveryOther, first_step: 2}"),
)


def job(*pairs: tuple[str, str]) -> TuneJob:
    return search_of(TEXT, *pairs)


def trials(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Results(store.root).query("SELECT * FROM trials ORDER BY trial").to_pylist()
    return rows


def test_a_search_goes_by_a_sampler_and_a_pruner_of_ones_own(store: Store) -> None:
    own.SEEDS.clear()
    tuned = tune(job(*OWN), results=store.root, executor="serial")
    rows = trials(store)
    assert [json.loads(row["parameters"])["linear.start"] for row in rows] == [1.0, 1.125, 1.25, 1.375]
    # a report after each of the first two epochs, and the second is at Optuna's step 2
    assert [(row["state"], row["epoch"]) for row in rows] == [("complete", 3), ("pruned", 2)] * 2
    assert tuned.num_pruned == 2
    assert len(own.SEEDS) == 1
    assert 0 <= own.SEEDS[0] < 2**32


def test_without_options_the_name_is_enough(store: Store) -> None:
    named = job(("sampler: tpe", "sampler: tests.search.own:Steps"), ("trials: 4", "trials: 2"))
    study = open_study(named, store, optuna.storages.InMemoryStorage())
    points = [study.ask(), study.ask()]
    assert [point and point[1]["linear.start"] for point in points] == [1.0, 1.25]


def test_a_study_may_go_on_with_another_sampler_and_pruner(store: Store) -> None:
    storage = optuna.storages.InMemoryStorage()
    assert open_study(job(("pruner: none", "pruner: median")), store, storage).ask() is not None
    again = open_study(job(*OWN), store, storage)
    asked = [again.ask(), again.ask()]  # the first as it was
    assert asked[1] is not None
    assert asked[1][1]["linear.start"] == 1.125


def test_a_job_with_ones_own_is_written_as_it_is_read() -> None:
    written = job(*OWN)
    assert written.search.sampler == WithOptions("tests.search.own:Steps", {"share": 0.125})
    assert parse_job(dump_job(written)) == written
    plain = job(("sampler: tpe", "sampler: {name: gp}"), ("pruner: none", "pruner: {name: median}"))
    assert (plain.search.sampler, plain.search.pruner) == ("gp", "median")
    assert parse_job(dump_job(plain)) == plain
    left_out = parse_job(dump_job(job(("  pruner: none\n", ""))))
    assert isinstance(left_out, TuneJob)
    assert (left_out.search.pruner, left_out.pruner) == (None, "median")


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (
            "sampler: tpe",
            "sampler: tpo",
            "13:12: search.sampler",
            "unknown sampler 'tpo'. Did you mean 'tpe'?\n  Valid: cmaes, gp, grid, random, tpe, or package.module:name",
        ),
        (
            "sampler: tpe",
            "sampler: {name: tpo}",
            "13:12: search.sampler",
            "unknown sampler 'tpo'. Did you mean 'tpe'?\n  Valid: cmaes, gp, grid, random, tpe, or package.module:name",
        ),
        (
            "pruner: none",
            "pruner: halfing",
            "14:11: search.pruner",
            "unknown pruner 'halfing'. Did you mean 'halving'?\n  Valid: halving, median, none, or package.module:name",
        ),
        ("sampler: tpe", "sampler: tests.search.own:Stepps", "13:12: search.sampler", "cannot be imported"),
        ("sampler: tpe", "sampler: no.such.module:Steps", "13:12: search.sampler", "cannot be imported"),
        ("sampler: tpe", "sampler: tests.search.own:NUMBER", "13:12: search.sampler", "is a int; it must be callable"),
        ("sampler: tpe", "sampler: {name: tpe, share: 1}", "13:12: search.sampler", "takes no options, got share"),
        ("sampler: tpe", "sampler: {share: 1}", "13:12: search.sampler", "must be the name of a sampler, or a mapping"),
        ("sampler: tpe", "sampler: 3", "13:12: search.sampler", "got 3"),
        ("sampler: tpe", "sampler: [tpe]", "13:12: search.sampler", "got ['tpe']"),
        ("sampler: tpe", "sampler:", "13:3: search.sampler", "got None"),
        (
            "sampler: tpe",
            "sampler: {name: tests.search.own:Steps, seed: 3}",
            "13:12: search.sampler",
            "set search.seed",
        ),
    ],
)
def test_a_name_that_stands_for_none_is_refused_with_its_place(old: str, new: str, place: str, message: str) -> None:
    with pytest.raises(JobError) as error:
        parse_job(changed(TEXT, (old, new)), source="job.yaml")
    assert str(error.value).startswith(f"job.yaml:{place}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "strategy", "message"),
    [
        ("sampler", "tests.search.own:no_sampler", "made a str; it must make a BaseSampler of Optuna"),
        ("pruner", "tests.search.own:no_pruner", "made a RandomSampler; it must make a BasePruner of Optuna"),
        ("sampler", "{name: tests.search.own:Steps, shar: 1}", "raised TypeError: "),
        ("pruner", "{name: tests.search.own:EveryOther, step: 1}", "raised TypeError: "),
        ("pruner", "tests.search.own:no_sampler", "raised TypeError: "),  # which must be given a seed
    ],
)
def test_what_makes_none_is_refused_when_the_study_is_opened(
    store: Store, kind: str, strategy: str, message: str
) -> None:
    old = {"sampler": "sampler: tpe", "pruner": "pruner: none"}[kind]
    wrong = job((old, f"{kind}: {strategy}"))
    with pytest.raises(HarnessError) as error:
        open_study(wrong, store)
    assert str(error.value).startswith(f"search.{kind}: tests.search.own:")
    assert message in str(error.value)


def test_every_name_of_a_job_file_makes_one() -> None:
    for name in SAMPLERS:
        assert isinstance(make_sampler(name, seed=0), optuna.samplers.BaseSampler)
    for name in PRUNERS:
        assert isinstance(make_pruner(name), optuna.pruners.BasePruner)
